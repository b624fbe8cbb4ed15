"""The queue on disk when its process is killed, its file damaged, its folder read-only or its disk full."""

import contextlib
import logging
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from support.disks import fill_up, small_disk

from edgehar import SinkError
from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.spool.queue import HELD_MAX, Spool

APPENDING = """
import sys
from edgehar.sinks.spool.queue import Spool
from edgehar.sinks.spool.options import SpoolOptions
spool = Spool.open("test", SpoolOptions(directory=sys.argv[1], sync=sys.argv[2]))
for number in range(1_000_000):
    spool.append(b"x" * (number % 5000), str(number))
    print(number, flush=True)
"""


@pytest.fixture
def options(tmp_path):
    return SpoolOptions(directory=str(tmp_path / "state"))


def fill(spool, count, start=0, size=300):
    return [spool.append(b"x" * size, str(number)) for number in range(start, start + count)]


def ids(spool):
    return [int(row.id) for row in spool.peek(limit=1_000_000)]


@pytest.mark.parametrize("sync", ["normal", "full"])
@pytest.mark.parametrize("after", [1, 400])
def test_what_was_taken_survives_a_kill(options, sync, after):
    command = [sys.executable, "-c", APPENDING, options.directory, sync]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(after):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        # Events that were taken but not read here yet; the last line may be torn.
        rest = process.stdout.read().splitlines(keepends=True)
        last = max([last, *(int(line) for line in rest if line.endswith("\n"))])
    spool = Spool.open("test", options)
    found = spool.peek(limit=1_000_000)
    # One more may have been taken before it could say so.
    assert len(found) - 1 in (last, last + 1)
    assert [(int(row.id), len(row.payload)) for row in found] == [(n, n % 5000) for n in range(len(found))]
    spool.close()


def test_a_second_process_is_refused(options):
    with subprocess.Popen(
        [sys.executable, "-c", APPENDING, options.directory, "normal"], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with pytest.raises(SinkError, match=f"used by another edgehar .process {process.pid}.; stop it"):
            Spool.open("test", options)
        process.kill()
    Spool.open("test", options).close()


def test_all_threads_at_once(options):
    spool = Spool.open("test", options)

    def work(thread):
        for number in range(50):
            sequence = spool.append(b"", str(thread * 100 + number))
            spool.peek()
            if number % 2:
                spool.remove(sequence)

    threads = [threading.Thread(target=work, args=[place]) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(spool)) == [thread * 100 + number for thread in range(4) for number in range(0, 50, 2)]
    assert (spool.depth, spool.dropped) == (100, 0)
    spool.close()


def scribble(path, start, length):
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is not a spool" * 1000),
        lambda path: scribble(path, 4096, 40_000),
        lambda path: os.truncate(path, path.stat().st_size - 4096 * 3),
        lambda path: scribble(path, 60, 4),
        lambda path: path.write_bytes(
            (content := path.read_bytes())[:20_000] + content[30_000:] + content[20_000:30_000]
        ),
        lambda path: path.write_bytes((content := path.read_bytes()) + content[10_000:20_000]),
        lambda path: path.unlink(),
        lambda path: path.with_suffix(".state").write_bytes(b"\xa5" * 256),
        lambda path: path.with_suffix(".state").unlink(),
    ],
    ids=["another file", "the middle", "truncated", "one event", "moved", "repeated", "removed", "state", "no state"],
)
def test_events_of_a_damaged_file_are_delivered_or_counted(options, tmp_path, caplog, damage):
    spool = Spool.open("test", options)
    sent = {sequence: f"{number}".encode() * 50 for number in range(500) if (sequence := spool.append(
        f"{number}".encode() * 50, str(number)))}  # fmt: skip
    for sequence in list(sent)[:100]:
        spool.remove(sequence)
        del sent[sequence]
    spool.close()
    damage(tmp_path / "state/test.spool")
    spool = Spool.open("test", options)
    found = spool.peek(limit=1_000_000)
    # Removals may be lost as well: then an event comes twice.
    again = [row for row in found if row.sequence not in sent]
    assert [row.payload for row in found if row.sequence in sent] == [
        sent[row.sequence] for row in found if row.sequence in sent
    ]
    lost = len(sent) - (len(found) - len(again))
    assert spool.dropped >= lost
    assert (f"{spool.dropped} events dropped undelivered so far: damaged or missing" in caplog.text) == (lost > 0)
    later = fill(spool, 3, start=1000)
    assert min(later) > max(sent)
    assert ids(spool)[-3:] == [1000, 1001, 1002]
    spool.close()
    # What was counted once is not counted again.
    spool = Spool.open("test", options)
    assert (spool.depth, spool.dropped) == (len(found) + 3, 0)
    spool.close()


def test_damage_while_running_is_counted_and_the_rest_goes_on(options, tmp_path, caplog):
    spool = Spool.open("test", options)
    numbers = fill(spool, 20_000, size=300)
    files = sorted((tmp_path / "state").glob("test.spool*"))
    assert len(files) > 5
    scribble(tmp_path / "state/test.spool", 0, 20_000)
    files[2].unlink()
    delivered = spool.peek(limit=1_000_000)
    assert "events dropped undelivered so far: damaged or missing" in caplog.text
    assert len(delivered) + spool.dropped == 20_000
    assert len(delivered) > 15_000
    for row in delivered[:100]:
        spool.remove(row.sequence)
    later = fill(spool, 10, start=50_000)
    assert ids(spool)[-10:] == list(range(50_000, 50_010))
    assert later[0] > numbers[-1]
    assert spool.depth + spool.dropped + 100 == 20_010
    spool.close()


