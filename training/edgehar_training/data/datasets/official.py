"""Official splits of data sets: the files they need, their parts, and their leaks."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgehar_training.data.datasets.clip import Clip

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Official:
    """The official protocol of a data set.

    Attributes:
        name: of the data set.
        what: the criterion that separates the parts.
        lists: name of each of several splits; empty for a single split.
        needs: required files; empty if the names of the clips are enough.
    """

    name: str
    what: str
    lists: str = ""
    needs: str = ""


OFFICIAL = {
    "kth": Official("KTH", "by person"),
    "ucf50": Official("UCF50", "by group"),
    "ucf101": Official(
        "UCF101", "by group", "list", "trainlist01.txt and testlist01.txt of ucfTrainTestlist in --data or next to it"
    ),
    "hmdb51": Official(
        "HMDB51",
        "by source video",
        "split",
        "<action>_test_split1.txt of testTrainMulti_7030_splits in --data or next to it",
    ),
    "weizmann": Official("Weizmann", "by person"),
    "ut-interaction": Official("UT-Interaction", "by sequence"),
    "rwf-2000": Official("RWF-2000", "val is tested"),
    "ucf-crime": Official("UCF-Crime", "by video", needs="Anomaly_Train.txt and Anomaly_Test.txt in --data"),
    "ubi-fights": Official("UBI-Fights", "by video", needs="test_videos.csv in --data"),
    "ubnormal": Official(
        "UBnormal", "by scenario", needs="abnormal_training_video_names.txt and the five other lists in --data"
    ),
    "le2i": Official("Le2i", "by place: coffee room against home"),
    "csv": Official("the table's", "column official", "split", "the column official (or fold) in every row"),
}


def describe_official(dataset: str, folds: int | None, *, cross_validation: bool) -> str:
    """Return the protocol in words, as shown beside an accuracy."""
    official = OFFICIAL[dataset]
    if cross_validation:
        return f"official {folds}-fold ({official.name}, {official.what})"
    if not official.lists:
        return f"official split ({official.name}, {official.what})"
    if folds is None:
        return f"official split ({official.name}, {official.lists} 1)"
    return f"official splits ({official.name}, {official.lists}s 1 to {folds})"


def check_official(clips: Sequence[Clip], dataset: str, folds: int | None) -> list[str]:
    """Make sure that there is such an official split, before clips are decoded for it.

    Returns:
        Leaks of an official split are reported and not corrected.

    Raises:
        ConfigError: the data set has no official split, or another number of them.
        DatasetError: its lists are missing, or name none of the clips.
    """
    leaks = []
    for number, (train, val, test) in enumerate(official_parts(clips, dataset, folds), 1):
        learned, tested = ({clips[i].group for i in part} for part in (train + val, test))
        if shared := sorted(learned & tested):
            leaks.append(
                f"official split {number} has {len(shared)} groups on both sides (leaky), the first is {shared[0]!r}"
            )
    return leaks


def official_parts(
    clips: Sequence[Clip], dataset: str, folds: int | None
) -> list[tuple[list[int], list[int], list[int]]]:
    """Return the indices of the training, validation and test clips of every split asked for.

    If the validation part is empty, the caller takes it from the training part.

    Args:
        clips: the clips.
        dataset: kind of the data set.
        folds: None gives the first of several splits; a number must be the number of splits, and gives all.

    Raises:
        ConfigError: the data set has no official split, or another number of them.
        DatasetError: its lists are missing, or name none of the clips.
    """
    if dataset not in OFFICIAL:
        having = ", ".join(OFFICIAL)
        raise ConfigError(f"--split official: the data set {dataset!r} has no split of its own ({having} have); "
                          "use --split group")  # fmt: skip
    if all(clip.official for clip in clips):
        return _of_lists(clips, dataset, folds)
    if all(clip.fold is not None for clip in clips):
        return _of_folds(clips, dataset, folds)
    official = OFFICIAL[dataset]
    raise DatasetError(f"--split official: no official split of {official.name} is there; it needs {official.needs}")


def _of_lists(clips: Sequence[Clip], dataset: str, folds: int | None) -> list[tuple[list[int], list[int], list[int]]]:
    count = min(len(clip.official) for clip in clips)
    if folds not in (None, count):
        many = "one official split: omit --folds" if count == 1 else f"{count} official splits: use --folds {count}"
        raise ConfigError(f"--split official --folds {folds}: {OFFICIAL[dataset].name} has {many}")
    splits = []
    for number in range(1 if folds is None else count):
        parts = {
            part: [i for i, clip in enumerate(clips) if clip.official[number] == part]
            for part in ("train", "val", "test")
        }
        for part in ("train", "test"):
            if not parts[part]:
                raise DatasetError(
                    f"--split official: none of the clips is in the {part} part of split {number + 1} of "
                    f"{OFFICIAL[dataset].name}; add the rest of the data set, or use --split group"
                )
        splits.append((parts["train"], parts["val"], parts["test"]))
    return splits


def _of_folds(clips: Sequence[Clip], dataset: str, folds: int | None) -> list[tuple[list[int], list[int], list[int]]]:
    numbers = sorted({clip.fold for clip in clips if clip.fold is not None})
    if folds != len(numbers):
        official = OFFICIAL[dataset]
        raise ConfigError(
            f"--split official: {official.name} is cross-validated {official.what}, {len(numbers)} times here; use "
            f"--folds {len(numbers)}"
        )
    return [
        (
            [i for i, clip in enumerate(clips) if clip.fold != number],
            [],
            [i for i, clip in enumerate(clips) if clip.fold == number],
        )
        for number in numbers
    ]


def find_lists(folders: Sequence[Path], *names: str) -> tuple[Path, ...] | None:
    """Return the files of these names in the first folder that has one of them. Returns None if no folder has.

    Raises:
        DatasetError: only some of them are there.
    """
    for folder in folders:
        there = [(folder / name).is_file() for name in names]
        if all(there):
            return tuple(folder / name for name in names)
        if any(there):
            raise DatasetError(f"{folder}: {names[there.index(True)]} is there, but not {names[there.index(False)]}")
    return None


def without_gaps(dataset: str, splits: Sequence[dict[str, str] | None]) -> list[dict[str, str]]:
    """Return the splits that exist: the first is split 1, and none in between is missing.

    Raises:
        DatasetError: one is.
    """
    there = [split for split in splits if split is not None]
    if there != list(splits[: len(there)]):
        number = list(splits).index(None) + 1
        raise DatasetError(
            f"{dataset}: official split {number} is missing, although a later one exists; add its files, or remove the "
            "others"
        )
    return there


def say_unmatched(dataset: str, number: int, listed: set[str], there: set[str]) -> None:
    """Warn of clips that are in a list and not on disk, or the other way round."""
    if missing := len(listed - there):
        log.warning(
            "warning: %s: %d of the %d clips of official split %d are not there", dataset, missing, len(listed), number
        )
    if unlisted := sorted(there - listed):
        log.warning("warning: %s: %d clips are not in official split %d, such as %s", dataset, len(unlisted), number,
                    unlisted[0])  # fmt: skip
