"""Splits of clips into training, validation and test parts that share no group."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgehar.errors import ConfigError, DatasetError
from edgehar.files import whole_file
from edgehar_training.data.datasets.clip import Clip, is_file_path
from edgehar_training.data.datasets.official import describe_official, official_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

Protocol = Literal["group", "official", "random"]
PARTS = ("train", "val", "test")
# Begins or ends the description of a split by group of clips without groups.
UNGROUPED = "random by clip (no groups)"
UNGROUPED_WARNING = (
    "NO GROUPS: every clip is a group of its own, so the split is random by clip, and clips of one person, camera or "
    "recording may be in both training and test; the accuracy on new data may be lower (list what belongs together in "
    "groups.csv, or in the column group)"
)
COLUMNS = ("clip", "label", "group", "part", "start_s", "end_s")


@dataclasses.dataclass(frozen=True)
class Split:
    """Indices into a list of clips, sorted. `test` is empty if all clips are used for training."""

    train: list[int]
    val: list[int]
    test: list[int]


def describe_split(
    protocol: Protocol, folds: int | None, clips: Sequence[Clip], test_fraction: float, dataset: str = ""
) -> str:
    """Return the words to show beside every accuracy that is measured on such a split.

    A split by group of clips without groups is described as the random split it is.
    """
    groups = len({clip.group for clip in clips})
    if protocol == "official":
        return describe_official(dataset, folds, cross_validation=not all(clip.official for clip in clips))
    if protocol == "group" and is_ungrouped(clips):
        return _describe_ungrouped(folds, groups, test_fraction)
    kind = "group-disjoint" if protocol == "group" else "random (leaky)"
    if folds is None:
        return f"{kind} hold-out of {test_fraction:.0%}" if test_fraction else f"{kind}, no test part"
    if protocol == "group" and folds == groups:
        return f"leave-one-group-out, {folds} groups"
    return f"{kind} {folds}-fold"


def is_ungrouped(clips: Sequence[Clip]) -> bool:
    """Return whether every clip is a group of its own, so that a split by group is random by clip."""
    return len({clip.group for clip in clips}) == len(clips) > 1


def _describe_ungrouped(folds: int | None, clips: int, test_fraction: float) -> str:
    if folds is None:
        return f"{UNGROUPED} hold-out of {test_fraction:.0%}" if test_fraction else f"{UNGROUPED}, no test part"
    return f"leave-one-clip-out, {UNGROUPED}" if folds == clips else f"{UNGROUPED} {folds}-fold"


def make_splits(
    clips: Sequence[Clip],
    *,
    protocol: Protocol = "group",
    folds: int | None = None,
    seed: int = 0,
    test_fraction: float = 0.2,
    val_fraction: float = 0.16,
    dataset: str = "",
) -> list[Split]:
    """Return one split per fold, or a single split without `folds`.

    With `group`, no group is in two parts of a split. `random` splits single clips, and leaks what clips of a group
    share. `official` is the split of the data set; if it has no validation part, groups of its training part become
    one. Parts are stratified by label. `folds` equal to the number of groups is exact leave-one-group-out.
    scikit-learn's `StratifiedGroupKFold` deals the groups; the validation part is taken from the training part in the
    same way. Clips that are `learn_only` do not change how the others are dealt.

    Args:
        clips: the clips.
        protocol: "group", "official" or "random".
        folds: number of folds, in which every clip is tested exactly once; of official lists, all of them.
        seed: seed of the shuffle.
        test_fraction: share of test clips without `folds`, 0 to under 1; 0 gives no test part.
        val_fraction: share of validation clips, above 0.
        dataset: kind of the data set, for its official split.

    Raises:
        ConfigError: a number is out of range, or the data set has no such official split.
        DatasetError: too few groups or clips for the split, or the lists of the official split are missing.
    """
    if not 0 <= test_fraction < 1 or not 0 < val_fraction < 1 or test_fraction + val_fraction >= 1:
        raise ConfigError(
            f"test fraction {test_fraction} and validation fraction {val_fraction} must be shares that leave some for "
            "training"
        )
    if folds is not None and folds < 2:
        raise ConfigError(f"{folds} folds: there must be at least 2; omit --folds for a single split")
    if protocol == "official":
        return _official(clips, dataset, folds, seed, test_fraction, val_fraction)
    labels = np.array([clip.label for clip in clips])
    groups = np.array([clip.group if protocol == "group" else str(i) for i, clip in enumerate(clips)])
    dealt = _dealt(clips)
    splits = []
    for rest, test in _outer(dealt, labels, groups, folds, seed, test_fraction):
        share = val_fraction * len(dealt) / len(rest)
        train, val = _hold_out(rest, labels, groups, share, seed, what="validation")
        split = Split(sorted(train.tolist()), sorted(val.tolist()), sorted(test.tolist()))
        check_disjoint(split, groups.tolist())
        splits.append(_with_learn_only(split, clips))
        _check_classes(splits[-1], labels.tolist())
    return splits


def inner_splits(clips: Sequence[Clip], *, random: bool, folds: int, seed: int) -> list[Split]:
    """Return folds of clips that are not tested: the validation part of each is a fold, and there is no test part.

    Args:
        clips: the clips, without those that are tested.
        random: deal single clips; otherwise no group is in two folds.
        folds: number of folds.
        seed: seed of the shuffle.

    Raises:
        DatasetError: too few groups or clips.
    """
    labels = np.array([clip.label for clip in clips])
    groups = np.array([str(i) if random else clip.group for i, clip in enumerate(clips)])
    splits = []
    for train, val in _outer(_dealt(clips), labels, groups, folds, seed, 0.0):
        split = Split(sorted(train.tolist()), sorted(val.tolist()), [])
        check_disjoint(split, groups.tolist())
        splits.append(_with_learn_only(split, clips))
        _check_classes(splits[-1], labels.tolist())
    return splits


def _dealt(clips: Sequence[Clip]) -> npt.NDArray[np.intp]:
    return np.array([i for i, clip in enumerate(clips) if not clip.learn_only], np.intp)


def _with_learn_only(split: Split, clips: Sequence[Clip]) -> Split:
    """Add the clips that are learned from only, but those of groups that are scored."""
    scored = {clips[i].group for i in (*split.val, *split.test)}
    added = [i for i, clip in enumerate(clips) if clip.learn_only and clip.group not in scored]
    return Split(sorted([*split.train, *added]), split.val, split.test)


def _official(
    clips: Sequence[Clip], dataset: str, folds: int | None, seed: int, test_fraction: float, val_fraction: float
) -> list[Split]:
    if test_fraction == 0:
        raise ConfigError("--split official has a test part; to train on all clips use --split group --test-fraction 0")
    labels, groups = np.array([clip.label for clip in clips]), np.array([clip.group for clip in clips])
    splits = []
    for train, val, test in official_parts(clips, dataset, folds):
        if unseen := sorted(set(labels[test].tolist()) - set(labels[train].tolist())):
            raise DatasetError(
                f"the official split tests {unseen[0]!r}, but has no training clip of it; add the rest of the data "
                "set, or leave the class out with --classes"
            )
        if not val:
            share = min(0.5, val_fraction * len(clips) / len(train))
            kept, taken = _hold_out(np.array(train), labels, groups, share, seed, what="validation")
            train, val = sorted(kept.tolist()), sorted(taken.tolist())
        split = Split(train, val, test)
        # An official split may share groups with its test part; the validation part never shares any with the training
        # part.
        check_disjoint(Split(train, val, []), groups.tolist())
        _check_classes(split, labels.tolist())
        splits.append(split)
    return splits


def check_disjoint(split: Split, groups: Sequence[str]) -> None:
    """Check that no group is in two parts.

    Raises:
        DatasetError: a group is.
    """
    parts = [{groups[i] for i in part} for part in (split.train, split.val, split.test)]
    if shared := (parts[0] & parts[1]) | (parts[0] & parts[2]) | (parts[1] & parts[2]):
        raise DatasetError(f"the split leaks: group {sorted(shared)[0]!r} is in two of its parts")


def write_splits(path: Path, clips: Sequence[Clip], split: Split, root: Path | None) -> None:
    """Write a split as CSV; clips under the folder `root` are named relative to it."""
    # A file name that is not UTF-8 is written as its bytes.
    with (
        whole_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for part in PARTS:
            for clip in (clips[i] for i in getattr(split, part)):
                times = ["" if time_s is None else repr(time_s) for time_s in (clip.start_s, clip.end_s)]
                writer.writerow([_relative(clip.path, root), clip.label, clip.group, part, *times])


def read_splits(path: Path, root: Path | None) -> dict[str, list[Clip]]:
    """Read the clips of each part ("train", "val", "test") of a split that `write_splits` wrote.

    Raises:
        DatasetError: the file is missing or invalid.
    """
    parts: dict[str, list[Clip]] = {part: [] for part in PARTS}
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            for row in csv.DictReader(file):
                name = row["clip"]
                where = name if root is None or not is_file_path(name) else str(root / name)
                start_s, end_s = (float(row[key]) if row[key] else None for key in ("start_s", "end_s"))
                parts[row["part"]].append(Clip(where, row["label"], row["group"], start_s, end_s))
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as a split list ({error}); train the run again") from error
    return parts


def _relative(path: str, root: Path | None) -> str:
    if root is not None and Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    return path


def _outer(
    indices: npt.NDArray[np.intp],
    labels: npt.NDArray[np.str_],
    groups: npt.NDArray[np.str_],
    folds: int | None,
    seed: int,
    test_fraction: float,
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield those of `indices` to learn from and to test on, for every fold."""
    if folds is None:
        if test_fraction == 0:
            yield indices, indices[:0]
        else:
            yield _hold_out(indices, labels, groups, test_fraction, seed, what="test")
        return
    count = len(set(groups[indices].tolist()))
    if folds > count:
        raise DatasetError(f"{folds} folds need as many groups, and there are {count}; ask for fewer folds")
    if folds == count:
        from sklearn.model_selection import LeaveOneGroupOut

        for kept, taken in LeaveOneGroupOut().split(indices, labels[indices], groups[indices]):
            yield indices[kept], indices[taken]
    else:
        yield from _stratified(indices, labels, groups, folds, seed)


