"""Recognize labels that sound like "nothing happens", which should not open events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = frozenset(
    [
        *("adl", "background", "bg", "empty", "idle", "misc", "miscellaneous", "negative", "neutral", "no", "noaction"),
        *(
            "noactivity",
            "noevent",
            "noise",
            "none",
            "normal",
            "nothing",
            "ordinary",
            "other",
            "others",
            "rest",
            "usual",
        ),
    ]
)
# noFight, no_fight, non-violence, not falling, without weapon; a word such as "nod" is not one of them.
_NEGATED = re.compile(r"(?:no|non|not|without)(?:[\W_]+|(?=[A-Z]))\w", re.ASCII)
_PREFIXES = ("no", "non", "not")


def likely_background(labels: Sequence[str]) -> list[str]:
    """Return the labels that sound like background, such as `noFight`, `normal` or `other`."""
    words = {re.sub(r"[\W_]+", "", label.lower()) for label in labels}
    return [label for label in labels if _is_likely(label, words)]


def background_hint(labels: Sequence[str], background: Sequence[str]) -> str | None:
    """Return advice about labels that sound like background but open events. Returns None if there are none."""
    likely = [label for label in likely_background(labels) if label not in background]
    if not likely or len(likely) == len(labels):
        return None
    words = f"label {likely[0]} sounds" if len(likely) == 1 else f"labels {', '.join(likely)} sound"
    pronoun = "it" if len(likely) == 1 else "they"
    return (
        f"{words} like background, but {pronoun} will open events; to prevent that, convert with --background "
        f"{' '.join([*background, *likely])}"
    )


def _is_likely(label: str, words: set[str]) -> bool:
    word = re.sub(r"[\W_]+", "", label.lower())
    if word in NAMES or _NEGATED.match(label) or _NEGATED.match(label.lower()):
        return True
    # nofight beside fight.
    return any(word == f"{prefix}{other}" for prefix in _PREFIXES for other in words)
