"""What holds when the program is killed, the disk fails or somebody lays hand on the folder."""

import contextlib
import datetime
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from support.disks import fill_up, small_disk
from support.helpers import wait_until
from support.recordings import MODEL, encode, event, files_of, numbers_in, recording, sidecars_of, watch

from edgehar.errors import ConfigError
from edgehar.masks import View
from edgehar.recording.chain import Chain
from edgehar.recording.options import RecordOptions
from edgehar.recording.recorder import Recorder
from edgehar.recording.recovery import whole_fragments
from edgehar.recording.retention import prune
from edgehar.recording.store import Archive
from edgehar.recording.verify import problems
from edgehar.teaching.labels import judged, write_label


def identifier(number):
    return f"01a229b8-a5d9-7926-896a-{number:012d}"


def stories(count, every_s=2.0):
    """`count` events of 1 s each."""
    told = []
    for number in range(count):
        start_s = 2.0 + number * every_s
        told += [
            (start_s, event("start", start_s, id=identifier(number))),
            (start_s + 1.0, event("end", start_s, start_s + 1.0, id=identifier(number))),
        ]
    return told


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return encode(tmp_path_factory.mktemp("video") / "a.mp4", 400)


@pytest.fixture
def folder(tmp_path, video):
    """A folder with five recordings."""
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, video, stories(5))
    assert list(problems(Archive(tmp_path / "rec"))) == []
    assert len(sidecars_of(tmp_path / "rec")) == 5
    return tmp_path / "rec"


def found(folder, head=None):
    return "\n".join(problems(Archive(folder), head))


@pytest.mark.parametrize("suffix", [".mp4", ".jpg", ".json"])
def test_a_removed_file_is_found(folder, suffix):
    files_of(folder, suffix)[2].unlink()
    assert f"{suffix}: missing" in found(folder)


@pytest.mark.parametrize("suffix", [".mp4", ".jpg", ".json"])
def test_an_altered_file_is_found(folder, suffix):
    path = files_of(folder, suffix)[2]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert f"{suffix}: altered" in found(folder)


def test_two_recordings_that_changed_places_are_found(folder):
    first, second = files_of(folder, ".mp4")[:2]
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    assert found(folder).count("altered") == 2


def test_a_line_that_was_removed_from_the_ledger_is_found_with_its_files(folder):
    ledger = folder / "chain.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    path = json.loads(lines[2])["path"]
    for suffix in json.loads(lines[2])["files"]:
        (folder / (path + suffix)).unlink()
    ledger.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert "does not follow the line before it" in found(folder)


def test_a_chain_that_was_written_anew_is_found_by_a_hash_noted_earlier(folder):
    head = Chain(folder).head()
    assert found(folder, head) == ""
    ledger = folder / "chain.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    path = json.loads(lines[4])["path"]
    for suffix in json.loads(lines[4])["files"]:
        (folder / (path + suffix)).unlink()
    ledger.write_bytes(b"".join(lines[:4]))
    assert found(folder) == ""
    assert "cut short" in found(folder, head)


def test_lines_that_changed_places_are_found(folder):
    ledger = folder / "chain.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    assert "reordered" in found(folder)


def test_a_file_that_was_added_is_found(folder):
    path = files_of(folder, ".mp4")[0]
    shutil.copy(path, path.with_name("another.mp4"))
    assert "not on the chain" in found(folder)


def test_a_recording_in_progress_is_no_problem(tmp_path, video):
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, video, stories(1)[:1])
        wait_until(lambda: files_of(tmp_path / "rec", ".jpg"))
        assert "not on the chain" not in found(tmp_path / "rec")
    assert found(tmp_path / "rec") == ""


def test_removal_by_retention_is_on_the_chain(folder):
    archive = Archive(folder)
    sizes = [archive.size_of(line) for line in archive.chain.recordings().values()]
    count = prune(archive, RecordOptions(max_gb=sum(sizes[2:]) / 1e9 + 1e-9, min_free_mb=0))
    assert count == 2
    assert found(folder) == ""
    assert len(files_of(folder, ".mp4")) == 3
    assert [line.kind for _, line, _ in archive.chain.lines()] == ["clip"] * 5 + ["removed"] * 2


def test_a_label_is_no_addition_and_goes_with_its_recording(folder):
    archive = Archive(folder)
    first, *_ = archive.chain.recordings().values()
    write_label(folder / first.path, judged("right", "bright"))
    assert list(problems(archive)) == []
    archive.remove(first, "test")
    assert not list(folder.rglob("*.label.json"))
    assert list(problems(archive)) == []


