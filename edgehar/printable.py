"""Text from files, cameras and networks, made safe for terminals and for JSON."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return text with every control character and lone surrogate as an escape, for example `\x1b`.

    A label or file name could otherwise move the cursor, change the title of the terminal, or hide what follows.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def valid_unicode(text: str) -> str:
    r"""Return text that can be encoded, for example in JSON: a byte of a file name that is not UTF-8 becomes `\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
