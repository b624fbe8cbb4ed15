"""UT-Interaction, segmented (Ryoo and Aggarwal, SDHA 2010): `<label>/<index>_<sequence>_<class>.avi`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.datasets.clip import Clip
from edgehar_training.datasets.folder import class_folders

if TYPE_CHECKING:
    from pathlib import Path

NAME = re.compile(r"(?P<index>\d+)_(?P<sequence>\d+)_(?P<class>\d+)")


def load_ut_interaction(data_dir: Path) -> list[Clip]:
    """Clips grouped by sequence, which the contest's protocol leaves out one at a time.

    Raises:
        DatasetError: the folder is not laid out so.
    """
    clips = []
    for name, label, path in class_folders(data_dir):
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise DatasetError(
                f"{path}: a clip of UT-Interaction is named <index>_<sequence>_<class>.avi, and {name!r} is not; "
                "use --dataset folder for other names"
            )
        clips.append(Clip(str(path), label, f"sequence-{int(match['sequence']):02d}"))
    return clips
