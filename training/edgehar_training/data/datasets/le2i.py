"""Le2i falls (Charfi et al., J. Electronic Imaging 2013): `<Room>/Videos/video (<n>).avi`, 25 frames a second.

From http://le2i.cnrs.fr/Fall-detection-Dataset, CC BY-NC-SA 3.0. `<Room>/Annotation_files/video (<n>).txt` begins with
the first and the last frame of the fall, both 0 without one; then comes the person's box in each frame.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import videos_in
from edgehar_training.data.datasets.stretches import stretches

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

RATE_HZ = 25.0
FALL, OTHER = "fall", "adl"
ANNOTATIONS = ("Annotation_files", "Annotations_files")
# A fall takes less than a second; so much before and after it belongs to what a window must see.
AROUND_S = 0.5
# A protocol of the paper: learn in the coffee room, test at home.
PARTS = {"coffee_room": "train", "home": "test"}


def load_le2i(data_dir: Path) -> list[Clip]:
    """Return falls and everyday movement, grouped by place: Coffee_room_01 and Coffee_room_02 are the same room.

    Rooms without annotations, as Office and Lecture room, are left out with a warning.

    Raises:
        DatasetError: there are no annotated rooms, or an annotation cannot be read.
    """
    rooms = sorted(path.parent for path in data_dir.rglob("Videos") if path.is_dir())
    clips = []
    for room in rooms:
        folder = next((room / name for name in ANNOTATIONS if (room / name).is_dir()), None)
        if folder is None:
            log.warning("warning: Le2i: %s has no annotations, so its videos are left out", room.name)
            continue
        for path in sorted(videos_in(room / "Videos")):
            clips += _clips_of(path, folder / f"{path.stem}.txt", place_of(room.name))
    if not clips:
        raise DatasetError(f"{data_dir}: holds no <Room>/Videos with <Room>/Annotation_files; unpack Le2i there")
    return clips


def place_of(room: str) -> str:
    """Return the place of a folder: its name without its number, in lower case."""
    return re.sub(r"[ _]?\d+$", "", room).replace(" ", "_").casefold()


def _clips_of(path: Path, annotation: Path, place: str) -> list[Clip]:
    whole = Clip(str(path), FALL, place, official=(PARTS.get(place, ""),))
    try:
        lines = annotation.read_text(encoding="utf-8", errors="replace").split("\n")
        numbers = [int(line) for line in lines[:2] if line.strip() and "," not in line]
        boxes = sum("," in line for line in lines)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(f"{annotation}: first and last frame of the fall are expected: {reason}") from error
    if len(numbers) < 2 or numbers[1] <= numbers[0]:
        return stretches(whole, [], OTHER)
    span = (max(0.0, (numbers[0] - 1) / RATE_HZ - AROUND_S), numbers[1] / RATE_HZ + AROUND_S)
    return stretches(whole, [span], OTHER, boxes / RATE_HZ)
