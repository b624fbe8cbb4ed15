"""Clips in one folder per class, with an optional table of groups; and what all such layouts share."""

from __future__ import annotations

import csv
from pathlib import Path

from edgehar.errors import DatasetError
from edgehar_training.datasets.clip import Clip

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"})
GROUPS_FILE = "groups.csv"


def load_folder(data_dir: Path) -> list[Clip]:
    """Clips of `<label>/<clip>`, with their groups from `groups.csv` (header `clip,label,group`) where it is there.

    A clip without a group is a group of its own.

    Raises:
        DatasetError: the folder is not laid out so, or `groups.csv` does not fit it.
    """
    clips = class_folders(data_dir)
    groups = _read_groups(data_dir)
    names = {name for name, _, _ in clips}
    if missing := sorted(set(groups) - names):
        raise DatasetError(
            f"{data_dir / GROUPS_FILE}: names {len(missing)} clips that are not there, the first is {missing[0]!r}; "
            "correct the table or bring the clips"
        )
    return [Clip(str(path), label, groups.get(name, name)) for name, label, path in clips]


def class_folders(data_dir: Path) -> list[tuple[str, str, Path]]:
    """Name (`label/file`), label and path of every clip under `data_dir`, sorted.

    Raises:
        DatasetError: no folder, fewer than two classes, a class without a clip or with a single one.
    """
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; give the folder that holds one folder per class")
    folders = sorted(path for path in data_dir.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(folders) < 2:
        found = ", ".join(sorted(path.name for path in data_dir.iterdir())[:5]) or "nothing"
        raise DatasetError(f"{data_dir}: expected at least two class folders, <label>/<clip>, and found {found}")
    clips: list[tuple[str, str, Path]] = []
    for folder in folders:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
        if not files:
            raise DatasetError(f"{folder}: class without a clip; add videos, or remove the folder")
        if len(files) == 1:
            raise DatasetError(f"{folder}: class with one clip cannot be split into training and test; add clips")
        clips += [(f"{folder.name}/{path.name}", folder.name, path) for path in files]
    return clips


def _read_groups(data_dir: Path) -> dict[str, str]:
    """Group by clip name; empty without a table."""
    path = data_dir / GROUPS_FILE
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"clip", "group"} <= set(reader.fieldnames or ()):
            raise DatasetError(
                f"{path}: the header must be clip,label,group, it is {','.join(reader.fieldnames or ())}"
            )
        return {_clip_name(row): row["group"] for row in reader if row["group"]}


def _clip_name(row: dict[str, str]) -> str:
    """`label/file`, also for a table that gives the label in its own column only."""
    return row["clip"] if "/" in row["clip"] or not row.get("label") else f"{row['label']}/{row['clip']}"
