"""Clips: the pictures of the event and from before it, copied packet by packet out of every kind of stream."""

import json
import math
import threading

import av
import pytest
from support.helpers import wait_until
from support.recordings import (
    MODEL,
    OPTIONS,
    encode,
    event,
    files_of,
    numbers_in,
    recording,
    sidecars_of,
    watch,
)

from edgehar.masks import View
from edgehar.recording.clip import ClipInProgress
from edgehar.recording.clip_file import PlainOutput
from edgehar.recording.options import RecordOptions
from edgehar.recording.recorder import Recorder
from edgehar.records import Prediction, TimingMs, Window

START, END = event("start", 4.0), event("end", 4.0, 6.0)
STORY = ((4.0, START), (6.2, END))


def answer(end_s, score=0.5, label="bright"):
    scores = {"bright": score, "dark": 1 - score}
    return Prediction(
        seq=0, time="t", source="hall", model="tiny", label=label, score=score, scores=scores,
        window=Window(4, end_s - 0.3, end_s), frame_age_ms=1.0, timing_ms=TimingMs(0, 0, 0), dropped=0, rate_ok=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "codec", "b_frames"),
    [
        ("a.mp4", "libx264", 0),
        ("a.ts", "libx264", 0),
        ("a.mkv", "libx264", 3),
        ("a.ts", "libx264", 3),
        ("a.h264", "libx264", 0),
        ("a.mp4", "libx265", 0),
        ("a.ts", "libx265", 0),
    ],
)
def test_packets_are_copied_from_pre_roll_to_post_roll(tmp_path, name, codec, b_frames):
    options = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else None
    path = encode(tmp_path / name, 250, codec=codec, b_frames=b_frames, options=options)
    with recording(tmp_path / "rec") as (_, camera):
        told = watch(camera, path, STORY)
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    numbers = numbers_in(clip)
    # From the key frame at or before 3 s to 7 s, without a gap; what B-frames put in another order may be on the edge.
    assert numbers == [number % 100 for number in range(75, 75 + len(numbers))]
    assert abs(len(numbers) - 101) <= b_frames + 1
    assert {record.clip for record in told} == {str(clip.relative_to(tmp_path / "rec"))}
    (sidecar,) = sidecars_of(tmp_path / "rec")
    assert sidecar["clip"]["codec"] == ("h264" if codec == "libx264" else "hevc")
    assert sidecar["clip"]["start_s"] == pytest.approx(3.0, abs=0.05)
    assert (sidecar["clip"]["width"], sidecar["clip"]["height"]) == (96, 64)


def test_a_recorder_that_comes_after_the_end_writes_all_that_is_there(tmp_path, monkeypatch):
    ended, advance = threading.Event(), ClipInProgress.advance
    monkeypatch.setattr(ClipInProgress, "advance", lambda self, _: ended.wait(60) and advance(self, math.inf))
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, encode(tmp_path / "a.mp4", 250), STORY)
        camera.finish()
        ended.set()
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    # More than the packets of one look into the ring.
    assert abs(len(numbers_in(clip)) - 101) <= 1


def test_streams_that_cannot_be_copied_are_encoded(tmp_path):
    path = encode(tmp_path / "a.avi", 250, codec="mpeg4", options={"qscale": "2"})
    with recording(tmp_path / "rec", encoder_fps=25) as (_, camera):
        watch(camera, path, STORY)
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    there, numbers = numbers_in(path), numbers_in(clip)
    # From the key frame before 3 s: there is one every 2 s.
    assert 124 <= len(numbers) <= 127
    # Each within one step of what was shown then: it is coded a second time.
    assert all(abs(number - shown) <= 1 for number, shown in zip(numbers, there[50:], strict=False))


@pytest.mark.parametrize("encoder", ["libx264", "mjpeg"])
def test_frames_beyond_the_rate_are_not_encoded(tmp_path, encoder):
    path = encode(tmp_path / "a.avi", 250, codec="mpeg4")
    with recording(tmp_path / "rec", encoder=encoder, encoder_fps=5) as (_, camera):
        watch(camera, path, STORY)
    (sidecar,) = sidecars_of(tmp_path / "rec")
    assert 15 <= sidecar["clip"]["frames"] <= 31
    assert sidecar["clip"]["codec"] == ("h264" if encoder == "libx264" else "mjpeg")


