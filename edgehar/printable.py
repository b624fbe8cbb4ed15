"""Text from files, cameras and networks, made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with every control character and lone surrogate as an escape, for example `\\x1b`.

    A label or file name could otherwise move the cursor, change the title, or hide what follows.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
