"""UBI-Fights (Degardin and Proença, 2020): `videos/fight|normal/<name>.mp4`, `annotation/<name>.csv`, test list.

From http://socia-lab.di.ubi.pt/EventDetection/, for research. The annotation has a line for each frame, 1 in a fight,
at 30 frames a second; `test_videos.csv` names the test videos.
"""

from __future__ import annotations

from pathlib import Path

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders
from edgehar_training.data.datasets.stretches import spans_of, stretches

FOLDER = "UBI_FIGHTS"
RATE_HZ = 30.0
FIGHT, NORMAL = "fight", "normal"


def load_ubi_fights(data_dir: Path) -> list[Clip]:
    """Return fights and the stretches around them, and normal videos; every video is a group.

    `data_dir` may also be the folder that holds `UBI_FIGHTS`.

    Raises:
        DatasetError: the folder has another layout, or a table cannot be read.
    """
    root = data_dir / FOLDER if (data_dir / FOLDER).is_dir() else data_dir
    tested = _read_tested(root / "test_videos.csv")
    clips = []
    for _, label, path in class_folders(root / "videos", layout="videos/fight|normal/<name>.mp4", fewest=1):
        if label not in (FIGHT, NORMAL):
            raise DatasetError(f"{path.parent}: UBI-Fights has the folders fight and normal only")
        official = () if tested is None else ("test" if path.stem in tested else "train",)
        whole = Clip(str(path), label, path.stem, official=official)
        if label == NORMAL:
            clips.append(whole)
        else:
            flags = _read_flags(root / "annotation" / f"{path.stem}.csv")
            clips += stretches(whole, spans_of(flags, RATE_HZ), NORMAL, len(flags) / RATE_HZ)
    return clips


def _read_tested(path: Path) -> set[str] | None:
    """Return the names of the test videos. Returns None without a list."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return {Path(line.strip().strip(",")).stem for line in lines if line.strip()}


def _read_flags(path: Path) -> list[bool]:
    """Return whether each frame is in a fight."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split()
        return [int(float(line.strip(","))) != 0 for line in lines]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{path}: a line for each frame is expected, 0 or 1: {reason}") from error