def test_the_sidecar_holds_the_event_the_answers_and_the_hashes(tmp_path):
    path = encode(tmp_path / "a.mp4", 250)
    answers = [(second / 2, answer(second / 2, 0.5 + second / 100)) for second in range(20)]
    story = sorted([*STORY, *answers], key=lambda told: told[0])
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, path, story)
    (sidecar,) = sidecars_of(tmp_path / "rec")
    assert [record["phase"] for record in sidecar["events"]] == ["start", "end"]
    assert [row["end_s"] for row in sidecar["answers"]] == [second / 2 for second in range(6, 15)]
    assert sidecar["model"] == {"name": "tiny", "sha256": "0" * 64, "labels": ["bright", "dark"]}
    # The peak is the answer of the highest score within the event.
    assert sidecar["picture"]["captured_s"] == pytest.approx(4.0, abs=0.05)


def test_an_event_longer_than_max_s_is_split_without_a_gap(tmp_path):
    path = encode(tmp_path / "a.mp4", 500)
    with recording(tmp_path / "rec", max_s=4.0) as (_, camera):
        watch(camera, path, ((4.0, START), (15.0, event("end", 4.0, 15.0))))
    clips = files_of(tmp_path / "rec", ".mp4")
    assert len(clips) == 4
    assert [sidecar["part"] for sidecar in sidecars_of(tmp_path / "rec")] == [1, 2, 3, 4]
    numbers = [number for clip in clips for number in numbers_in(clip)]
    assert numbers == [number % 100 for number in range(75, 401)]
    assert len(files_of(tmp_path / "rec", ".jpg")) == 4


def test_events_whose_rolls_overlap_have_a_clip_each(tmp_path):
    path = encode(tmp_path / "a.mp4", 250)
    second = "01a229b8-a5d9-7926-896a-000000000002"
    story = (
        *STORY[:1],
        (5.0, event("end", 4.0, 5.0)),
        (5.2, event("start", 5.2, id=second)),
        (6.0, event("end", 5.2, 6.0, id=second)),
    )
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, path, story)
    clips = files_of(tmp_path / "rec", ".mp4")
    assert [numbers_in(clip)[0] for clip in clips] == [0, 75] or [numbers_in(clip)[0] for clip in clips] == [75, 0]


def test_a_stream_without_key_frames_gives_a_sidecar_that_says_so(tmp_path):
    path = encode(tmp_path / "a.mp4", 250, gop=1000, options={"sc_threshold": "0"})
    with recording(tmp_path / "rec", buffer_mb=0.1) as (_, camera):
        camera.ring._max_bytes = path.stat().st_size // 20
        watch(camera, path, STORY)
    assert files_of(tmp_path / "rec", ".mp4") == []
    (sidecar,) = sidecars_of(tmp_path / "rec")
    assert sidecar["clip"] is None
    assert "key frame" in sidecar["note"]
    assert len(files_of(tmp_path / "rec", ".jpg")) == 1


def test_a_change_of_size_in_mid_event_begins_another_part(tmp_path):
    small = encode(tmp_path / "a.ts", 125).read_bytes()
    large = encode(tmp_path / "b.ts", 125, height=128).read_bytes()
    (tmp_path / "c.ts").write_bytes(small + large)
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, tmp_path / "c.ts", ((4.0, START), (8.0, event("end", 4.0, 8.0))))
    sidecars = sidecars_of(tmp_path / "rec")
    assert [sidecar["clip"]["height"] for sidecar in sidecars] == [64, 128]
    for clip in files_of(tmp_path / "rec", ".mp4"):
        assert numbers_in(clip)


