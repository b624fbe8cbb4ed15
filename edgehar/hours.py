"""Times of the week, as settings write them: `22:00-06:00`, `mon-fri 08:00-18:00`, `sat,sun`."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(?:([a-z,-]+)\s*)?(?:(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2}))?")
_EXAMPLE = '"22:00-06:00", "mon-fri 08:00-18:00" or "sat,sun"'
_MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True)
class _Span:
    days: frozenset[int]
    begin: int  # minutes since midnight
    end: int

    def holds(self, day: int, minute: int) -> bool:
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        # Past midnight: the rest belongs to the day before.
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


class Hours:
    """Spans of time that come back every week, in local time."""

    def __init__(self, where: str, texts: Sequence[str]) -> None:
        """Read spans.

        Args:
            where: name of the setting, for messages.
            texts: each with days, a time span or both. A span that ends before it begins goes past midnight, and
                belongs to the day it begins on.

        Raises:
            ConfigError: a text is not a span.
        """
        self._where = where
        self._spans = [_read(where, text) for text in texts]

    def change(self, texts: Sequence[str]) -> None:
        """Use other spans from now on. Raises ConfigError, and changes nothing, if a text is not a span."""
        self._spans = [_read(self._where, text) for text in texts]

    def __bool__(self) -> bool:
        return bool(self._spans)

    def hold(self, now: datetime.datetime) -> bool:
        """Whether a local time is within one of the spans."""
        minute = now.hour * 60 + now.minute
        return any(span.holds(now.weekday(), minute) for span in self._spans)


def _read(where: str, text: str) -> _Span:
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        raise ConfigError(f"{where}: {text!r} is not a time span; write {_EXAMPLE}")
    days = _days(where, text, found[1])
    begin, end = (_minutes(where, text, found[2]), _minutes(where, text, found[3])) if found[2] else (0, _MINUTES_A_DAY)
    return _Span(days, begin, end)


def _days(where: str, text: str, days: str | None) -> frozenset[int]:
    if days is None:
        return frozenset(range(7))
    chosen: set[int] = set()
    for part in days.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ConfigError(f"{where}: {text!r}: {part!r} is not a day; days are {', '.join(_DAYS)}, or mon-fri")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        chosen.update((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))
    return frozenset(chosen)


def _minutes(where: str, text: str, clock: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    if hours * 60 + minutes > _MINUTES_A_DAY or minutes > 59:
        raise ConfigError(f"{where}: {text!r}: {clock} is not a time of day; write 00:00 to 24:00")
    return hours * 60 + minutes
