"""The result of an evaluation: scored clips, how they were kept apart from training, and the warnings to show."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.splits import UNGROUPED_WARNING, is_ungrouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar_training.data.datasets import Clip
    from edgehar_training.evaluation.scored import ScoredClips
    from edgehar_training.runs.run import Run

Part = Literal["test", "val", "train"]
TrainedOn = Literal["no", "yes", "unknown"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
PARTS_BEFORE: dict[Part, tuple[Part, ...]] = {"test": ("train", "val"), "val": ("train",), "train": ()}
LEAKY = "LEAKY SPLIT"
# Layouts that may hold any data. Every other layout names its data set.
ANY_DATA = frozenset({"folder", "csv"})
# UCF101 contains the videos of UCF50.
OVERLAPPING = frozenset({"ucf50", "ucf101"})


@dataclasses.dataclass(frozen=True)
class RunFigures:
    """The figures of one of several pooled runs."""

    folder: str
    seed: int
    fold: int | None
    clips: int
    top1: float
    window_top1: float | None


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A network evaluated on clips.

    Attributes:
        target: the run or bundle, as named on the command line.
        network: the kind of network, in words.
        data: the clips, in words.
        protocol: how these clips were kept apart from training, in words.
        scored: the clips with their scores.
        includes_training_clips: whether the network was trained on some of the clips.
        warnings: sentences to read before the figures.
        runs: the pooled runs.
        folders: folders of the runs, for their training curves.
        window_top1: accuracy of single windows, if only this figure was stored.
        seed: seed of the bootstrap.
    """

    target: str
    network: str
    data: str
    protocol: str
    scored: ScoredClips
    includes_training_clips: TrainedOn = "no"
    warnings: list[str] = dataclasses.field(default_factory=list)
    runs: list[RunFigures] = dataclasses.field(default_factory=list)
    folders: list[Path] = dataclasses.field(default_factory=list)
    window_top1: float | None = None
    seed: int = 0

    @property
    def leaky(self) -> bool:
        """Whether clips of one group were on both sides of the split."""
        return any(text.startswith(LEAKY) for text in self.warnings)


def leak_warnings(run: Run, part: Part) -> list[str]:
    """Return warnings about clips of one group on both sides of the split of a run."""
    if part == "train":
        return []
    if run.config.split.kind == "group" and is_ungrouped([clip for one in PARTS for clip in run.clips(one)]):
        return [UNGROUPED_WARNING]
    own = {clip.group for clip in run.clips(part)}
    shared = own & {clip.group for other in PARTS_BEFORE[part] for clip in run.clips(other)}
    if run.config.split.kind != "random" and not shared:
        return []
    what = "clips of one person, camera or recording are in both the training and the tested part"
    return [f"{LEAKY}: {what}; expect a lower accuracy on new data"]


def may_be_same(trained: str, tested: str) -> TrainedOn:
    """Return whether clips of one layout may be clips of another.

    They may if the layouts are equal, or if one of them may hold any data.
    """
    if "synthetic" in (trained, tested) and trained != tested:
        return "no"
    if trained == tested or {trained, tested} == OVERLAPPING:
        return "unknown" if trained in ANY_DATA else "yes"
    return "unknown" if trained in ANY_DATA or tested in ANY_DATA else "no"


def foreign_protocol(trained_on: TrainedOn) -> str:
    """Return the protocol of clips that are not of the split of the run."""
    words = {
        "no": "other data than it was trained on",
        "yes": "includes training clips",
        "unknown": "may include training clips",
    }
    return words[trained_on]


def trained_on_warnings(trained_on: TrainedOn, known: int | None, clips: int, why: str = "") -> list[str]:
    """Return warnings about clips that the network was trained on.

    Args:
        trained_on: whether it was.
        known: number of clips that were trained on or used for early stopping; None if unknown.
        clips: number of clips.
        why: the reason for a suspicion.
    """
    reason = f" ({why})" if why else ""
    if trained_on == "no":
        return []
    if trained_on == "unknown":
        return [f"MAY INCLUDE TRAINING CLIPS: the network may have been trained on some of these clips{reason}"]
    count = "" if known is None else f": {known} of {clips} clips were used for training or early stopping"
    return [f"INCLUDES TRAINING CLIPS{count}{reason}; this is not the accuracy on unseen clips"]


def check_labels(labels: Sequence[str], clips: Sequence[Clip], model: str, *, allow_unknown: bool) -> None:
    """Check that the network knows the labels of the clips.

    Raises:
        DatasetError: it does not know all of them, and that is not allowed.
    """
    counts = Counter(clip.label for clip in clips)
    foreign = sorted(set(counts) - set(labels))
    if allow_unknown or not foreign:
        return
    if len(foreign) == len(counts):
        raise DatasetError(
            f"{model} knows {_some(labels)}; the clips are of {_some(foreign)}: they have no label in common; rename "
            "the folders of the clips, or see the answers with --allow-unknown"
        )
    listed = _some([f"{label} ({counts[label]} clips)" for label in foreign])
    raise DatasetError(
        f"{model} does not know the label{'s'[: len(foreign) > 1]} {listed}; it knows {_some(labels)}; leave those "
        "clips out with --classes, or count them with --allow-unknown"
    )


def _some(names: Sequence[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:most])} and {more} more"