def test_a_change_of_codec_in_mid_event_begins_another_part(tmp_path):
    first = encode(tmp_path / "a.mp4", 125)
    second = encode(tmp_path / "b.mp4", 125, codec="libx265", options={"x265-params": "log-level=none:bframes=0"})
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, first, [(4.0, START)])
        # The camera comes back with other settings.
        watch(camera, second, [(3.0, event("end", 4.0, 8.0))])
    sidecars = sidecars_of(tmp_path / "rec")
    assert [sidecar["clip"]["codec"] for sidecar in sidecars] == ["h264", "hevc"]
    for clip in files_of(tmp_path / "rec", ".mp4"):
        assert numbers_in(clip)


def test_a_disk_that_is_too_slow_leaves_gaps_that_are_counted(tmp_path, monkeypatch):
    go_on = threading.Event()
    write = PlainOutput.write

    def slow(self, data):
        go_on.wait(60)
        return write(self, data)

    # A camera does not wait for the recorder, as the reader of a file does.
    monkeypatch.setattr("edgehar.recording.packets._FILE_WAIT_S", 0.0)
    path = encode(tmp_path / "a.mp4", 250, gop=10)
    recorder = Recorder(RecordOptions(directory=str(tmp_path / "rec"), **{**OPTIONS, "buffer_mb": 0.1}))
    camera = recorder.camera("hall", MODEL, View())
    watch(camera, path, [(3.0, event("start", 3.0))])
    wait_until(lambda: any(path.stat().st_size for path in (tmp_path / "rec").glob("*/*/.*.mp4.part")))
    monkeypatch.setattr(PlainOutput, "write", slow)
    # More than the ring holds passes by.
    for _ in range(3):
        watch(camera, path, [])
    go_on.set()
    # All of the video is part of the clip.
    watch(camera, path, [(9.5, event("end", 3.0, 9.9))])
    recorder.close(30)
    (sidecar,) = sidecars_of(tmp_path / "rec")
    assert sidecar["clip"]["gaps"] >= 1
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    assert 0 < len(numbers_in(clip)) < 5 * 250


def test_a_file_that_loops_goes_on_in_one_clip(tmp_path):
    path = encode(tmp_path / "a.mp4", 100)
    with recording(tmp_path / "rec") as (_, camera):
        waiting = [*STORY]
        from edgehar.sources import open_source

        with open_source(str(path), loop=True) as frames:
            frames.tap = camera
            for frame in frames:
                camera.take(frame, live=False)
                if waiting and frame.captured_s >= waiting[0][0]:
                    camera.records([waiting.pop(0)[1]])
                if frame.captured_s > 9:
                    break
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    numbers = numbers_in(clip)
    assert numbers[:26] == [*range(75, 100), 0]
    with av.open(str(clip)) as file:
        times = [frame.time for frame in file.decode(video=0)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize("label", ["a/b", "<b>x</b>", "../../etc", "x" * 200, "", "naïve ñ", ".hidden"])
def test_labels_of_any_kind_make_files_inside_the_folder(tmp_path, label):
    path = encode(tmp_path / "a.mp4", 200)
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, path, ((4.0, event("start", 4.0, label=label)), (5.0, event("end", 4.0, 5.0, label=label))))
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    assert clip.resolve().is_relative_to((tmp_path / "rec").resolve())
    assert len(clip.name) < 160
    assert sidecars_of(tmp_path / "rec")[0]["events"][0]["label"] == label


def test_only_the_labels_asked_for_are_recorded(tmp_path):
    path = encode(tmp_path / "a.mp4", 200)
    with recording(tmp_path / "rec", labels=["fight"]) as (_, camera):
        told = watch(camera, path, STORY)
    assert files_of(tmp_path / "rec", ".json") == []
    assert [record.clip for record in told] == [None, None]


def test_without_pictures_only_numbers_are_kept(tmp_path):
    path = encode(tmp_path / "a.mp4", 200)
    with recording(tmp_path / "rec", View(pictures="none")) as (_, camera):
        told = watch(camera, path, STORY)
    assert files_of(tmp_path / "rec", ".mp4") == files_of(tmp_path / "rec", ".jpg") == []
    (sidecar,) = sidecars_of(tmp_path / "rec")
    assert sidecar["clip"] is sidecar["picture"] is None
    assert [record.clip for record in told] == [None, None]
    assert json.dumps(sidecar).count("captured_s") == 0
