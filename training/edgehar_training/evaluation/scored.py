"""Clips with their scores, and CSV tables of them."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.printable import printable
from edgehar_training.pages.tables import write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip


@dataclasses.dataclass(frozen=True)
class ScoredClip:
    """One clip with the scores of one network.

    Attributes:
        clip: the clip; its path is as in the data set.
        name: name of the clip within its data set, the same on every machine; with its times, if any.
        scores: mean scores over its windows, float32 `(classes,)`.
        seed: seed of the run; None for a bundle.
        fold: fold of the run, if any.
        windows: scores of its windows, float32 `(windows, classes)`; None if only the mean was stored.
    """

    clip: Clip
    name: str
    scores: npt.NDArray[np.float32]
    seed: int | None = None
    fold: int | None = None
    windows: npt.NDArray[np.float32] | None = None


@dataclasses.dataclass(frozen=True)
class ScoredClips:
    """Clips whose scores are for the same labels.

    Attributes:
        labels: the classes, in the order of the scores.
        rows: clips with a label of `labels`.
        unknown: clips with another label.
    """

    labels: list[str]
    rows: list[ScoredClip]
    unknown: list[ScoredClip] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def truth(self) -> npt.NDArray[np.intp]:
        """Index of the true label of each row, `(n,)`."""
        place = {label: index for index, label in enumerate(self.labels)}
        return np.array([place[row.clip.label] for row in self.rows], np.intp)

    @functools.cached_property
    def scores(self) -> npt.NDArray[np.float32]:
        """Scores of the rows, `(n, classes)`."""
        return np.stack([row.scores for row in self.rows])

    @functools.cached_property
    def predicted(self) -> npt.NDArray[np.intp]:
        """Index of the best label of each row, `(n,)`."""
        best: npt.NDArray[np.intp] = self.scores.argmax(axis=1)
        return best

    @property
    def groups(self) -> list[str]:
        """Group of each row."""
        return [row.clip.group for row in self.rows]

    @property
    def seeds(self) -> list[int]:
        """The seeds of the runs, in order."""
        return sorted({row.seed for row in self.rows if row.seed is not None})


def clip_name(clip: Clip, root: Path | None) -> str:
    """Return the path of a clip under `root`, with its times as a media fragment (W3C, 2012): `a.avi#t=1.2,3`.

    Bytes of the path that are not UTF-8 are printed as `\\xNN`.
    """
    path = Path(printable(clip.path))
    root = None if root is None else Path(printable(str(root)))
    name = path.relative_to(root).as_posix() if root is not None and path.is_relative_to(root) else str(path)
    if clip.start_s is None and clip.end_s is None:
        return name
    start, end = ("" if time_s is None else f"{time_s:g}" for time_s in (clip.start_s, clip.end_s))
    return f"{name}#t={start}" + (f",{end}" if end else "")


def write_predictions(path: Path, scored: ScoredClips) -> None:
    """Write a CSV table of clips: clip, group, seed, fold, label, predicted, right, and the score of every label."""
    header = ["clip", "group", "seed", "fold", "label", "predicted", "right", *map(_score_column, scored.labels)]
    write_csv(path, header, [[row.name, *_answer(scored.labels, row, row.scores)] for row in _all(scored)])


def write_windows(path: Path, scored: ScoredClips) -> None:
    """Write a CSV table of windows, like `write_predictions`, with the number of the window in its clip."""
    columns = ["group", "seed", "fold", "label", "predicted", "right", *map(_score_column, scored.labels)]
    lines = [
        [row.name, number, *_answer(scored.labels, row, scores)]
        for row in _all(scored)
        if row.windows is not None
        for number, scores in enumerate(row.windows)
    ]
    write_csv(path, ["clip", "window", *columns], lines)


def _all(scored: ScoredClips) -> list[ScoredClip]:
    return [*scored.rows, *scored.unknown]


def _score_column(label: str) -> str:
    return f"score_{label}"


def _answer(labels: Sequence[str], row: ScoredClip, scores: npt.NDArray[np.float32]) -> list[Any]:
    predicted = labels[int(scores.argmax())]
    seed, fold = ("" if value is None else value for value in (row.seed, row.fold))
    values = [f"{score:.5f}" for score in scores]
    return [row.clip.group, seed, fold, row.clip.label, predicted, int(predicted == row.clip.label), *values]
