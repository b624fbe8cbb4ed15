"""UCF50 (Reddy and Shah, Machine Vision and Applications 2013): `<Class>/v_<Class>_gNN_cNN.avi`.

From https://www.crcv.ucf.edu/data/UCF50.php, for research. Its authors' protocol leaves one of the 25 groups out at a
time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.ucf import ucf_videos

if TYPE_CHECKING:
    from pathlib import Path


def load_ucf50(data_dir: Path) -> list[Clip]:
    """Return clips whose group is `gNN` and whose fold is its number; g01 is one group across all classes.

    Raises:
        DatasetError: the folder is not laid out so.
    """
    return [Clip(str(path), label, f"g{group:02d}", fold=group) for label, path, group in ucf_videos(data_dir, "UCF50")]
