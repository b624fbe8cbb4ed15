"""Fighting of UCF-Crime (Sultani, Chen and Shah, CVPR 2018): long videos, with times in the test part only.

From https://www.crcv.ucf.edu/projects/real-world/, for research. `Fighting<nnn>_x264.mp4` and
`Normal_Videos<nnn>_x264.mp4` lie in folders of any depth, beside `Anomaly_Train.txt`, `Anomaly_Test.txt` and
`Temporal_Anomaly_Annotation_for_Testing_Videos.txt`.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath
from typing import Literal

from edgehar.errors import DatasetError
from edgehar.sources.address import VIDEO_SUFFIXES
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.stretches import length_s, stretches

log = logging.getLogger(__name__)

FIGHT, NORMAL = "Fighting", "Normal"
# Frames of the annotation are those of 30 a second.
RATE_HZ = 30.0
LISTS: dict[str, Literal["train", "test"]] = {"Anomaly_Train.txt": "train", "Anomaly_Test.txt": "test"}
TIMES = "Temporal_Anomaly_Annotation*.txt"
_NAME = re.compile(r"(?P<label>Fighting|Normal_Videos)_?\d+_x264")


def load_ucf_crime(data_dir: Path) -> list[Clip]:
    """Return the videos of fights and of normal scenes, with their part in the official split if its lists exist.

    Test videos with times are cut into fights and the rest. A fight of the training part has no times: the whole video
    is labeled so, though most of it may be calm. Every video is a group.

    Raises:
        DatasetError: there are no such videos, or a table cannot be read.
    """
    videos = sorted(path for path in data_dir.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    named = [(path, match["label"]) for path in videos if (match := _NAME.fullmatch(path.stem)) is not None]
    for label in ("Fighting", "Normal_Videos"):
        if label not in {found for _, found in named}:
            raise DatasetError(f"{data_dir}: holds no video {label}<nnn>_x264.mp4; unpack the parts of UCF-Crime there")
    parts, times = _read_parts(data_dir), _read_times(data_dir)
    clips, weak = [], 0
    for path, kind in named:
        official = (parts.get(path.stem, ""),) if parts else ()
        whole = Clip(str(path), FIGHT if kind == "Fighting" else NORMAL, path.stem, official=official)
        if whole.label == NORMAL or path.stem not in times:
            weak += whole.label == FIGHT
            clips.append(whole)
        else:
            clips += stretches(whole, times[path.stem], NORMAL, length_s(path))
    if weak:
        log.warning("warning: UCF-Crime: %d videos of fights have no times; all of each is taken for a fight", weak)
    return clips


def _read_parts(data_dir: Path) -> dict[str, str]:
    """Return the part of each video by its name; empty without lists."""
    parts: dict[str, str] = {}
    for name, part in LISTS.items():
        for path in sorted(data_dir.rglob(name))[:1]:
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.strip():
                    parts[PurePosixPath(line.split()[0]).stem] = part
    return parts


def _read_times(data_dir: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the spans of each annotated video in seconds, by its name."""
    times: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(data_dir.rglob(TIMES))[:1]:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            words = line.split()
            if not words or words[1:2] != [FIGHT]:
                continue
            try:
                frames = [int(word) for word in words[2:6]]
                pairs = list(zip(frames[::2], frames[1::2], strict=True))
            except ValueError as error:
                raise DatasetError(
                    f"{path}, line {number}: expected a name, a class and four frames ({error})"
                ) from error
            times[PurePosixPath(words[0]).stem] = [(a / RATE_HZ, b / RATE_HZ) for a, b in pairs if 0 <= a < b]
    return times
