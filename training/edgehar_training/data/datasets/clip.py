"""One labelled stretch of video."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """One labelled stretch of video.

    Attributes:
        path: a video file, or any other source that `edgehar.open_source` opens.
        label: the action.
        group: what must never be on both sides of a split: a person, a camera, a recording.
        start_s: first moment of the action, in seconds from the first frame of the video; None is its beginning.
        end_s: last moment of the action, in seconds from the first frame of the video; None is its end.
        fold: the fold it is tested in where the data set's own protocol is a cross-validation; None elsewhere.
        official: its part in each of the data set's own splits: "train", "val", "test", or "" where it has none; empty
            where the data set has no such splits.
    """

    path: str
    label: str
    group: str
    start_s: float | None = None
    end_s: float | None = None
    fold: int | None = None
    official: tuple[str, ...] = ()


def labels_of(clips: list[Clip]) -> list[str]:
    """The labels of `clips`, sorted; the network's classes are in this order."""
    return sorted({clip.label for clip in clips})
