"""The queue of frames: bursts are kept while the reader keeps up, old frames are dropped when it does not."""

import contextlib
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar import Frame, PixelFormat
from edgehar.capture.frame_queue import FrameQueue
from edgehar.capture.mailbox import Closed


class Line:
    """A live source, a queue and a reader on one clock that only the test moves."""

    def __init__(self, **options):
        self.now_s, self.sent, self.read = 0.0, 0, []
        self.queue = FrameQueue(clock=lambda: self.now_s, **options)
        self.queue.go_live()

    def frame(self, captured_s, side=8):
        self.sent += 1
        pixels = np.zeros((side, side, 3), np.uint8)
        return 0, Frame(pixels, PixelFormat.BGR24, captured_s, self.now_s, self.sent - 1)

    def put(self, captured_s, **options):
        return self.queue.put(self.frame(captured_s, **options), 0.0)

    def get(self):
        """Read a frame; False if there is none."""
        try:
            self.read.append(self.queue.get(0.0)[1])
        except TimeoutError:
            return False
        return True

    def run(self, arrivals, cost_s):
        """Deliver frames captured and arriving at given times to a reader that spends `cost_s` on each."""
        due, held = list(arrivals), None
        while due or held or len(self.queue):
            while held or (due and due[0][1] <= self.now_s):
                held = held or self.frame(due.pop(0)[0])
                if not self.queue.put(held, 0.0):
                    break
                held = None
            if self.get():
                self.now_s += cost_s
            elif due:
                self.now_s = max(self.now_s, due[0][1])

    @property
    def lags_s(self):
        return [frame.arrived_s - frame.captured_s for frame in self.read]


def bursts(period_s, size, count):
    """Capture and arrival times of frames that arrive `size` at a time."""
    return [(n * period_s, (n // size * size + size - 1) * period_s) for n in range(count)]


@pytest.mark.parametrize(
    ("size", "cost_s"), [(1, 0.03), (3, 0.001), (3, 0.035), (25, 0.02), (150, 0.005), (150, 0.035)]
)
def test_a_reader_that_keeps_up_gets_every_frame_of_every_burst(size, cost_s):
    line = Line()
    line.run(bursts(0.04, size, 600), cost_s)
    assert [frame.sequence for frame in line.read] == list(range(600))
    assert line.queue.dropped == 0


@pytest.mark.parametrize("cost_s", [0.05, 0.1, 0.4, 3.0])
def test_a_reader_that_is_too_slow_gets_new_frames_and_the_others_are_counted(cost_s):
    line, taken_s = Line(), []
    get = line.get
    line.get = lambda: get() and taken_s.append(line.now_s) is None
    line.run([(n * 0.04, n * 0.04) for n in range(3000)], cost_s)
    assert len(line.read) + line.queue.dropped == 3000
    ages_s = [at_s - frame.captured_s for at_s, frame in zip(taken_s, line.read, strict=True)]
    # At most the lag that it may accumulate, and the frame it is busy with.
    assert max(ages_s) <= 1.0 + 2 * cost_s + 0.05
    if cost_s >= 0.1:
        assert np.median(ages_s) <= cost_s + 0.05


def test_a_pause_of_the_reader_costs_only_old_frames():
    line = Line()
    line.run([(n * 0.04, n * 0.04) for n in range(25)], 0.001)
    for number in range(25, 45):
        line.now_s = number * 0.04
        line.put(line.now_s)
    line.run([(n * 0.04, n * 0.04) for n in range(45, 100)], 0.001)
    assert line.queue.dropped == 0
    for number in range(100, 150):
        line.now_s = number * 0.04
        line.put(line.now_s)
    line.run([(n * 0.04, n * 0.04) for n in range(150, 200)], 0.001)
    assert 20 <= line.queue.dropped <= 50
    assert line.read[-1].sequence == 199


def test_memory_is_bounded():
    line = Line(max_bytes=10 * 64 * 64 * 3)
    while line.put(line.sent * 0.001, side=64):
        pass
    assert len(line.queue) == 10
    line = Line()
    while line.put(line.sent * 0.001):
        pass
    assert len(line.queue) == 32


def test_one_frame_larger_than_the_bound_still_passes():
    line = Line(max_bytes=10)
    assert line.put(0.0)
    assert not line.put(0.1)
    assert line.get()
    assert line.put(0.2)


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 40), st.integers(0, 40)), max_size=30))
def test_frames_come_in_order_and_are_read_or_counted(steps):
    line, refused = Line(), 0
    for wait_s, sent, read in steps:
        line.now_s += wait_s
        refused += sum(not line.put(line.now_s) for _ in range(sent))
        for _ in range(read):
            line.get()
    while line.get():
        pass
    sequences = [frame.sequence for frame in line.read]
    assert sequences == sorted(set(sequences))
    assert len(sequences) + line.queue.dropped + refused == line.sent


def test_a_file_waits_for_room_and_loses_nothing():
    queue, got = FrameQueue(), []
    line = Line()

    def write():
        for number in range(50):
            queue.put(line.frame(number * 0.04))
        queue.close()

    writer = threading.Thread(target=write)
    writer.start()
    with contextlib.suppress(Closed):
        while True:
            got.append(queue.get(10)[1].sequence)
    writer.join(10)
    assert got == list(range(50))
    assert queue.dropped == 0


def test_closing_frees_a_waiting_writer():
    queue = FrameQueue()
    line, ended = Line(), threading.Event()

    def write():
        try:
            while True:
                queue.put(line.frame(0.0))
        except Closed:
            ended.set()

    threading.Thread(target=write, daemon=True).start()
    assert queue.get(10)[1].sequence == 0
    queue.close(discard=True)
    assert ended.wait(10)
    with pytest.raises(Closed):
        queue.get(0)
