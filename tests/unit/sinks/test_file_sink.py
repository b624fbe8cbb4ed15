"""Results in rotating files: nothing is torn, nothing grows without end, and a full disk does not end the run."""

import itertools
import json
import logging
import os
import pathlib
import stat

import msgspec
import pytest
from support.brokers import event, prediction
from support.disks import fill_up, small_disk

from edgehar import ConfigError
from edgehar.records import Status
from edgehar.sinks.files import FileSink
from edgehar.sinks.options import FileOptions

STATUS = Status("2026-11-21T05:40:00.123Z", "camera:0", "running", 0, 0, 0, 0.0)
LINE_BYTES = len(msgspec.json.encode(event(0))) + 1


def sink(path, **options):
    return FileSink(FileOptions(path=str(path), **options))


def numbers(path):
    """The number of each event in a file, every line of which is one."""
    lines = path.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines)
    return [int(json.loads(line)["id"]) for line in lines]


@pytest.mark.parametrize(("predictions", "types"), [(True, ["prediction", "event"]), (False, ["event"])])
def test_each_record_is_a_line_that_is_there_at_once(tmp_path, predictions, types):
    path = tmp_path / "results.jsonl"
    written = sink(path, predictions=predictions)
    for record in (prediction(0), STATUS, event(0)):
        written.write(record)
    assert [json.loads(line)["type"] for line in path.read_text().splitlines()] == types
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written.close()


def test_files_are_rotated_by_size_and_the_oldest_go(tmp_path):
    path = tmp_path / "results.jsonl"
    written = sink(path, max_mb=0.001, keep=2)
    per_file = 1000 // LINE_BYTES
    for number in range(10 * per_file - 1):
        written.write(event(number))
    written.close()
    assert sorted(found.name for found in tmp_path.iterdir()) == [
        "results.jsonl", "results.jsonl.1", "results.jsonl.2",
    ]  # fmt: skip
    kept = [numbers(found) for found in (tmp_path / "results.jsonl.2", tmp_path / "results.jsonl.1", path)]
    assert list(itertools.chain(*kept)) == list(range(7 * per_file, 10 * per_file - 1))
    assert max(found.stat().st_size for found in tmp_path.iterdir()) <= 1000


def test_no_earlier_file_is_kept_when_none_is_asked_for(tmp_path):
    path = tmp_path / "results.jsonl"
    written = sink(path, max_mb=0.001, keep=0)
    for number in range(30):
        written.write(event(number))
    written.close()
    assert [found.name for found in tmp_path.iterdir()] == ["results.jsonl"]
    assert numbers(path)[-1] == 29


def test_a_line_larger_than_a_file_is_written_all_the_same(tmp_path):
    path = tmp_path / "results.jsonl"
    written = sink(path, max_mb=0.001, keep=1)
    large = msgspec.structs.replace(event(1), label="x" * 2000)
    for record in (large, large, event(2)):
        written.write(record)
    written.close()
    assert numbers(path) == [2]
    assert numbers(tmp_path / "results.jsonl.1") == [1]


def test_the_mode_of_the_file_is_kept(tmp_path):
    path = tmp_path / "results.jsonl"
    path.touch()
    path.chmod(0o644)
    written = sink(path, max_mb=0.001, keep=1)
    for number in range(30):
        written.write(event(number))
    written.close()
    assert {stat.S_IMODE(found.stat().st_mode) for found in tmp_path.iterdir()} == {0o644}


def test_it_goes_on_with_a_file_and_ends_a_torn_line(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b'{"whole":1}\n{"torn')
    written = sink(path)
    written.write(event(3))
    written.write(event(4))
    written.close()
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"whole":1}', '{"torn']
    assert [int(json.loads(line)["id"]) for line in lines[2:]] == [3, 4]


@pytest.mark.parametrize("take", [lambda path: path.rename(path.with_suffix(".old")), lambda path: path.unlink()])
def test_a_file_that_another_program_moved_or_removed_is_begun_anew(tmp_path, take):
    path = tmp_path / "results.jsonl"
    written = sink(path)
    written.write(event(0))
    take(path)
    written.write(event(1))
    written.close()
    assert numbers(path) == [1]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "other").mkdir()
    link = tmp_path / "results.jsonl"
    link.symlink_to(tmp_path / "other/real.jsonl")
    written = sink(link, max_mb=0.001, keep=1)
    for number in range(30):
        written.write(event(number))
    written.close()
    assert link.is_symlink()
    assert sorted(found.name for found in (tmp_path / "other").iterdir()) == ["real.jsonl", "real.jsonl.1"]


def test_a_full_device_loses_lines_counts_them_and_is_spoken_of_once(caplog):
    written = sink("/dev/full", max_mb=0.001)
    for number in range(100):
        written.write(event(number))
    written.close()
    assert written.dropped == 100
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("/dev/full: cannot be written: No space left on device; classification continues")
    assert last == "/dev/full: 100 records were dropped"
    assert pathlib.Path("/dev/full").is_char_device()


def test_a_full_disk_tears_no_line_and_is_used_again_when_there_is_room(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        path = disk / "results.jsonl"
        written = sink(path)
        written.write(event(0))
        ballast = fill_up(disk)
        for number in range(1, 100):
            written.write(event(number))
        before = numbers(path)
        assert before == list(range(len(before)))
        assert written.dropped == 100 - len(before) > 0
        ballast.unlink()
        written.write(event(1000))
        assert numbers(path) == [*before, 1000]
        written.close()
    assert ": written again" in caplog.text


def test_rotation_that_fails_lets_the_file_not_grow(tmp_path, caplog):
    path = tmp_path / "results.jsonl"
    (tmp_path / "results.jsonl.1").mkdir()
    written = sink(path, max_mb=0.001, keep=1)
    for number in range(30):
        written.write(event(number))
    assert path.stat().st_size <= 1000
    assert written.dropped == 30 - len(numbers(path))
    (tmp_path / "results.jsonl.1").rmdir()
    written.write(event(30))
    assert numbers(path) == [30]
    written.close()
    assert caplog.text.count("cannot be written") == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is neither a file nor a device; choose another"),
        (os.mkfifo, "is neither a file nor a device; choose another"),
        (lambda path: None, "cannot be written: No such file or directory; choose a path in a folder that exists"),
    ],
    ids=["folder", "pipe", "no folder"],
)
def test_what_takes_no_lines_is_refused_at_once(tmp_path, make, message):
    path = tmp_path / "place"
    make(path)
    with pytest.raises(ConfigError, match=message):
        sink(path if path.exists() else path / "results.jsonl")
