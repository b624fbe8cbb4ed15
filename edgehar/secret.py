"""Text that must not be seen: a password or token that shows itself only when asked to."""

from __future__ import annotations

MASK = "********"


class Secret(str):
    """A password or token: printed, formatted or shown within anything else, it is `********`.

    It compares and hashes as its text does, msgspec refuses to encode it, and `reveal()` gives the text for the one
    place that needs it. Adding and joining strings, and the `json` module, use the text itself: mind them.

    >>> f"{Secret('hunter2')} {Secret('hunter2')!r}"
    "******** '********'"
    """

    __slots__ = ()

    def reveal(self) -> str:
        """The text itself, as a plain `str`."""
        return str.__str__(self)

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return repr(MASK)

    def __format__(self, specification: str) -> str:
        return format(MASK, specification)
