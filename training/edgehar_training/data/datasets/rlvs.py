"""Real Life Violence Situations (Soliman et al., ICICIS 2019): `Violence/V_<n>.mp4` and `NonViolence/NV_<n>.mp4`.

From https://www.kaggle.com/datasets/mohamedmustafa/real-life-violence-situations-dataset, for research. Nobody says
which clips are of one video, so no split of it is free of leaks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import misnamed, videos_in

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = ("Real Life Violence Dataset", "real life violence situations")
_NAMES = {"Violence": re.compile(r"V_\d+"), "NonViolence": re.compile(r"NV_\d+")}


def load_rlvs(data_dir: Path) -> list[Clip]:
    """Return the clips, each a group of its own.

    `data_dir` may also be the folder that holds `Real Life Violence Dataset`.

    Raises:
        DatasetError: the folder has another layout.
    """
    root = next((data_dir / name for name in FOLDERS if (data_dir / name).is_dir()), data_dir)
    clips = []
    for label, pattern in _NAMES.items():
        if not (root / label).is_dir():
            raise DatasetError(f"{root}: holds no folder {label}; the data set has Violence and NonViolence")
        for path in sorted(videos_in(root / label)):
            if pattern.fullmatch(path.stem) is None:
                raise misnamed(path, "V_<n>.mp4 or NV_<n>.mp4", "RLVS")
            clips.append(Clip(str(path), label, path.stem))
    return clips
