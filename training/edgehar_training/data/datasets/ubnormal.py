"""UBnormal (Acsintoae et al., CVPR 2022): rendered scenes, `Scene<n>/<kind>_scene_<n>_scenario_<m>.mp4`.

From https://github.com/lilygeorgescu/UBnormal, CC BY-NC-ND 4.0. `<video>_annotations/<video>_tracks.txt` has a row for
each abnormal object: its number, its first and its last frame, at 30 frames a second. The split is six lists of names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from edgehar.errors import DatasetError
from edgehar.sources.address import VIDEO_SUFFIXES
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.stretches import length_s, stretches

RATE_HZ = 30.0
ABNORMAL, NORMAL = "abnormal", "normal"
_NAME = re.compile(r"(?P<kind>abnormal|normal)_scene_(?P<scene>\d+)_scenario\w*")
_PARTS: dict[str, Literal["train", "val", "test"]] = {"training": "train", "validation": "val", "test": "test"}


def load_ubnormal(data_dir: Path) -> list[Clip]:
    """Return abnormal stretches and normal ones, grouped by scene, with their part if the lists of names exist.

    Lists (`abnormal_training_video_names.txt` and so on) are looked for in `data_dir` and in `scripts` in it.

    Raises:
        DatasetError: there are no such videos, or a table is missing or cannot be read.
    """
    videos = sorted(path for path in data_dir.glob("Scene*/*") if path.suffix.lower() in VIDEO_SUFFIXES)
    parts, clips = _read_parts(data_dir), []
    for path in videos:
        match = _NAME.fullmatch(path.stem)
        if match is None:
            continue
        official = (parts.get(path.stem, ""),) if parts else ()
        whole = Clip(str(path), match["kind"], f"scene{match['scene']}", official=official)
        spans = _read_tracks(path) if match["kind"] == ABNORMAL else []
        clips += stretches(whole, spans, NORMAL, length_s(path) if spans else None)
    for kind in (ABNORMAL, NORMAL):
        if kind not in {clip.label for clip in clips}:
            raise DatasetError(f"{data_dir}: holds no {kind} video Scene<n>/{kind}_scene_<n>_scenario_<m>.mp4")
    return clips


def _read_tracks(video: Path) -> list[tuple[float, float]]:
    path = video.parent / f"{video.stem}_annotations" / f"{video.stem}_tracks.txt"
    try:
        rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        # The last frame is in the span.
        return [(float(row[1]) / RATE_HZ, (float(row[2]) + 1) / RATE_HZ) for row in rows]
    except (OSError, ValueError, IndexError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{path}: rows of number, first and last frame are expected: {reason}") from error


def _read_parts(data_dir: Path) -> dict[str, str]:
    parts: dict[str, str] = {}
    for word, part in _PARTS.items():
        for kind in (ABNORMAL, NORMAL):
            for folder in (data_dir, data_dir / "scripts"):
                path = folder / f"{kind}_{word}_video_names.txt"
                if path.is_file():
                    parts |= dict.fromkeys(path.read_text(encoding="utf-8").split(), part)
    return parts
