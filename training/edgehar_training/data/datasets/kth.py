"""KTH (Schuldt, Laptev and Caputo, ICPR 2004): `<action>/personNN_<action>_dM_uncomp.avi` and `00sequences.txt`.

From https://www.csc.kth.se/cvap/actions/, free for research. In running, jogging and walking the actor leaves the view
between one crossing and the next; `00sequences.txt` says in which frames there is somebody.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders, misnamed

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
SEQUENCES_FILE = "00sequences.txt"
RATE_HZ = 25.0
NAMED = "personNN_<action>_dM_uncomp.avi"
# The parts of Schuldt et al., by person; the others (02, 03, 05-10, 22) are tested on.
TRAIN = frozenset(range(11, 19))
VAL = frozenset({1, 4, 19, 20, 21, 23, 24, 25})
PERSONS = 25
_NAME = re.compile(r"(?P<video>person(?P<person>\d{2})_(?P<action>[a-z]+)_d[1-4])(?:_uncomp)?")
_LINE = re.compile(r"\s*(?P<video>person\d{2}_[a-z]+_d\d)\s+(?:frames\s+(?P<ranges>[\d\s,-]+)|\*missing\*)\s*")
_RANGE = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*")


def load_kth(data_dir: Path) -> list[Clip]:
    """Return one clip for each stretch of frames in `00sequences.txt` (in `data_dir` or above it): 2391 in all of KTH.

    The group is the person. The official split is Schuldt's: 8 persons to train on, 8 to validate and 9 to test.
    Stretches are taken as they are written, also the few that overlap: they are of one person and stay on one side.
    Without the file, a clip is a whole video, and a warning says so.

    Raises:
        DatasetError: the folder is not laid out so, or `00sequences.txt` cannot be understood.
    """
    sequences = _find_sequences(data_dir)
    clips: list[Clip] = []
    unlisted = []
    for _, label, path in class_folders(data_dir, layout=f"<action>/{NAMED}", fewest=1):
        match = _NAME.fullmatch(path.stem)
        if match is None or match["action"] != label or not 1 <= int(match["person"]) <= PERSONS:
            raise misnamed(path, NAMED.replace("<action>", label), "KTH")
        if label not in ACTIONS:
            raise DatasetError(f"{path.parent}: no action of KTH, which are {', '.join(ACTIONS)}; remove the folder")
        stretches = sequences.get(match["video"], [])
        if sequences and not stretches:
            unlisted.append(path.name)
        clips += _clips(path, label, int(match["person"]), stretches)
    if unlisted:
        log.warning("warning: %s has no frames for %d videos, which are used whole: %s", SEQUENCES_FILE, len(unlisted),
                    ", ".join(unlisted[:3]))  # fmt: skip
    return clips


def official_part(person: int) -> str:
    """Return the part of a person, 1 to 25, in the official split."""
    return "train" if person in TRAIN else "val" if person in VAL else "test"


def read_sequences(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Return the first and last frame, counted from 1, of every stretch, by video such as `person01_boxing_d1`.

    A video that the file calls missing has no stretches. Lines that are about no video are passed over.

    Raises:
        DatasetError: a line about a video is invalid, or the file has none.
    """
    sequences = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.lstrip().startswith("person"):
            continue
        match = _LINE.fullmatch(line)
        parts = [] if match is None or match["ranges"] is None else match["ranges"].strip(" ,\t").split(",")
        ranges = [_RANGE.fullmatch(part) for part in parts]
        stretches = [(int(found[1]), int(found[2])) for found in ranges if found]
        if match is None or None in ranges or any(not 1 <= first <= last for first, last in stretches):
            raise DatasetError(
                f"{path}, line {number}: expected a video and frames such as 'person01_boxing_d1 frames 1-95, 96-185', "
                f"and found {line.strip()!r}; take the file from KTH's page"
            )
        sequences[match["video"]] = stretches
    if not sequences:
        raise DatasetError(f"{path}: names no video; take the file from KTH's page")
    return sequences


def _find_sequences(data_dir: Path) -> dict[str, list[tuple[int, int]]]:
    for path in (data_dir / SEQUENCES_FILE, data_dir.parent / SEQUENCES_FILE):
        if path.is_file():
            return read_sequences(path)
    log.warning(
        "warning: no %s in %s: clips are whole videos, with the stretches in which nobody is in view; take the file "
        "from KTH's page", SEQUENCES_FILE, data_dir,
    )  # fmt: skip
    return {}


def _clips(path: Path, label: str, person: int, stretches: list[tuple[int, int]]) -> list[Clip]:
    group, official = f"person{person:02d}", (official_part(person),)
    if not stretches:
        return [Clip(str(path), label, group, official=official)]
    # Half a frame before the first and after the last, because rounding of times must not lose one.
    return [
        Clip(str(path), label, group, max(0.0, (first - 1.5) / RATE_HZ), (last - 0.5) / RATE_HZ, official=official)
        for first, last in stretches
    ]
