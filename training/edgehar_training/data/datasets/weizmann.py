"""Weizmann (Blank, Gorelick, Shechtman, Irani and Basri, ICCV 2005): `<person>_<action>.avi`, in folders or not.

From https://www.wisdom.weizmann.ac.il/~vision/SpaceTimeActions.html, for research. Its protocol leaves one of the nine
persons out at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders, misnamed, videos_in

if TYPE_CHECKING:
    from pathlib import Path

ACTIONS = ("bend", "jack", "jump", "pjump", "run", "side", "skip", "walk", "wave1", "wave2")
NAMED = "<person>_<action>.avi"


def load_weizmann(data_dir: Path) -> list[Clip]:
    """Return the clips of `<action>/<person>_<action>.avi`, or of `<person>_<action>.avi` directly in the folder.

    Some persons did an action twice (`lena_run1.avi`, `lena_run2.avi`). Group and fold are the person.

    Raises:
        DatasetError: the folder is not laid out so, or holds one action only.
    """
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; give the folder of the clips")
    files = sorted(videos_in(data_dir))
    if not files:
        files = [path for _, _, path in class_folders(data_dir, layout=f"<action>/{NAMED}", fewest=1)]
    named = [(path, *_parse(path)) for path in files]
    persons = sorted({person for _, person, _ in named})
    if len({action for _, _, action in named}) < 2:
        raise DatasetError(f"{data_dir}: all clips are of one action, {named[0][2]}; add clips of other actions")
    return [Clip(str(path), action, person, fold=persons.index(person) + 1) for path, person, action in named]


def _parse(path: Path) -> tuple[str, str]:
    """Return person and action. wave1 and wave2 are actions; in run1 the number counts the takes."""
    person, _, rest = path.stem.partition("_")
    action = rest if rest in ACTIONS else rest[:-1] if rest[-1:] in ("1", "2") else ""
    if not person or action not in ACTIONS or path.parent.name in set(ACTIONS) - {action}:
        raise misnamed(path, NAMED, "Weizmann")
    return person, action
