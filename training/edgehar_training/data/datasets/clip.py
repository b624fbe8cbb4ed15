"""One labeled stretch of video."""

from __future__ import annotations

import dataclasses
import re

# synthetic:walking, rtsp://...: not the path of a file.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """One labeled stretch of video.

    Attributes:
        path: a video file, or any other source that `edgehar.open_source` opens. Bytes of a file name that are not
            UTF-8 are lone surrogates, as everywhere in Python.
        label: the action.
        group: clips of one group never are on both sides of a split: a person, a camera or a recording.
        start_s: start of the action, in seconds from the first frame of the video; None is the start of the video.
        end_s: end of the action, in seconds from the first frame of the video; None is the end of the video.
        fold: the fold that tests the clip, if the data set defines a cross-validation; None otherwise.
        official: the part of the clip in each split that the data set defines: "train", "val", "test", or "" for none.
            Empty if the data set defines no splits.
        weight: how much the clip counts in a closed-form training, compared with others of its label.
        learn_only: the clip is in no validation or test part, and is learned from where its group is in neither.
    """

    path: str
    label: str
    group: str
    start_s: float | None = None
    end_s: float | None = None
    fold: int | None = None
    official: tuple[str, ...] = ()
    weight: float = 1.0
    learn_only: bool = False


def labels_of(clips: list[Clip]) -> list[str]:
    """Return the labels of `clips`, sorted. The classes of the network are in this order."""
    return sorted({clip.label for clip in clips})


def is_file_path(path: str) -> bool:
    """Return whether the path of a clip is a file, and not the address of another source."""
    return not _SCHEME.match(path)
