"""Streams of clips, shown once to the device's classifier, with its predictions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from edgehar_training.data.frames_cache import SmallClip
from edgehar_training.data.preprocess import small_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgehar import Classifier
    from edgehar.records import Prediction


def joined(clips: Sequence[SmallClip], period_s: float) -> tuple[SmallClip, list[float]]:
    """Join clips into one stream of continuous time; the device sees a cut where a clip ends.

    Args:
        clips: each with a frame or more.
        period_s: from the last frame of one to the first of the next.

    Returns:
        All frames, and when each clip's first one is, in seconds from the first of all.
    """
    times, begins, now_s = [], [], 0.0
    for clip in clips:
        begins.append(now_s)
        own = clip.times_s - clip.times_s[0] + now_s
        times.append(own)
        now_s = float(own[-1]) + period_s
    return SmallClip(np.concatenate([clip.frames for clip in clips]), np.concatenate(times)), begins


def part_of(clip: SmallClip, *, first_s: float | None = None, last_s: float | None = None) -> SmallClip:
    """Return the first or the last seconds of a clip, at least one frame."""
    times = clip.times_s
    if first_s is not None:
        kept = slice(0, max(1, int(np.searchsorted(times, times[0] + first_s, "left"))))
    else:
        kept = slice(min(len(times) - 1, int(np.searchsorted(times, times[-1] - (last_s or 0.0), "right"))), None)
    return SmallClip(clip.frames[kept], times[kept])


def play(classifier: Classifier, clip: SmallClip, *, flush: bool = False) -> list[Prediction]:
    """Return the predictions of a classifier on a clip as a stream of its own.

    Args:
        classifier: classifier of the bundle, at its own hop; its history is reset.
        clip: frames at the bundle's size.
        flush: predict for a clip shorter than a window too, as if the scene had stood still before it.
    """
    classifier.reset()
    return [*_pushed(classifier, clip), *([last] if flush and (last := classifier.flush()) is not None else [])]


def _pushed(classifier: Classifier, clip: SmallClip) -> Iterator[Prediction]:
    for index, (pixels, time_s) in enumerate(zip(clip.frames, clip.times_s, strict=True)):
        answer = classifier.push(small_frame(pixels, float(time_s), index))
        if answer is not None:
            yield answer


@dataclasses.dataclass(frozen=True)
class AnswerStream:
    """A long stream and its predictions.

    Attributes:
        predictions: in order.
        period_s: time from an answer to the next.
    """

    predictions: list[Prediction]
    period_s: float

    @property
    def hours(self) -> float:
        """Hours with predictions; 0 without any."""
        if not self.predictions:
            return 0.0
        ends = [prediction.window.end_s for prediction in self.predictions]
        return (ends[-1] - ends[0] + self.period_s) / 3600


@dataclasses.dataclass(frozen=True)
class Splice:
    """A clip within a stream of background.

    Attributes:
        predictions: of the whole stream.
        begin_s: capture time of the clip's first frame.
        end_s: capture time at which the last window that holds a frame of it ends.
    """

    predictions: list[Prediction]
    begin_s: float
    end_s: float


def spliced(
    classifier: Classifier, clip: SmallClip, before: Sequence[SmallClip], after: Sequence[SmallClip], context_s: float
) -> Splice:
    """Return the predictions on a clip with `context_s` seconds of background clips before and after it."""
    temporal = classifier.bundle.manifest.temporal
    period_s = 1 / temporal.rate_hz
    earlier = part_of(joined(before, period_s)[0], last_s=context_s)
    later = part_of(joined(after, period_s)[0], first_s=context_s)
    whole, (_, begin_s, after_s) = joined([earlier, clip, later], period_s)
    return Splice(play(classifier, whole), begin_s, after_s - period_s + (temporal.window - 1) * period_s)
