"""Clips in one folder per class, with an optional table of groups; and helpers that all such layouts share."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar.printable import printable
from edgehar.sources.address import VIDEO_SUFFIXES
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

GROUPS_FILE = "groups.csv"


def load_folder(data_dir: Path, *, training: bool = True) -> list[Clip]:
    """Return the clips of `<label>/<clip>`, with groups from `groups.csv` (header `clip,label,group`) if it exists.

    A clip without a group is a group of its own.

    Args:
        data_dir: the folder.
        training: the clips are split for training, which takes two classes of two clips; evaluation takes any clip.

    Raises:
        DatasetError: the folder has another layout, or `groups.csv` does not fit it.
    """
    fewest = 2 if training else 1
    clips = class_folders(data_dir, fewest=fewest, fewest_classes=fewest)
    groups = read_groups(data_dir)
    names = {name for name, _, _ in clips}
    if missing := sorted(set(groups) - names):
        raise DatasetError(
            f"{data_dir / GROUPS_FILE}: names {len(missing)} clips that do not exist, the first is {missing[0]!r}; "
            "correct the table or add the clips"
        )
    if groups and (without := sorted(names - set(groups))):
        log.warning(
            "warning: %s: %d of %d clips have no group, so each is a group of its own; the first is %s",
            data_dir / GROUPS_FILE, len(without), len(names), printable(without[0]),
        )  # fmt: skip
    return [Clip(str(path), label, groups.get(name, printable(name))) for name, label, path in clips]


def class_folders(
    data_dir: Path,
    *,
    layout: str = "<label>/<clip>",
    fewest: int = 2,
    fewest_classes: int = 2,
    beside: frozenset[str] = frozenset(),
) -> list[tuple[str, str, Path]]:
    """Return name (`label/file`), label and path of every clip in `data_dir`, sorted. Warn about files left out.

    Args:
        data_dir: the folder.
        layout: expected names of clips, for messages.
        fewest: smallest number of videos of a class.
        fewest_classes: smallest number of classes.
        beside: names of folders that are not classes.

    Raises:
        DatasetError: no such folder, too few classes, or a class with too few clips.
    """
    if not data_dir.is_dir():
        what = "is a file, not a folder" if data_dir.exists() else "no such folder"
        raise DatasetError(f"{data_dir}: {what}; give the folder that holds one folder per class")
    folders = sorted(
        path
        for path in data_dir.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in beside
    )
    if len(folders) < fewest_classes:
        found = ", ".join(sorted(path.name for path in data_dir.iterdir())[:5]) or "nothing"
        many = "two class folders" if fewest_classes == 2 else "one class folder"
        raise DatasetError(f"{data_dir}: expected at least {many}, {layout}; found {found}")
    clips: list[tuple[str, str, Path]] = []
    for folder in folders:
        files = sorted(videos_in(folder))
        warn_left_out(folder)
        if not files:
            raise DatasetError(f"{folder}: class without a clip; add videos, or remove the folder")
        if len(files) < fewest:
            raise DatasetError(f"{folder}: class with one clip cannot be split into training and test; add clips")
        clips += [(f"{folder.name}/{path.name}", folder.name, path) for path in files]
    return clips


def videos_in(folder: Path) -> Iterator[Path]:
    """Yield the video files directly in a folder, in no order.

    A FIFO, socket or device with the name of a video is not a file: reading it could wait forever.
    """
    return (path for path in folder.iterdir() if _is_video(path))


def warn_left_out(folder: Path) -> None:
    """Warn about everything in a class folder that is not used: other files, special files, and subfolders."""
    if reasons := left_out(folder):
        log.warning("warning: %s: left out %s", folder, "; ".join(reasons))


def left_out(folder: Path) -> list[str]:
    """Return what in a class folder is not used, in words: how many, why, and an example."""
    files, special, subfolders, broken = [], [], [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or _is_video(path):
            continue
        if path.is_dir():
            subfolders.append(path)
        elif path.is_file():
            files.append(path)
        elif path.is_symlink() and not path.exists():
            broken.append(path)
        else:
            special.append(path)
    reasons = []
    if files:
        kinds = Counter(path.suffix.lower() or "without an extension" for path in files)
        reasons.append(
            f"{_count(files, 'file')} with an extension that is not a video's "
            f"({', '.join(f'{kind} {count}' for kind, count in kinds.most_common())})"
        )
    if special:
        reasons.append(f"{_count(special, 'special file')} (FIFO, socket or device), such as {special[0].name}")
    if broken:
        reasons.append(f"{_count(broken, 'link')} to a missing file, such as {broken[0].name}")
    if subfolders:
        inside = [path for sub in subfolders for path in sub.rglob("*") if _is_video(path)]
        reasons.append(
            f"{_count(subfolders, 'subfolder')} with {_count(inside, 'video')}, such as {subfolders[0].name}; move the "
            "videos into the class folder, or name them in a table (--dataset csv)"
        )
    return reasons


def misnamed(path: Path, pattern: str, dataset: str) -> DatasetError:
    """Return the error about a file whose name does not follow its data set."""
    return DatasetError(
        f"{path}: a clip of {dataset} is named {pattern}, but {path.name!r} is not; correct the name, or use --dataset "
        "folder for other layouts"
    )


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s'[: len(things) != 1]}"


def read_groups(data_dir: Path) -> dict[str, str]:
    """Return the group of each clip by name; empty without a table."""
    path = data_dir / GROUPS_FILE
    if not path.exists():
        return {}
    header, rows = read_table(path)
    if not {"clip", "group"} <= set(header):
        raise DatasetError(f"{path}: the header must be clip,label,group, but is {','.join(header)}")
    return {_clip_name(row): row["group"] for _, row in rows if row["clip"] and row["group"]}


def _clip_name(row: Mapping[str, str]) -> str:
    """Return `label/file`, also for a table that gives the label only in its own column."""
    return row["clip"] if "/" in row["clip"] or not row.get("label") else f"{row['label']}/{row['clip']}"