def test_old_recordings_go_and_new_ones_stay(folder):
    archive = Archive(folder)
    now = datetime.datetime.now(datetime.UTC)
    assert prune(archive, RecordOptions(max_age_days=1, min_free_mb=0), now) == 0
    assert prune(archive, RecordOptions(max_age_days=1, min_free_mb=0), now + datetime.timedelta(days=2)) == 5
    assert files_of(folder, ".mp4") == []


def test_recordings_of_a_clock_that_was_not_set_yet_are_kept(tmp_path, video, monkeypatch):
    """A device without a battery clock starts in 1970, and records before the network sets its clock."""
    monkeypatch.setattr("edgehar.recording.chain.utc_now", lambda: "1970-01-01T00:00:20.000Z")
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, video, [(3.0, event("start", 3.0)), (4.0, event("end", 3.0, 4.0))])
    monkeypatch.undo()
    archive = Archive(tmp_path / "rec")
    now = datetime.datetime.now(datetime.UTC)
    options = RecordOptions(max_age_days=1, min_free_mb=0)
    assert prune(archive, options, now) == 0
    # Its age counts from the next line of the ledger.
    archive.chain.append("uploaded", next(iter(archive.chain.recordings())), why="test")
    assert prune(archive, options, now) == 0
    assert prune(archive, options, now + datetime.timedelta(days=2)) == 1


def test_recordings_of_a_clock_that_was_set_back_are_kept(folder):
    now = datetime.datetime.now(datetime.UTC)
    options = RecordOptions(max_age_days=1, min_free_mb=0)
    assert prune(Archive(folder), options, now - datetime.timedelta(days=365)) == 0
    assert list(problems(Archive(folder))) == []


def test_what_another_process_adds_to_the_ledger_is_seen(folder):
    chain, other = Chain(folder), Chain(folder)
    first, second, *_ = chain.recordings()
    other.append("removed", first, why="test")
    other.append("uploaded", second, why="test")
    assert list(chain.recordings()) == list(other.recordings())
    assert len(chain.recordings()) == 4
    assert chain.uploaded() == {second}
    (folder / "chain.jsonl").unlink()
    assert chain.recordings() == {}
    chain.append("clip", "x", {})
    assert list(chain.recordings()) == ["x"]


def test_half_a_line_of_a_power_cut_does_not_break_the_chain(folder):
    with (folder / "chain.jsonl").open("ab") as ledger:
        ledger.write(b'{"number":6,"kind":"cl')
    Chain(folder).append("uploaded", "x")
    assert found(folder) == ""


def test_a_clip_cut_at_any_byte_plays_up_to_its_last_fragment(tmp_path, folder):
    whole = files_of(folder, ".mp4")[0]
    data, cut = whole.read_bytes(), tmp_path / "cut.mp4"
    generator = random.Random(1)
    for length in sorted(generator.sample(range(len(data)), 60)):
        cut.write_bytes(data[:length])
        playable = whole_fragments(cut)
        assert playable <= length
        if playable:
            os.truncate(cut, playable)
            numbers = numbers_in(cut)
            assert numbers == numbers_in(whole)[: len(numbers)]
            assert len(numbers) >= 12
    assert whole_fragments(whole) == len(data)


def whole_copy(folder, copy):
    """Copy `folder` as it is at one moment, while a recorder writes to it."""
    while True:
        ledger = folder / "chain.jsonl"
        lines = ledger.read_bytes() if ledger.exists() else b""
        # A file that is renamed after its folder was listed is in the copy under neither name, as on no disk.
        with contextlib.suppress(shutil.Error):
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".lock"))
            # With a line that was written meanwhile, the copy may hold the line without its files, or the reverse.
            if lines == (ledger.read_bytes() if ledger.exists() else b""):
                return copy
        shutil.rmtree(copy)


def test_the_folder_copied_at_random_moments_is_recovered_whole(tmp_path, video):
    """As a power cut finds it: whatever was flushed is there, and what grows is cut at a random byte."""
    generator, copies = random.Random(2), []
    with recording(tmp_path / "rec") as (_, camera):

        def on_moment():
            copy = whole_copy(tmp_path / "rec", tmp_path / f"copy{len(copies)}")
            for growing in copy.glob("*/*/.*.mp4.part"):
                os.truncate(growing, generator.randint(0, growing.stat().st_size))
            copies.append(copy)

        camera.ring.clock = lambda: 0.0
        told = stories(6)
        for place in range(1, len(told), 2):
            told.append((told[place][0] + generator.random(), on_moment))
        waiting = sorted(told, key=lambda pair: pair[0])
        from edgehar.sources import open_source

        with open_source(str(video)) as frames:
            frames.tap = camera
            for frame in frames:
                camera.take(frame, live=False)
                while waiting and frame.captured_s >= waiting[0][0]:
                    record = waiting.pop(0)[1]
                    _ = record() if callable(record) else camera.records([record])
    assert len(copies) == 6
    for copy in copies:
        acknowledged = {line.path for line in Archive(copy).chain.recordings().values()}
        Recorder(RecordOptions(directory=str(copy), min_free_mb=0)).close(30)
        assert found(copy) == ""
        assert acknowledged <= set(Archive(copy).chain.recordings())
        assert not list(copy.glob("*/*/.*"))
        for clip in files_of(copy, ".mp4"):
            assert numbers_in(clip)