def test_a_folder_removed_while_running_is_created_again(options, tmp_path, caplog):
    spool = Spool.open("test", options)
    fill(spool, 5000)
    shutil.rmtree(tmp_path / "state")
    fill(spool, 10, start=5000)
    assert "was removed while in use; creating it again" in caplog.text
    found = ids(spool)
    assert found[-10:] == list(range(5000, 5010))
    assert len(found) == 5010 - spool.dropped
    assert len(found) > 100
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with pytest.raises(SinkError, match="used by another edgehar"):
        Spool.open("test", options)
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == found
    spool.close()


@pytest.mark.parametrize(("mode", "said"), [(0o777, True), (0o1777, False), (0o750, False)])
def test_a_folder_that_others_may_write_is_said_and_left_as_it_is(options, tmp_path, caplog, mode, said):
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(mode)
    Spool.open("test", options).close()
    assert ("every user of this machine can delete the events in it (mode 777); run: chmod 700" in caplog.text) == said
    assert (tmp_path / "state").stat().st_mode & 0o7777 == mode


def test_events_of_an_earlier_version_are_taken_over(options, tmp_path):
    (tmp_path / "state").mkdir()
    database = sqlite3.connect(tmp_path / "state/test.spool", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE events (sequence INTEGER PRIMARY KEY, id TEXT, time_s REAL, payload BLOB)")
    database.executemany("INSERT INTO events VALUES (?, ?, 1.0, ?)", [(n, str(n), b"{}") for n in range(1, 31)])
    database.close()
    spool = Spool.open("test", options)
    fill(spool, 1, start=31)
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == list(range(1, 32))
    assert spool.dropped == 0
    spool.close()


def test_an_empty_file_is_no_damage(options, tmp_path, caplog):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/test.spool").touch()
    spool = Spool.open("test", options)
    fill(spool, 1)
    assert not caplog.text
    spool.close()


def test_a_file_in_place_of_the_folder_is_refused(options, tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(SinkError, match=r"state: cannot store undelivered events: File exists; make it a folder"):
        Spool.open("test", options)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", kilobytes=6000) as folder:
        yield folder


def test_a_read_only_folder_is_refused(disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    options = SpoolOptions(directory=str(disk / "state"))
    with pytest.raises(SinkError, match="Read-only file system; make it a folder that this user can write"):
        Spool.open("test", options)


def test_on_a_full_disk_the_newest_are_kept_and_on_disk(disk, caplog):
    options = SpoolOptions(directory=str(disk))
    spool = Spool.open("test", options)
    fill(spool, 300)
    ballast = fill_up(disk)
    fill(spool, 12_000, start=300)
    assert "events dropped undelivered so far: the disk is full" in caplog.text
    found = ids(spool)
    # In order, without a gap, up to the newest.
    assert found == list(range(12_300 - len(found), 12_300))
    assert (spool.depth, spool.dropped) == (len(found), 12_300 - len(found))
    assert len(found) > 3000
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == found
    for row in spool.peek(limit=100):
        spool.remove(row.sequence)
    assert spool.depth == len(found) - 100
    ballast.unlink()
    fill(spool, 3000, start=12_300)
    assert (spool.depth, spool.dropped) == (len(found) + 2900, 0)
    spool.close()


def test_a_disk_full_from_the_start_is_used_once_there_is_room(disk, caplog):
    caplog.set_level(logging.INFO)
    options = SpoolOptions(directory=str(disk))
    ballast = fill_up(disk)
    spool = Spool.open("test", options)
    fill(spool, HELD_MAX + 10)
    assert caplog.text.count("are held in memory until the disk takes them") == 1
    assert ids(spool) == list(range(10, HELD_MAX + 10))
    ballast.unlink()
    fill(spool, 10, start=HELD_MAX + 10)
    assert "the disk takes events again" in caplog.text
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == list(range(10, HELD_MAX + 20))
    spool.close()


@contextlib.contextmanager
def no_file_may_grow_beyond(size):
    """Let the kernel refuse every write beyond `size` bytes of a file, as a failing disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fails_and_works_again(options, caplog):
    caplog.set_level(logging.INFO)
    spool = Spool.open("test", options)
    numbers = fill(spool, 10)
    with no_file_may_grow_beyond(1024):
        fill(spool, 10, start=10)
        spool.remove(numbers[4])
        assert "File too large; the newest" in caplog.text
        assert ids(spool) == [0, 1, 2, 3, *range(5, 20)]
        assert (spool.depth, spool.on_disk) == (19, 9)
    fill(spool, 1, start=20)
    assert "the disk takes events again" in caplog.text
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == [0, 1, 2, 3, *range(5, 21)]
    assert caplog.text.count("held in memory") == 1
    spool.close()


def test_what_a_second_writer_takes_of_a_full_disk_is_not_the_spools(disk, caplog):
    options = SpoolOptions(directory=str(disk))
    spool = Spool.open("test", options)
    fill(spool, 300)
    fill_up(disk)
    for number in range(300, 12_300):
        fill(spool, 1, start=number)
        if number % 100 == 0:
            fill_up(disk, f"ballast{number}")
    found = ids(spool)
    assert found == list(range(12_300 - len(found), 12_300))
    assert spool.on_disk == len(found) > 3000
    assert spool.dropped == 12_300 - len(found)
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == found
    spool.close()


def test_the_damage_script_finds_nothing_stuck_wrong_or_silent(request):
    script = request.path.parents[2] / "scripts/faults/spool_damage.py"
    command = [sys.executable, script, "--flips", "200", "--damages", "10", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "single bits of test.spool (17406 bytes): 180 trials" in done.stdout
    counts = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert sum(int(count) for *_, lost, count in counts if lost == "lost") > 100
