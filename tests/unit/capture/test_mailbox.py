import threading

import pytest

from edgehar.capture.mailbox import Closed, Mailbox


def test_keeps_only_the_newest_and_counts_what_it_drops():
    box = Mailbox(1, drop_oldest=True)
    for item in range(5):
        assert box.put(item)
    assert box.get() == 4
    assert box.dropped == 4


def test_a_full_mailbox_keeps_the_writer_waiting_and_loses_nothing():
    box, got = Mailbox(2), []
    assert box.put(0)
    assert box.put(1)
    assert not box.put(2, timeout_s=0.01)

    def read():
        while True:
            try:
                got.append(box.get())
            except Closed:
                return

    reader = threading.Thread(target=read)
    reader.start()
    for item in range(2, 50):
        assert box.put(item)
    box.close()
    reader.join(5)
    assert got == list(range(50))
    assert box.dropped == 0


def test_what_is_inside_can_still_be_read_after_closing():
    box = Mailbox(3)
    box.put("a")
    box.close()
    assert box.get() == "a"
    with pytest.raises(Closed):
        box.get()
    with pytest.raises(Closed):
        box.put("b")


def test_discarding_leaves_nothing_and_frees_a_waiting_writer():
    box, ended = Mailbox(1), []
    box.put(1)

    def write():
        try:
            box.put(2)
        except Closed:
            ended.append(True)

    writer = threading.Thread(target=write)
    writer.start()
    box.close(discard=True)
    writer.join(5)
    assert ended == [True]
    with pytest.raises(Closed):
        box.get()


def test_waiting_for_an_item_ends_in_time():
    with pytest.raises(TimeoutError):
        Mailbox(1, drop_oldest=True).get(timeout_s=0.01)