KILLED = """
    import os, signal, sys
    from support.recordings import recording, watch
    from test_evidence import stories
    from pathlib import Path
    from edgehar.sources import open_source
    story, stop_s = stories(6), float(sys.argv[3])
    with recording(Path(sys.argv[2])) as (_, camera):
        with open_source(sys.argv[1]) as frames:
            frames.tap = camera
            for frame in frames:
                camera.take(frame, live=False)
                while story and frame.captured_s >= story[0][0]:
                    camera.records([story.pop(0)[1]])
                if frame.captured_s >= stop_s:
                    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("stop_s", [2.5, 5.0, 9.1, 12.9])
def test_kill_9_leaves_clips_that_play_and_a_chain_that_holds(tmp_path, video, stop_s):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1])])
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(video), str(tmp_path / "rec"), str(stop_s)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, check=False, capture_output=True, timeout=300
    )
    assert done.returncode == -9, done.stderr.decode()
    Recorder(RecordOptions(directory=str(tmp_path / "rec"), min_free_mb=0)).close(30)
    assert found(tmp_path / "rec") == ""
    for clip in files_of(tmp_path / "rec", ".mp4"):
        assert numbers_in(clip)
    recovered = [sidecar for sidecar in sidecars_of(tmp_path / "rec") if sidecar["recovered"]]
    assert all(sidecar["events"][0]["phase"] == "start" for sidecar in recovered)


def test_a_full_disk_ends_recording_and_nothing_else(tmp_path, video):
    with small_disk(tmp_path / "disk", 2000) as disk:
        fill_up(disk).rename(disk / "ballast0")
        ballast = disk / "ballast0"
        os.truncate(ballast, ballast.stat().st_size - 60_000)
        with recording(disk / "rec") as (recorder, camera):
            told = watch(camera, video, stories(6))
        assert len(told) == 12
        assert recorder.failed >= 1
        ballast.unlink()
        # With room again the next start makes recordings of what is left, and records on.
        with recording(disk / "rec") as (_, camera):
            watch(camera, video, [(when, msgspec.structs.replace(e, id=e.id[:-1] + "f")) for when, e in stories(1)])
        assert found(disk / "rec") == ""
        for clip in files_of(disk / "rec", ".mp4"):
            assert numbers_in(clip)


def test_the_oldest_recordings_make_room_before_recording_stops(tmp_path, video):
    with small_disk(tmp_path / "disk", 4000) as disk:
        with recording(disk / "rec") as (_, camera):
            watch(camera, video, stories(3))
        free = os.statvfs(disk)
        least_mb = (free.f_bavail * free.f_frsize + 10_000) / 1e6
        with recording(disk / "rec", min_free_mb=least_mb) as (recorder, _):
            pass
        assert recorder.accepts
        assert len(files_of(disk / "rec", ".mp4")) < 3
        assert found(disk / "rec") == ""


def test_a_folder_that_is_removed_while_running_is_made_again(tmp_path, video):
    with recording(tmp_path / "rec") as (recorder, camera):
        watch(camera, video, stories(1))
        wait_until(lambda: recorder.recorded == 1)
        shutil.rmtree(tmp_path / "rec")
        other = recorder.camera("yard", MODEL, View())
        told = watch(other, video, stories(1))
        assert told[0].clip is not None
    assert len(files_of(tmp_path / "rec", ".mp4")) == 1
    # The new chain shows that something came before it.
    assert "does not name the sidecar before it" in found(tmp_path / "rec")


def test_a_folder_that_cannot_be_used_is_an_error_at_the_start(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        Recorder(RecordOptions(directory=str(tmp_path / "file" / "rec")))


def test_two_processes_do_not_record_into_one_folder(tmp_path):
    recorder = Recorder(RecordOptions(directory=str(tmp_path / "rec"), min_free_mb=0))
    with pytest.raises(ConfigError, match="another process"):
        Recorder(RecordOptions(directory=str(tmp_path / "rec")))
    recorder.close()
    Recorder(RecordOptions(directory=str(tmp_path / "rec"), min_free_mb=0)).close()
