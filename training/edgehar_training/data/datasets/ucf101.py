"""UCF101 (Soomro, Zamir and Shah, CRCV-TR-12-01, 2012): `<Class>/v_<Class>_gNN_cNN.avi`, and three official splits.

From https://www.crcv.ucf.edu/data/UCF101.php, for research. The splits are the files of `ucfTrainTestlist`:
`trainlist01.txt` and `testlist01.txt` to 03, and `classInd.txt`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.official import find_lists, say_unmatched, without_gaps
from edgehar_training.data.datasets.ucf import ucf_videos

if TYPE_CHECKING:
    from pathlib import Path

LISTS_FOLDER = "ucfTrainTestlist"
VIDEOS_FOLDER = "UCF-101"
SPLITS = 3
_LINE = re.compile(r"(?P<label>[^/\s]+)/(?P<name>\S+)(?:\s+(?P<number>\d+))?")


def load_ucf101(data_dir: Path) -> list[Clip]:
    """Return clips whose group is `gNN`, the same across classes, with their parts in the official lists that exist.

    Lists are searched in `data_dir`, and in `ucfTrainTestlist` in it or next to it; `data_dir` may also be the
    folder that holds `UCF-101`. Names are compared without regard to case, since the class HandstandPushups is spelled
    in two ways.

    Raises:
        DatasetError: the folder or a list is not laid out so.
    """
    root = data_dir / VIDEOS_FOLDER if (data_dir / VIDEOS_FOLDER).is_dir() else data_dir
    videos = ucf_videos(root, "UCF101", frozenset({LISTS_FOLDER}))
    folders = [folder / name for folder in dict.fromkeys((root, data_dir, root.parent)) for name in ("", LISTS_FOLDER)]
    lists = without_gaps("UCF101", [_read_pair(folders, number) for number in range(1, SPLITS + 1)])
    names = {path.stem.casefold() for _, path, _ in videos}
    for number, parts in enumerate(lists, 1):
        say_unmatched("UCF101", number, set(parts), names)
    return [
        Clip(str(path), label, f"g{group:02d}", official=tuple(parts.get(path.stem.casefold(), "") for parts in lists))
        for label, path, group in videos
    ]


def read_list(path: Path) -> list[tuple[str, str]]:
    """Return class and file name of every line `Class/v_Class_gNN_cNN.avi [number]` of a list.

    Raises:
        DatasetError: a line is not so.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DatasetError(
                f"{path}, line {number}: expected <Class>/v_<Class>_gNN_cNN.avi, and found {line.strip()!r}; take the "
                "list from UCF101's page"
            )
        rows.append((match["label"], match["name"]))
    return rows


def read_class_numbers(path: Path) -> dict[str, int]:
    """Return the number of each class, from 1, in `classInd.txt`.

    Raises:
        DatasetError: a line is not a number and a class.
    """
    numbers = {}
    for line_number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not words[0].isdecimal():
            raise DatasetError(f"{path}, line {line_number}: expected a number and a class, and found {line.strip()!r}")
        numbers[words[1]] = int(words[0])
    return numbers


def _read_pair(folders: list[Path], number: int) -> dict[str, str] | None:
    """Return the part of every clip of split `number` by lower-case name. Returns None if there is no such split."""
    found = find_lists(folders, f"trainlist{number:02d}.txt", f"testlist{number:02d}.txt")
    if found is None:
        return None
    parts: dict[str, str] = {}
    for part, path in zip(("train", "test"), found, strict=True):
        for _, name in read_list(path):
            stem = name.rsplit(".", 1)[0].casefold()
            if parts.setdefault(stem, part) != part:
                raise DatasetError(f"{path}: {name} is in the training list too; take the lists from UCF101's page")
    _check_classes(found[0].parent / "classInd.txt", found)
    return parts


def _check_classes(path: Path, lists: tuple[Path, ...]) -> None:
    """Check that every class of the lists is in `classInd.txt`, if that file exists."""
    if not path.is_file():
        return
    known = {label.casefold() for label in read_class_numbers(path)}
    for listing in lists:
        for label, name in read_list(listing):
            if label.casefold() not in known:
                raise DatasetError(f"{listing}: {name} is of class {label!r}, which {path.name} does not name")
