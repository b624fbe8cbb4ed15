"""The queue on disk, against a list, and against disks and files that fail."""

import json
import shutil
import tempfile
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.clock import Clock

from edgehar import SinkError
from edgehar.sinks.spool.log import RESERVE_FILES
from edgehar.sinks.spool.options import SpoolOptions, state_directory
from edgehar.sinks.spool.queue import HELD_MAX, Spool
from edgehar.sinks.spool.record import HEADER_BYTES


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
    reserve = [f"test.reserve.{number}" for number in range(1, RESERVE_FILES + 1)]
    assert modes == dict.fromkeys(["test.lock", "test.spool", "test.state", *reserve], 0o600)
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
        self.now_s, self.boot = self.clock.now_s, 0
        self.spool = Spool.open("test", self.options, clock=self.clock, boot_id="0")

    def trim(self):
        def too_much():
            oldest_s = self.expected[0][3]
            too_old = oldest_s < self.now_s - self.MAX_AGE_S
            size = sum(len(payload) + len(id_) + HEADER_BYTES for _, id_, payload, _ in self.expected)
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
        if size + len(id_) + HEADER_BYTES > self.MAX_BYTES:
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

    @rule()
    def restart(self):
        self.spool.close()
        self.trim()
        self.spool, self.dropped = Spool.open("test", self.options, clock=self.clock, boot_id=str(self.boot)), 0

    @rule(up_s=st.sampled_from([5, 1800]))
    def reboot(self, up_s):
        """The device was off for an unknown time, and has been on for `up_s` again."""
        self.spool.close()
        self.trim()
        self.boot += 1
        self.clock.now_s = up_s
        self.now_s += up_s
        self.spool, self.dropped = Spool.open("test", self.options, clock=self.clock, boot_id=str(self.boot)), 0

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
TestBounded.settings = settings(max_examples=25, stateful_step_count=30, derandomize=True)


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


DAY_S = 24 * 3600


@pytest.mark.parametrize("jump_s", [-3600, 3600, -30 * DAY_S, 30 * DAY_S, -56 * 365 * DAY_S])
def test_a_wall_clock_that_is_set_ages_nothing(options, monkeypatch, jump_s):
    spool = Spool.open("test", SpoolOptions(directory=options.directory, max_age_h=0.5))
    numbers = fill(spool, 1)
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + jump_s)
    numbers += fill(spool, 1, start=1)
    spool.close()
    # And between two runs, as on a device without a battery clock.
    spool = Spool.open("test", SpoolOptions(directory=options.directory, max_age_h=0.5))
    numbers += fill(spool, 1, start=2)
    assert [row.age_s < 60 for row in spool.peek()] == [True, True, True]
    assert ids(spool) == ["id 0", "id 1", "id 2"]
    assert numbers == sorted(numbers)
    assert spool.dropped == 0
    spool.close()


def test_an_event_ages_while_the_device_is_on_over_boots(options):
    limits, clock = SpoolOptions(directory=options.directory, max_age_h=2), Clock(50.0)
    spool = Spool.open("test", limits, clock=clock, boot_id="first boot")
    fill(spool, 1)
    clock.now_s += 3600
    fill(spool, 1, start=1)
    spool.close()
    clock.now_s = 20.0
    spool = Spool.open("test", limits, clock=clock, boot_id="second boot")
    assert [row.age_s for row in spool.peek()] == [3620, 20]
    clock.now_s += 3600
    assert [row.age_s for row in spool.peek()] == [3620]
    assert spool.dropped == 1
    spool.close()


def test_without_its_state_no_event_is_too_old(options, tmp_path):
    limits, clock = SpoolOptions(directory=options.directory, max_age_h=2), Clock(1e6)
    spool = Spool.open("test", limits, clock=clock, boot_id="first boot")
    fill(spool, 2)
    spool.close()
    (tmp_path / "state/test.state").unlink()
    clock.now_s = 20.0
    spool = Spool.open("test", limits, clock=clock, boot_id="second boot")
    assert [row.age_s for row in spool.peek()] == [0, 0]
    spool.close()


def test_counts_can_be_read_while_another_thread_waits_for_the_disk(options):
    spool = Spool.open("test", options)
    fill(spool, 3)
    # As long as a write to a stalled disk takes, its thread holds the lock.
    with spool._changing:
        read = []
        reader = threading.Thread(
            target=lambda: read.append((spool.depth, spool.on_disk, spool.dropped, spool.refused)), daemon=True
        )
        reader.start()
        reader.join(10)
        assert read == [(3, 3, 0, 0)]
    spool.close()


