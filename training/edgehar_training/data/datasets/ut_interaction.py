"""UT-Interaction, segmented (Ryoo and Aggarwal, SDHA 2010): `<label>/<index>_<sequence>_<class>.avi`.

From https://cvrc.ece.utexas.edu/SDHA2010/Human_Interaction.html, for research. The contest leaves one of the ten
sequences of a set out at a time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders, misnamed

if TYPE_CHECKING:
    from pathlib import Path

NAMED = "<index>_<sequence>_<class>.avi"
_NAME = re.compile(r"(?P<index>\d+)_(?P<sequence>\d+)_(?P<class>\d+)")


def load_ut_interaction(data_dir: Path) -> list[Clip]:
    """Return clips grouped by sequence, which is also their fold.

    Raises:
        DatasetError: the folder is not laid out so.
    """
    clips = []
    for _, label, path in class_folders(data_dir, layout=f"<label>/{NAMED}"):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path, NAMED, "UT-Interaction")
        sequence = int(match["sequence"])
        clips.append(Clip(str(path), label, f"sequence-{sequence:02d}", fold=sequence))
    return clips
