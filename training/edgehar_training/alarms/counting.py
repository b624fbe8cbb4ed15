"""Count alarms: which moments count, and whether each of them is a find or a false alarm."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# An alarm that lasts counts again after this time, so that a detector that never stops ringing is not a quiet one.
REPEAT_S = 30.0
# Times that differ by less than this are the same.
_SAME_S = 1e-6


def alarms_of(span: tuple[float, float]) -> int:
    """Return how often an alarm counts: once, and again for every further `REPEAT_S` that it lasts."""
    start_s, end_s = span
    return max(1, math.ceil((end_s - start_s - _SAME_S) / REPEAT_S))


def moments(span: tuple[float, float]) -> list[float]:
    """Return the moments at which an alarm counts, in seconds: its start, and every `REPEAT_S` while it lasts."""
    return [span[0] + REPEAT_S * number for number in range(alarms_of(span))]


@dataclasses.dataclass(frozen=True)
class Incident:
    """An incident to find, in seconds from the start of its recording."""

    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Find:
    """The result of an incident.

    Attributes:
        found: an alarm rang in it.
        delay_s: seconds from its start to the first alarm that starts in it; None if none does. An incident that is
            found without a delay met an alarm that rang already.
    """

    found: bool
    delay_s: float | None


@dataclasses.dataclass(frozen=True)
class Tally:
    """The counts of one recording.

    Attributes:
        seconds: ordinary time: outside of every incident and its borders.
        false_alarms: moments of alarm in ordinary time.
        ringing_s: ordinary time in alarm.
        finds: one for each incident, in order.
    """

    seconds: float
    false_alarms: int
    ringing_s: float
    finds: list[Find]


def tally(
    spans: Sequence[tuple[float, float]], incidents: Sequence[Incident], length_s: float, tolerance_s: float
) -> Tally:
    """Judge the alarms of one recording.

    An alarm in an incident, or up to the tolerance after its end, finds it: the window that raises it holds the
    incident. The borders, the tolerance before and after each incident, count neither as ordinary time nor for false
    alarms, because nobody knows to the second when an incident starts.

    Args:
        spans: start and end of each alarm, in seconds from the start of the recording.
        incidents: what there is to find.
        length_s: seconds that were watched.
        tolerance_s: width of the borders.
    """
    kept = [Incident(one.start_s - tolerance_s, one.end_s + tolerance_s) for one in incidents]
    ordinary = _gaps(kept, length_s)
    every = [moment for span in spans for moment in moments(span)]
    return Tally(
        seconds=sum(end_s - start_s for start_s, end_s in ordinary),
        false_alarms=sum(not any(one.start_s <= moment <= one.end_s for one in kept) for moment in every),
        ringing_s=sum(_shared(span, gap) for span in spans for gap in ordinary),
        finds=[_find(spans, one, tolerance_s) for one in incidents],
    )


def _find(spans: Sequence[tuple[float, float]], incident: Incident, tolerance_s: float) -> Find:
    last_s = incident.end_s + tolerance_s
    started = [start_s for start_s, _ in spans if incident.start_s - _SAME_S <= start_s <= last_s + _SAME_S]
    if started:
        return Find(True, max(0.0, min(started) - incident.start_s))
    return Find(any(start_s < incident.start_s <= end_s for start_s, end_s in spans), None)


def _gaps(kept: Sequence[Incident], length_s: float) -> list[tuple[float, float]]:
    """The time from 0 to the length that no incident covers."""
    gaps, now_s = [], 0.0
    for one in sorted(kept, key=lambda one: one.start_s):
        if one.start_s > now_s:
            gaps.append((now_s, min(one.start_s, length_s)))
        now_s = max(now_s, one.end_s)
    gaps.append((now_s, length_s))
    return [(start_s, end_s) for start_s, end_s in gaps if end_s > start_s]


def _shared(first: tuple[float, float], second: tuple[float, float]) -> float:
    return max(0.0, min(first[1], second[1]) - max(first[0], second[0]))
