"""Clips in one folder per class, with an optional table of groups; and what all such layouts share."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip

if TYPE_CHECKING:
    from collections.abc import Iterator

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"})
GROUPS_FILE = "groups.csv"


def load_folder(data_dir: Path) -> list[Clip]:
    """Clips of `<label>/<clip>`, with their groups from `groups.csv` (header `clip,label,group`) where it is there.

    A clip without a group is a group of its own.

    Raises:
        DatasetError: the folder is not laid out so, or `groups.csv` does not fit it.
    """
    clips = class_folders(data_dir)
    groups = read_groups(data_dir)
    names = {name for name, _, _ in clips}
    if missing := sorted(set(groups) - names):
        raise DatasetError(
            f"{data_dir / GROUPS_FILE}: names {len(missing)} clips that are not there, the first is {missing[0]!r}; "
            "correct the table or bring the clips"
        )
    return [Clip(str(path), label, groups.get(name, name)) for name, label, path in clips]


def class_folders(
    data_dir: Path, *, layout: str = "<label>/<clip>", fewest: int = 2, beside: frozenset[str] = frozenset()
) -> list[tuple[str, str, Path]]:
    """Name (`label/file`), label and path of every clip under `data_dir`, sorted.

    Args:
        data_dir: the folder.
        layout: how clips are expected to be named, for messages.
        fewest: videos that a class must have.
        beside: names of folders that are no classes.

    Raises:
        DatasetError: no folder, fewer than two classes, a class without a clip or with too few.
    """
    if not data_dir.is_dir():
        what = "is a file, not a folder" if data_dir.exists() else "no such folder"
        raise DatasetError(f"{data_dir}: {what}; give the folder that holds one folder per class")
    folders = sorted(
        path
        for path in data_dir.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in beside
    )
    if len(folders) < 2:
        found = ", ".join(sorted(path.name for path in data_dir.iterdir())[:5]) or "nothing"
        raise DatasetError(f"{data_dir}: expected at least two class folders, {layout}, and found {found}")
    clips: list[tuple[str, str, Path]] = []
    for folder in folders:
        files = sorted(videos_in(folder))
        if not files:
            raise DatasetError(f"{folder}: class without a clip; add videos, or remove the folder")
        if len(files) < fewest:
            raise DatasetError(f"{folder}: class with one clip cannot be split into training and test; add clips")
        clips += [(f"{folder.name}/{path.name}", folder.name, path) for path in files]
    return clips


def videos_in(folder: Path) -> Iterator[Path]:
    """The video files right in a folder, in no order."""
    return (
        path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    )


def misnamed(path: Path, pattern: str, dataset: str) -> DatasetError:
    """The error of a file whose name is not one of its data set's."""
    return DatasetError(
        f"{path}: a clip of {dataset} is named {pattern}, and {path.name!r} is not; correct the name, or use --dataset "
        "folder for other layouts"
    )


def read_groups(data_dir: Path) -> dict[str, str]:
    """Group by clip name, of `groups.csv`; empty without that table."""
    path = data_dir / GROUPS_FILE
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"clip", "group"} <= set(reader.fieldnames or ()):
                raise DatasetError(
                    f"{path}: the header must be clip,label,group, it is {','.join(reader.fieldnames or ())}"
                )
            return {_clip_name(row): row["group"] for row in reader if row["clip"] and row["group"]}
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: is no CSV in UTF-8 ({error}); save it as one") from error


def _clip_name(row: dict[str, str]) -> str:
    """`label/file`, also for a table that gives the label in its own column only."""
    return row["clip"] if "/" in row["clip"] or not row.get("label") else f"{row['label']}/{row['clip']}"
