"""The queue on disk, against a list, and against disks and files that fail."""

import tempfile
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgehar import SinkError
from edgehar.sinks.spool.options import SpoolOptions, state_directory
from edgehar.sinks.spool.queue import HELD_MAX, Spool


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


def test_they_are_there_after_a_restart(options):
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
    spool.close()


def test_only_the_owner_can_read_it(options, tmp_path):
    spool = Spool.open("test", options)
    fill(spool, 1)
    folder = tmp_path / "state"
    assert folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(["test.lock", "test.reserve", "test.spool", "test.spool-wal"], 0o600)
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
        self.clock, self.expected, self.dropped, self.count = Clock(), [], 0, 0
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
        self.count += 1
        id_ = str(self.count)
        number = self.spool.append(b"x" * size, id_)
        assert all(number > earlier for earlier, *_ in self.expected)
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
TestBounded.settings = settings(max_examples=25, stateful_step_count=30, deadline=None, derandomize=True)


def test_what_is_too_old_is_not_delivered(options):
    clock = Clock()
    spool = Spool.open("test", SpoolOptions(directory=options.directory, max_age_h=2), clock=clock)
    fill(spool, 2)
    clock.now_s += 3600
    fill(spool, 1, start=2)
    clock.now_s += 3601
    assert [(row.id, row.age_s) for row in spool.peek()] == [("id 2", 3601)]
    assert spool.dropped == 2
    spool.close()


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_wall_clock_that_is_set_ages_nothing(options, monkeypatch, jump_s):
    spool = Spool.open("test", SpoolOptions(directory=options.directory, max_age_h=0.5))
    fill(spool, 1)
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + jump_s)
    fill(spool, 1, start=1)
    assert [row.age_s < 60 for row in spool.peek()] == [True, True]
    spool.close()


def test_an_event_larger_than_the_spool_costs_no_other(options, caplog):
    spool = Spool.open("test", SpoolOptions(directory=options.directory, max_mb=0.01))
    fill(spool, 2)
    spool.append(bytes(10_000), "large")
    assert ids(spool) == ["id 0", "id 1"]
    assert spool.dropped == 1
    assert "1 events dropped undelivered so far: one of 10000 bytes is over max_mb" in caplog.text
    spool.close()


def test_in_memory_it_holds_the_newest():
    spool = Spool.in_memory("test")
    numbers = fill(spool, HELD_MAX + 5)
    spool.remove(numbers[7])
    spool.remove(12)
    assert (spool.depth, spool.dropped) == (HELD_MAX - 1, 5)
    assert ids(spool, limit=4) == ["id 5", "id 6", "id 8", "id 9"]
    spool.close()


def test_nothing_is_taken_after_its_end(options):
    spool = Spool.open("test", options)
    spool.close()
    spool.close()
    with pytest.raises(ValueError, match="spool test is closed"):
        spool.append(b"", "late")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\n"])
def test_names_are_those_of_files(options, name):
    with pytest.raises(ValueError, match="no name for a file"):
        Spool.open(name, options)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x"}, "/x/edgehar"),
        ({"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/edgehar"),
        ({}, "/home/me/.local/state/edgehar"),
    ],
)
def test_the_folder_is_where_state_belongs(monkeypatch, environ, expected):
    monkeypatch.setenv("HOME", "/home/me")
    assert str(state_directory(environ)) == expected


def test_a_link_in_its_place_is_not_followed(options, tmp_path, caplog):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/test.spool").symlink_to(target)
    spool = Spool.open("test", options)
    fill(spool, 1)
    assert "Too many levels of symbolic links" in caplog.text
    assert ids(spool) == ["id 0"]
    spool.close()
    assert target.read_text() == "precious"
    assert "1 events are lost: they are only in memory" in caplog.text
