"""Makes text from files, cameras and networks safe for terminals and for JSON, and writes counts with their nouns."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return text that any terminal and any UTF-8 file can hold.

    Control characters become escapes such as `\x1b`, and so do the bytes of a file name that is not UTF-8. A label or
    name could otherwise move the cursor, change the title of the terminal, or hide what follows.
    """
    decoded = valid_unicode(text)
    if decoded.isprintable():
        return decoded
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in decoded)


def valid_unicode(text: str) -> str:
    r"""Return text that can be encoded, for example in JSON: a byte of a file name that is not UTF-8 becomes `\xe9`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that is not from a file name
        return text.encode("utf-8", "backslashreplace").decode()


def printable_lines(text: str) -> str:
    """Return text of several lines with each line `printable`."""
    return "\n".join(printable(line) for line in text.split("\n"))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, for example "1 frame" or "2 frames"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
