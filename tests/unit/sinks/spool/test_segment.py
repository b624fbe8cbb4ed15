"""One file of a spool: its index, whatever the order of its records, and its end."""

import errno
import os

import pytest

from edgehar.sinks.spool.record import SpoolRow, encode_event
from edgehar.sinks.spool.segment import Segment, allocate, fill_with_zeros


def row(number):
    return SpoolRow(number, f"id {number}", 10.0 * number, b"payload" * number)


def record(number):
    return encode_event(row(number), 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.spool"


def opened(path, content=b""):
    path.write_bytes(content)
    segment = Segment(path)
    return segment, list(segment.load())


def numbers(segment, after=0, limit=100):
    return [one.sequence for one in segment.rows(after, limit)[0]]


def test_records_out_of_order_and_twice_are_put_in_order_once(path):
    segment, _ = opened(path, b"".join(map(record, (3, 1, 2, 2, 5, 4))))
    assert segment.rows(0, 100) == ([row(number) for number in range(1, 6)], [])
    assert (segment.depth, segment.size) == (5, sum(len(record(number)) for number in range(1, 6)))
    assert list(segment.waiting(3)) == [(number, 10.0 * number, len(record(number))) for number in (4, 5)]
    assert segment.remove(2, 3) == 2
    assert segment.remove(1, 3) == 1
    assert (numbers(segment), segment.depth) == ([4, 5], 2)


def test_a_damaged_record_between_others_is_yielded_and_found_missing_when_it_is_read(path):
    segment, found = opened(path, record(1) + b"garbage" + record(2))
    assert found[1] == b"garbage"
    assert numbers(segment) == [1, 2]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert [one.sequence for one in segment.rows(0, 100)[0]] == [1]
    assert segment.rows(0, 100)[1] == [2]


def test_what_is_appended_is_read_and_is_there_when_it_is_opened_again(path):
    segment, _ = opened(path)
    for number in (1, 2, 3):
        segment.append(record(number), row(number), sync=number == 3)
    assert (numbers(segment, after=1), numbers(segment, limit=2)) == ([2, 3], [1, 2])
    segment.close()
    segment.close()
    assert numbers(segment) == [1, 2, 3]
    assert len(list(Segment(path).load())) == 3


def test_an_unfinished_record_is_cut_off(path):
    segment, _ = opened(path, record(1) + record(2)[:20])
    segment.cut_unfinished()
    assert path.read_bytes() == record(1)
    segment.append(record(3), row(3), sync=False)
    assert numbers(segment) == [1, 3]


def test_a_file_of_a_fixed_size_keeps_it(path):
    assert allocate(path, 4096)
    segment = Segment(path)
    assert list(segment.load()) == []
    assert segment.capacity == 4096
    segment.append(record(1), row(1), sync=False)
    segment.cut_unfinished()
    segment.empty()
    assert path.read_bytes() == bytes(4096)
    assert (segment.depth, segment.end, numbers(segment)) == (0, 0, [])


def test_a_file_that_grows_is_empty_after_its_records_are_deleted(path):
    segment, _ = opened(path, record(1))
    segment.empty()
    assert path.read_bytes() == b""
    assert (segment.depth, segment.size) == (0, 0)


def test_a_file_that_was_removed_or_replaced_is_noticed(path):
    segment, _ = opened(path)
    assert segment.is_there()
    path.unlink()
    assert not segment.is_there()
    path.touch()
    assert not segment.is_there()
    segment.close()
    assert segment.is_there()


def test_space_is_reserved_or_refused(tmp_path):
    assert not allocate(tmp_path / "no folder" / "a", 10)
    assert not allocate(tmp_path / "a", 1 << 62)
    assert not (tmp_path / "a").exists()
    (tmp_path / "full").write_bytes(b"x" * 70_000)
    fill_with_zeros(tmp_path / "full")
    assert (tmp_path / "full").read_bytes() == bytes(70_000)


def test_a_disk_that_takes_half_a_record_and_no_more_is_an_error_and_costs_no_other(path, monkeypatch):
    segment, _ = opened(path, record(1))
    write = os.pwrite
    taken = []

    def half(descriptor, data, offset):
        if taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken.append(write(descriptor, data[:20], offset))
        return taken[0]

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pwrite", half)
    monkeypatch.setattr("os.ftruncate", fail)
    with pytest.raises(OSError, match="No space left"):
        segment.append(record(2), row(2), sync=False)
    monkeypatch.undo()
    # The next record overwrites the half one.
    segment.append(record(3), row(3), sync=False)
    assert numbers(segment) == [1, 3]
    assert [one.sequence for one in Segment(path).load()] == [1, 3]


def test_a_half_record_in_a_file_of_a_fixed_size_becomes_zeros_again(path, monkeypatch):
    assert allocate(path, 4096)
    segment = Segment(path)
    assert list(segment.load()) == []
    write, calls = os.pwrite, []

    def half_then_full(descriptor, data, offset):
        calls.append(offset)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:20] if len(calls) == 1 else data, offset)

    monkeypatch.setattr("os.pwrite", half_then_full)
    with pytest.raises(OSError, match="No space left"):
        segment.append(record(1), row(1), sync=False)
    assert path.read_bytes() == bytes(4096)
