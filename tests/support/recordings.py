"""Encoded videos whose frames tell their number, and recorders that are fed with them."""

from __future__ import annotations

import contextlib
import json
from fractions import Fraction

import av
import numpy as np

from edgehar.masks import View
from edgehar.recording.options import RecordOptions
from edgehar.recording.recorder import Recorder
from edgehar.recording.sidecar import Model
from edgehar.records import Event
from edgehar.sources import open_source

RATE_HZ = 25
_LOWEST, _LEVELS = 30, 100
MODEL = Model("tiny", "0" * 64, ("bright", "dark"))
# Room and time enough for every test.
OPTIONS = {"min_free_mb": 0, "pre_roll_s": 1.0, "post_roll_s": 1.0}


def level_of(number):
    """Gray level of frame `number` (of 100)."""
    return _LOWEST + 2 * (number % _LEVELS)


def encode(path, count, *, codec="libx264", gop=25, b_frames=0, height=64, width=96, options=None, **container):
    """Encode flat gray frames that tell their number; return the path."""
    with av.open(str(path), "w", **container) as file:
        stream = file.add_stream(codec, rate=RATE_HZ, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.gop_size, context.max_b_frames = gop, b_frames
        if codec == "libx264":
            stream.options = {"crf": "5", "preset": "ultrafast" if not b_frames else "veryfast", **(options or {})}
        for number in range(count):
            picture = av.VideoFrame(width, height, "yuv420p")
            for plane, value in zip(picture.planes, (level_of(number), 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            picture.pts, picture.time_base = number, Fraction(1, RATE_HZ)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    return path


def numbers_in(path):
    """The numbers of the frames in a video, in the order they are shown; it must decode without an error."""
    with av.open(str(path)) as file:
        return [round((_luma(frame) - _LOWEST) / 2) for frame in file.decode(video=0)]


def _luma(frame):
    """Mean of the luma plane, without the conversion of its range."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return float(rows[: frame.height, : frame.width].mean())


def event(phase, start_s, end_s=None, *, label="bright", id="01a229b8-a5d9-7926-896a-0765da56e3be"):  # noqa: A002
    return Event(
        phase=phase, id=id, revision=int(phase == "end"), time="2026-11-21T05:40:00.123Z", source="hall", model="tiny",
        label=label, peak_score=0.9, start_s=start_s, end_s=end_s,
    )  # fmt: skip


@contextlib.contextmanager
def recording(folder, view=None, **options):
    """A recorder and its camera "hall"; all is on the disk after the block."""
    recorder = Recorder(RecordOptions(directory=str(folder), **{**OPTIONS, **options}))
    camera = recorder.camera("hall", MODEL, view or View())
    try:
        yield recorder, camera
    finally:
        recorder.close(30)


def watch(camera, source, happenings=(), **options):
    """Play a file into a camera's recording; `happenings` are (capture time, record) pairs. Returns the records."""
    waiting, told = list(happenings), []
    with open_source(str(source), **options) as frames:
        frames.tap = camera
        for frame in frames:
            camera.take(frame, live=False)
            while waiting and frame.captured_s >= waiting[0][0]:
                told += camera.records([waiting.pop(0)[1]])
    told += camera.records([record for _, record in waiting])
    return told


def files_of(folder, suffix):
    """The finished files of a recording folder with this suffix, in order."""
    found = [path for path in folder.glob(f"*/*/*{suffix}") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def sidecars_of(folder):
    return [json.loads(path.read_bytes()) for path in files_of(folder, ".json")]


def moving_frames(count, height=48, width=64):
    """Uint8 BGR frames with other pixels everywhere."""
    generator = np.random.default_rng(count)
    return generator.integers(0, 256, (count, height, width, 3), np.uint8)
