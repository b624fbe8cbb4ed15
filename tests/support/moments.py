"""Answers with features, and moments of an inbox, for the tests of teaching."""

import msgspec
import numpy as np

from edgehar.model import manifest as m
from edgehar.records import Prediction, TimingMs, Window
from edgehar.teaching.inbox import Facts
from support.samples import sample_manifest

WINDOW, FEATURES, HOP, RATE_HZ = 4, 8, 2, 10.0
HEAD, ENCODER = "ab" * 4, "cd" * 32


def manifest_of(labels=("bright", "dark")):
    return msgspec.structs.replace(
        sample_manifest(labels),
        files={"head.tflite": HEAD * 8, "encoder.tflite": ENCODER},
        decision=m.Decision(background=["dark"]),
    )


def frame_features(number):
    """Features that tell every frame from the others."""
    return np.full(FEATURES, number % 251 - 125, np.int8)


def answer_at(number, score=0.3, source="hall", head=HEAD, seq=None):
    """The answer whose window ends with frame `HOP * number + WINDOW - 1`."""
    first = HOP * number
    scores = {"bright": score, "dark": 1 - score}
    label = max(scores, key=scores.get)
    window = Window(WINDOW, first / RATE_HZ, (first + WINDOW - 1) / RATE_HZ)
    time = f"2026-11-30T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000Z"
    answer = Prediction(
        seq=number if seq is None else seq, time=time, source=source, model="tiny", label=label, score=scores[label],
        scores=scores, window=window, frame_age_ms=1.0, timing_ms=TimingMs(0, 0, 0), dropped=0, rate_ok=True,
    )  # fmt: skip
    features = np.stack([frame_features(first + i) for i in range(WINDOW)])
    return answer.with_raw(np.zeros(2, np.int8), head=head, features=features)


def facts_of(number=0, **changes):
    facts = Facts(
        source="hall", time=f"2026-11-{1 + number // 24:02d}T{number % 24:02d}:00:00.000Z", why="event", model="tiny",
        encoder=ENCODER, head=HEAD, answer="bright", score=0.9, scores={"bright": 0.9, "dark": 0.1}, hop=HOP, frames=6,
    )  # fmt: skip
    return msgspec.structs.replace(facts, **changes)
