"""The queue on disk, against a list, and against disks and files that fail."""

import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgehar import SinkError
from edgehar.spool import Spool, SpoolOptions


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now_s=1_800_000_000.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


@pytest.fixture
def options(tmp_path):
    return SpoolOptions(directory=str(tmp_path / "state"))


def fill(spool, count, start=0):
    return [spool.append(b"payload %d" % number, f"id {number}") for number in range(start, start + count)]


def ids(spool, **limits):
    return [spooled.id for spooled in spool.peek(**limits)]


def test_events_come_in_order_and_stay_until_removed(options):
    spool = Spool.open("test", options)
    numbers = fill(spool, 5)
    assert numbers == sorted(set(numbers))
    assert [(spooled.sequence, spooled.payload) for spooled in spool.peek()] == [
        (number, b"payload %d" % place) for place, number in enumerate(numbers)
    ]
    assert ids(spool, after_sequence=numbers[1], limit=2) == ["id 2", "id 3"]
    spool.remove(numbers[3])
    spool.remove(numbers[0])
    spool.remove(numbers[0])
    assert ids(spool) == ["id 1", "id 2", "id 4"]
    assert (spool.depth, spool.dropped) == (3, 0)
    spool.close()


def test_they_are_there_after_a_restart_and_numbers_are_not_used_again(options):
    spool = Spool.open("test", options)
    numbers = fill(spool, 3)
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == ["id 0", "id 1", "id 2"]
    for number in numbers:
        spool.remove(number)
    spool.close()
    spool = Spool.open("test", options)
    assert spool.depth == 0
    assert spool.append(b"", "next") > numbers[-1]
    spool.close()


def test_only_the_owner_can_read_it(options, tmp_path):
    spool = Spool.open("test", options)
    fill(spool, 1)
    folder = tmp_path / "state"
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"test.lock": 0o600, "test.spool": 0o600, "test.spool-wal": 0o600}
    spool.close()


def test_a_second_one_is_refused(options):
    spool = Spool.open("test", options)
    other = Spool.open("other", options)
    with pytest.raises(SinkError, match=r"used by another edgehar \(process \d+\)"):
        Spool.open("test", options)
    spool.close()
    Spool.open("test", options).close()
    other.close()


class Bounded(RuleBasedStateMachine):
    """A spool with small bounds does what a list does."""

    MOST, MAX_BYTES, MAX_AGE_S = 6, 10_000, 3600

    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.options = SpoolOptions(directory=self.folder.name, max_events=self.MOST, max_mb=0.01, max_age_h=1)
        self.clock, self.expected, self.dropped, self.seen = Clock(), [], 0, set()
        self.now_s = self.clock.now_s
        self.spool = Spool.open("test", self.options, clock=self.clock)

    def trim(self):
        def too_much():
            oldest_s = self.expected[0][3]
            too_old = oldest_s < self.now_s - self.MAX_AGE_S
            size = sum(len(payload) + len(id_) + 32 for _, id_, payload, _ in self.expected)
            return too_old or len(self.expected) > self.MOST or size > self.MAX_BYTES

        while self.expected and too_much():
            self.expected.pop(0)
            self.dropped += 1

    @rule(size=st.one_of(st.integers(0, 300), st.integers(1000, 12_000)))
    def append(self, size):
        id_ = str(len(self.seen))
        number = self.spool.append(b"x" * size, id_)
        assert number not in self.seen
        self.seen.add(number)
        if size + len(id_) + 32 > self.MAX_BYTES:
            self.dropped += 1
        else:
            self.expected.append((number, id_, b"x" * size, self.now_s))
        self.trim()

    @rule(place=st.integers(0, 10))
    def remove(self, place):
        if place < len(self.expected):
            self.spool.remove(self.expected.pop(place)[0])
        else:
            self.spool.remove(place)
        self.trim()

    @rule(seconds=st.sampled_from([0.5, 60, 1700, 3601]))
    def wait(self, seconds):
        self.clock.now_s += seconds
        self.now_s += seconds

    @rule(back_s=st.sampled_from([0, 3600]))
    def reopen_with_the_clock_set_back(self, back_s):
        self.spool.close()
        self.trim()
        self.clock.now_s -= back_s
        # An event never comes from the future.
        self.now_s = max([self.clock.now_s, *(row[3] for row in self.expected)])
        self.spool, self.dropped = Spool.open("test", self.options, clock=self.clock), 0

    @precondition(lambda self: hasattr(self, "spool"))
    @invariant()
    def same(self):
        self.trim()
        found = self.spool.peek()
        assert [(row.sequence, row.id, row.payload) for row in found] == [row[:3] for row in self.expected]
        assert self.spool.depth == len(self.expected)
        assert self.spool.dropped == self.dropped

    def teardown(self):
        if hasattr(self, "spool"):
            self.spool.close()
            self.folder.cleanup()


TestBounded = Bounded.TestCase
TestBounded.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
