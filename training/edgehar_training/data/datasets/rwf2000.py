"""RWF-2000 (Cheng, Cai and Li, ICPR 2020): `train|val/Fight|NonFight/<video>_<n>.avi`, clips of 5 s.

From https://github.com/mchengny/RWF2000-Video-Database-for-Violence-Detection, for research, on request. Papers report
the accuracy on `val`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "RWF-2000"
# The part that papers call validation is the one they report.
PARTS = {"train": "train", "val": "test"}
LABELS = ("Fight", "NonFight")


def load_rwf2000(data_dir: Path) -> list[Clip]:
    """Return the clips, grouped by the video they were cut from, with their part in the official split.

    `data_dir` may also be the folder that holds `RWF-2000`.

    Raises:
        DatasetError: the folder has another layout.
    """
    root = data_dir / FOLDER if (data_dir / FOLDER).is_dir() else data_dir
    clips = []
    for folder, part in PARTS.items():
        if not (root / folder).is_dir():
            raise DatasetError(
                f"{root}: holds no folder {folder}; RWF-2000 has train and val, each with Fight and NonFight"
            )
        for _, label, path in class_folders(root / folder, layout=f"{folder}/Fight|NonFight/<clip>", fewest=1):
            if label not in LABELS:
                raise DatasetError(f"{root / folder / label}: RWF-2000 has the folders Fight and NonFight only")
            clips.append(Clip(str(path), label, source_video(path.stem), official=(part,)))
    return clips


def source_video(stem: str) -> str:
    """Return the video of a clip `<video>_<n>`: numbers count the clips that were cut from it."""
    video, _, number = stem.rpartition("_")
    return video if video and number.isdecimal() else stem
