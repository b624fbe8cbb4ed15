"""Hockey Fight (Bermejo Nievas et al., CAIP 2011): `fi<n>_xvid.avi` and `no<n>_xvid.avi`, 1000 clips of 50 frames.

From the authors, for research. Nobody says which clips are of one game, so no split of it is free of leaks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import misnamed, videos_in

if TYPE_CHECKING:
    from pathlib import Path

NAMED = "fi<n>_xvid.avi or no<n>_xvid.avi"
_NAME = re.compile(r"(?P<kind>fi|no)\d+(_xvid)?")
LABELS = {"fi": "fight", "no": "noFight"}


def load_hockey(data_dir: Path) -> list[Clip]:
    """Return the clips of a folder, or of folders in it, each a group of its own.

    Raises:
        DatasetError: the folder has another layout.
    """
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; give the folder of the clips")
    folders = [data_dir, *sorted(path for path in data_dir.iterdir() if path.is_dir())]
    clips = []
    for path in sorted(path for folder in folders for path in videos_in(folder)):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path, NAMED, "Hockey Fight")
        clips.append(Clip(str(path), LABELS[match["kind"]], path.stem))
    if missing := [label for label in LABELS.values() if label not in {clip.label for clip in clips}]:
        raise DatasetError(f"{data_dir}: holds no clip of {missing[0]}; they are named {NAMED}")
    return clips
