"""UR Fall (Kwolek and Kepski, 2014): `fall-<nn>-cam<c>.mp4` and `adl-<nn>-cam0.mp4`, 30 frames a second, one room.

From http://fenix.ur.edu.pl/~mkepski/ds/uf.html, CC BY-NC-SA 4.0. Its PNG pictures make videos of the color camera:
`ffmpeg -framerate 30 -i fall-01-cam0-rgb/fall-01-cam0-rgb-%03d.png fall-01-cam0.mp4`. `urfall-cam0-falls.csv` has the
posture of each frame: -1 before, 0 falling, 1 lying.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar.sources.address import VIDEO_SUFFIXES
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.stretches import stretches

if TYPE_CHECKING:
    from pathlib import Path

RATE_HZ = 30.0
FALL, OTHER = "fall", "adl"
FALLS_FILE = "urfall-cam0-falls.csv"
# A fall takes about a second; so much before and after it belongs to what a window must see.
AROUND_S = 0.5
_NAME = re.compile(r"(?P<sequence>(?P<kind>fall|adl)-\d+)-cam(?P<camera>\d)(-rgb)?")


def load_ur_fall(data_dir: Path) -> list[Clip]:
    """Return falls and everyday movement, grouped by sequence, which several cameras show.

    With `urfall-cam0-falls.csv`, videos of camera 0 are cut into the fall and what is before it; what comes after it,
    a person on the floor, is left out. Without it, or from another camera, a video is one clip.

    Raises:
        DatasetError: there are no such videos, or the table cannot be read.
    """
    videos = sorted(path for path in data_dir.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    times = _read_times(data_dir)
    clips = []
    for path in videos:
        match = _NAME.fullmatch(path.stem)
        if match is None:
            continue
        whole = Clip(str(path), match["kind"], match["sequence"])
        span = times.get(match["sequence"]) if match["camera"] == "0" else None
        clips += [whole] if span is None else stretches(whole, [span], OTHER)
    for kind in (FALL, OTHER):
        if kind not in {clip.label for clip in clips}:
            raise DatasetError(f"{data_dir}: holds no video {kind}-<nn>-cam<c>.mp4 of UR Fall")
    return clips


def _read_times(data_dir: Path) -> dict[str, tuple[float, float]]:
    """Return start and end of the fall in seconds, by sequence."""
    frames: dict[str, list[int]] = defaultdict(list)
    for path in sorted(data_dir.rglob(FALLS_FILE))[:1]:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), 1):
                try:
                    if row and int(row[2]) == 0:
                        frames[row[0]].append(int(row[1]))
                except (ValueError, IndexError) as error:
                    raise DatasetError(
                        f"{path}, line {number}: expected sequence, frame and posture ({error})"
                    ) from error
    return {
        sequence: (max(0.0, (min(own) - 1) / RATE_HZ - AROUND_S), max(own) / RATE_HZ + AROUND_S)
        for sequence, own in frames.items()
    }
