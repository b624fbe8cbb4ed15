"""A folder of recordings made on the spot, for the pages: real files on a real chain."""

from __future__ import annotations

import uuid

import cv2
import numpy as np

from edgehar.recording.sidecar import Answer, Model, Sidecar
from edgehar.recording.store import Store, recording_name
from edgehar.records import Event
from support.helpers import flat_frames, write_video

LABELS = ("fight", "calm")


def event_id(number):
    return str(uuid.UUID(int=(7 << 76) | (2 << 62) | number))


def record(store, number, time, *, camera="hall", label="fight", score=0.9, clip=True, sha256=None):
    """Add a recording of an event at a UTC time (2026-03-29T01:30:00); returns its id. The clip has 2 s at 25 Hz."""
    chosen = event_id(number)
    sidecar = _sidecar(chosen, time, camera, label, score, sha256)
    draft = store.begin(recording_name(camera, time, label, chosen, 1, sealed=False), sidecar)
    if clip:
        output = draft.output()
        video = store.folder / "source.mp4"
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        write_video(video, flat_frames(range(50, 150, 2), 48, 64), codec="libx264", options=options)
        output.write(video.read_bytes())
        output.close()
        video.unlink()
        from edgehar.recording.clip_file import ClipFacts

        draft.finish_clip(output, ClipFacts("h264", 64, 48, 50, 10.0, 12.0, 0))
    draft.write_picture(cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes(), 11.0)
    draft.commit(sidecar)
    return chosen


def _sidecar(chosen, time, camera, label, score, sha256):
    event = Event(
        phase="end", id=chosen, revision=1, time=f"{time}.000Z", source=camera, model="tiny", label=label,
        peak_score=score, start_s=10.5, end_s=11.5,
    )  # fmt: skip
    answers = [Answer(10.0 + step / 5, label, score, [score, 1 - score]) for step in range(10)]
    return Sidecar(
        software="edgehar test", source=camera, id=chosen, events=[event], answers=answers,
        model=Model("tiny", sha256, LABELS), clip=None, picture=None, pictures="full", masked=False,
        previous_sha256=None,
    )  # fmt: skip


def store_of(folder):
    """A store that records into a folder; close it before another process does."""
    return Store(folder)