def _hold_out(
    indices: npt.NDArray[np.intp],
    labels: npt.NDArray[np.str_],
    groups: npt.NDArray[np.str_],
    share: float,
    seed: int,
    *,
    what: str,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Take about `share` of `indices`, and return (kept, taken). Prefers all classes in both, then the right size."""
    count = len(set(groups[indices].tolist()))
    folds = min(max(2, round(1 / share)), count)
    if folds < 2:
        raise DatasetError(f"no {what} part can be made: all clips belong to one group; add groups")
    classes = len(set(labels[indices].tolist()))

    def cost(pair: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]) -> tuple[int, int, float]:
        kept, taken = (len(set(labels[part].tolist())) for part in pair)
        return classes - kept, classes - taken, abs(len(pair[1]) - share * len(indices))

    return min(_stratified(indices, labels, groups, folds, seed), key=cost)


def _stratified(
    indices: npt.NDArray[np.intp], labels: npt.NDArray[np.str_], groups: npt.NDArray[np.str_], folds: int, seed: int
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    try:
        with warnings.catch_warnings():
            # It warns if a class has fewer clips than folds; _check_classes reports the effect on the split.
            warnings.simplefilter("ignore", UserWarning)
            pairs = list(dealer.split(indices, labels[indices], groups[indices]))
    except ValueError as error:
        raise DatasetError(f"{len(indices)} clips cannot be split in {folds}: {error}; ask for fewer folds") from error
    return [(indices[kept], indices[taken]) for kept, taken in pairs]


def _check_classes(split: Split, labels: Sequence[str]) -> None:
    counts = Counter(labels[i] for i in split.train)
    if missing := sorted(set(labels) - set(counts)):
        raise DatasetError(
            f"no clip of {missing[0]!r} is left to train on: its clips are in too few groups; a class needs "
            "clips of at least three groups (training, validation, test)"
        )