def test_a_refused_event_is_set_aside_and_the_others_go_on(options, tmp_path):
    spool = Spool.open("test", options)
    numbers = [spool.append(b'{"n":%d}' % number, f"id {number}") for number in range(3)]
    spool.set_aside(spool.peek()[0], "Not authorized")
    assert [row.sequence for row in spool.peek()] == numbers[1:]
    assert (spool.depth, spool.refused, spool.dropped) == (2, 1, 0)
    line = json.loads((tmp_path / "state/test.refused").read_text())
    assert (line["reason"], line["id"], line["event"]) == ("Not authorized", "id 0", {"n": 0})
    assert (tmp_path / "state/test.refused").stat().st_mode & 0o777 == 0o600
    spool.close()


def test_the_file_of_refused_events_is_bounded(options, tmp_path):
    spool = Spool.open("test", options)
    for number in range(5):
        spool.append(b'"%s"' % (b"x" * 400_000), f"id {number}")
        spool.set_aside(spool.peek()[0], "too large")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "state").glob("test.refused*")}
    assert sizes.keys() == {"test.refused", "test.refused.1"}
    assert sum(sizes.values()) < 2_500_000
    assert spool.refused == 5
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
    spool.remove(numbers[5])
    assert ids(spool, limit=2) == ["id 6", "id 8"]
    spool.close()


def test_nothing_is_taken_after_its_end(options):
    spool = Spool.open("test", options)
    spool.close()
    spool.close()
    with pytest.raises(ValueError, match="spool test is closed"):
        spool.append(b"", "late")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\n"])
def test_names_are_those_of_files(options, name):
    with pytest.raises(ValueError, match="not a valid file name"):
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


def test_closing_raises_nothing_because_of_the_disk(options, monkeypatch):
    spool = Spool.open("test", options)
    fill(spool, 2)

    def fail():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool._events, "write_state", fail)
    spool.close()
    assert ids(Spool.open("test", options)) == ["id 0", "id 1"]


def test_events_of_a_full_file_that_was_removed_while_in_use_are_counted(options, tmp_path, caplog):
    # A new file is begun after 64 KiB.
    spool = Spool.open("test", SpoolOptions(directory=options.directory, max_mb=1))
    spool.append(bytes(100_000), "large")
    fill(spool, 3)
    shutil.rmtree(tmp_path / "state")
    fill(spool, 1, start=3)
    assert ids(spool) == ["id 0", "id 1", "id 2", "id 3"]
    assert spool.dropped == 1
    assert (
        f"spool test: {tmp_path}/state/test.spool was removed while in use; creating it again, with 3 of 4 events"
        in (caplog.text)
    )
    assert "1 events dropped undelivered so far: their files were removed" in caplog.text
    with pytest.raises(SinkError, match="another"):
        Spool.open("test", options)
    spool.close()
    Spool.open("test", options).close()


def test_events_are_read_over_files(options, tmp_path):
    spool = Spool.open("test", SpoolOptions(directory=options.directory, max_mb=1))
    numbers = [spool.append(bytes(60_000), f"id {number}") for number in range(6)]
    files = sorted((tmp_path / "state").glob("test*.spool*"))
    assert len(files) > 3
    assert ids(spool, limit=4) == [f"id {number}" for number in range(4)]
    assert ids(spool, after_sequence=numbers[1], limit=2) == ["id 2", "id 3"]
    assert ids(spool) == [f"id {number}" for number in range(6)]
    spool.close()


def test_files_that_another_took_after_their_removal_are_left_to_it(options, tmp_path, caplog):
    spool = Spool.open("test", options)
    fill(spool, 2)
    shutil.rmtree(tmp_path / "state")
    other = Spool.open("test", options)
    fill(spool, 1, start=2)
    assert ids(spool) == ["id 0", "id 1", "id 2"]
    assert (spool.on_disk, ids(other)) == (0, [])
    assert "the newest 1000 events are held in memory" in caplog.text
    other.close()
    fill(spool, 1, start=3)
    assert spool.on_disk == 4
    spool.close()


def test_a_disk_that_works_again_is_reported_once(options, monkeypatch, caplog):
    caplog.set_level("INFO")
    spool = Spool.open("test", options)
    with monkeypatch.context() as broken:
        broken.setattr(spool._events, "append", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        fill(spool, 2)
        assert (spool.depth, spool.on_disk) == (2, 0)
    fill(spool, 1, start=2)
    assert (spool.depth, spool.on_disk) == (3, 3)
    said = [record.getMessage() for record in caplog.records]
    assert sum("No space left on device; the newest" in line for line in said) == 1
    assert said.count("spool test: the disk takes events again") == 1
    spool.close()


def test_damaged_bytes_are_kept_beside_the_spool_for_its_owner_only(options, tmp_path):
    spool = Spool.open("test", options)
    fill(spool, 3)
    spool.close()
    path = tmp_path / "state/test.spool"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"payload 1", b"PAYLOAD 1"))
    spool = Spool.open("test", options)
    assert (ids(spool), spool.dropped) == (["id 0", "id 2"], 1)
    spool.close()
    damaged = tmp_path / "state/test.damaged"
    assert b"PAYLOAD 1" in damaged.read_bytes()
    assert damaged.stat().st_mode & 0o777 == 0o600
