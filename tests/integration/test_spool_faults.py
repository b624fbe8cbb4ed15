"""The queue on disk when its process is killed, its file damaged, its folder read-only or its disk full."""

import logging
import os
import signal
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
        # Those that were taken but not read here yet; the last line may be torn.
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
        with pytest.raises(SinkError, match=f"used by another edgehar .process {process.pid}.; end that one"):
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
        lambda path: path.write_bytes(b"this is no database at all" * 1000),
        lambda path: scribble(path, 4096, 40_000),
        lambda path: os.truncate(path, path.stat().st_size - 4096 * 3),
        lambda path: scribble(path, 60, 4),
    ],
    ids=["another file", "pages", "truncated", "another version"],
)
def test_a_damaged_file_is_put_aside_and_said(options, tmp_path, caplog, damage):
    spool = Spool.open("test", options)
    fill(spool, 500)
    spool.close()
    path = tmp_path / "state/test.spool"
    damage(path)
    spool = Spool.open("test", options)
    assert spool.depth == 0
    assert "test.damaged, and a new one begins" in caplog.text
    assert path.with_suffix(".damaged").exists()
    fill(spool, 3, start=1000)
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == [1000, 1001, 1002]
    spool.close()


def test_damage_while_running_costs_what_was_in_the_file_only(options, tmp_path, caplog):
    spool = Spool.open("test", options)
    numbers = fill(spool, 20_000, size=300)
    scribble(tmp_path / "state/test.spool", 0, 2_000_000)
    delivered = spool.peek(limit=1_000_000)
    for row in delivered:
        spool.remove(row.sequence)
    later = fill(spool, 10, start=50_000)
    assert "the file is damaged" in caplog.text
    assert ids(spool)[-10:] == list(range(50_000, 50_010))
    assert later[0] > numbers[-1]
    assert spool.depth + spool.dropped + len(delivered) >= 20_010
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
    with pytest.raises(SinkError, match=r"state: cannot keep undelivered events there: File exists; make it a folder"):
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


def test_a_disk_that_becomes_read_only_and_writable_again(options, caplog):
    spool = Spool.open("test", options)
    numbers = fill(spool, 10)
    # SQLite then says what it says on a disk that the kernel has made read-only, which none may do to one in use.
    spool._file._db.execute("PRAGMA query_only = ON")
    fill(spool, 10, start=10)
    spool.remove(numbers[4])
    assert "attempt to write a readonly database; the newest" in caplog.text
    assert ids(spool) == [0, 1, 2, 3, *range(5, 20)]
    assert spool.depth == 19
    spool._file._db.execute("PRAGMA query_only = OFF")
    fill(spool, 1, start=20)
    spool.close()
    spool = Spool.open("test", options)
    assert ids(spool) == [0, 1, 2, 3, *range(5, 21)]
    assert caplog.text.count("held in memory") == 1
    spool.close()
