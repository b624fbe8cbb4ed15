"""The known name that a misspelled name most likely means."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, alike: float = 0.6) -> str:
    """Return the known name that is most like `name`, or an empty string if none is like it.

    Capitals, `-`, `_`, `.` and spaces do not count.

    >>> nearest("Fight", ["noFight", "fight"])
    'fight'

    Args:
        name: the name.
        known: the known names.
        alike: least similarity, 0 to 1, as `difflib.SequenceMatcher.ratio` defines it.
    """
    plain: dict[str, str] = {}
    for candidate in known:
        plain.setdefault(_plain(candidate), candidate)
    if (same := plain.get(_plain(name))) is not None:
        return same
    close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=alike)
    return plain[close[0]] if close else ""


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name.casefold())
