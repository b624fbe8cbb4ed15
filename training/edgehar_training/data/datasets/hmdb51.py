"""HMDB51 (Kuehne, Jhuang, Garrote, Poggio and Serre, ICCV 2011): `<action>/<clip>.avi`, and three official splits.

From https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/ (CC BY 4.0). The splits are the files
`<action>_test_split<k>.txt` of `testTrainMulti_7030_splits`: a clip and 1 (training), 2 (test) or 0 (not used) a line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders
from edgehar_training.data.datasets.official import say_unmatched, without_gaps

if TYPE_CHECKING:
    from pathlib import Path

LISTS_FOLDER = "testTrainMulti_7030_splits"
SPLITS = 3
PARTS = {"0": "", "1": "train", "2": "test"}
# Visible body part, camera motion, number of people, view point, quality, number of the clip within its source.
_TAGS = re.compile(r"(?P<source>.+)_[a-z]+_(?:cm|nm)_np\d+_[a-z]{2}_(?:goo|med|bad)_\d+")


def load_hmdb51(data_dir: Path) -> list[Clip]:
    """Return clips with their parts in the official splits that exist; the group is the source video of a clip.

    Split files are searched in `data_dir`, and in `testTrainMulti_7030_splits` in it or next to it.

    Raises:
        DatasetError: the folder or a split file is not laid out so, or a split lacks the file of an action.
    """
    videos = class_folders(data_dir, layout="<action>/<clip>.avi", beside=frozenset({LISTS_FOLDER}))
    labels = sorted({label for _, label, _ in videos})
    folders = [data_dir, data_dir / LISTS_FOLDER, data_dir.parent / LISTS_FOLDER]
    splits = without_gaps("HMDB51", [_read_split(folders, labels, number) for number in range(1, SPLITS + 1)])
    names = {name for name, _, _ in videos}
    for number, parts in enumerate(splits, 1):
        say_unmatched("HMDB51", number, set(parts), names)
    return [
        Clip(
            str(path),
            label,
            source_video(path.stem, label),
            official=tuple(parts.get(name, "") for parts in splits),
        )
        for name, label, path in videos
    ]


def source_video(stem: str, label: str) -> str:
    """Return the source video of a clip, from its name. A name of another form is its own source.

    >>> source_video("April_09_brush_hair_u_nm_np1_ba_goo_0", "brush_hair")
    'April_09'
    """
    match = _TAGS.fullmatch(stem)
    if match is None:
        return stem
    # The action nearly always precedes the tags; the remaining text is not empty.
    return match["source"].removesuffix(f"_{label}") or stem


def read_split_file(path: Path) -> dict[str, str]:
    """Return the part of every clip of an action ("train", "test", or "" when not used), by file name.

    Raises:
        DatasetError: a line is not a clip and 0, 1 or 2.
    """
    parts = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        name, _, part = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if not name.strip() or part not in PARTS:
            raise DatasetError(
                f"{path}, line {number}: expected a clip and 0, 1 or 2, and found {line.strip()!r}; take the file from "
                "HMDB51's page"
            )
        parts[name.strip()] = PARTS[part]
    return parts


def _read_split(folders: list[Path], labels: list[str], number: int) -> dict[str, str] | None:
    """Return the part of every clip by `label/file`. Returns None if the split does not exist."""
    names = [f"{label}_test_split{number}.txt" for label in labels]
    folder = next((folder for folder in folders if any((folder / name).is_file() for name in names)), None)
    if folder is None:
        return None
    parts: dict[str, str] = {}
    for label, name in zip(labels, names, strict=True):
        if not (folder / name).is_file():
            raise DatasetError(f"{folder}: no {name}, although other actions have a split {number}; add the file")
        parts |= {f"{label}/{clip}": part for clip, part in read_split_file(folder / name).items()}
    return parts
