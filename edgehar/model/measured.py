"""What was measured of a model, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.printable import counted

if TYPE_CHECKING:
    from edgehar.model.manifest import Alarms


def false_alarms_text(alarms: Alarms) -> str:
    """Return false alarms an hour with their interval and the footage: "4.1 an hour (...) in 39 minutes of ..."."""
    low, high = alarms.per_hour_95
    seeds = max(len(alarms.seeds), 1)
    mean = "" if seeds == 1 else f", mean of {seeds} seeds"
    rate = alarms.false_alarms / alarms.hours
    return (
        f"{_two_digits(rate)} an hour (95 % interval {_two_digits(low)} to {_two_digits(high)}) in "
        f"{counted(round(alarms.hours * 60 / seeds), 'minute')} of ordinary footage{mean}"
    )


def found_text(alarms: Alarms) -> str:
    """Return the share of incidents found with its interval and delay: "64% (...) of 135 incidents, ..."."""
    if alarms.found_95 is None or not alarms.incidents:
        return "no incident was shown"
    low, high = alarms.found_95
    incidents = alarms.incidents // max(len(alarms.seeds), 1)
    delay = "" if alarms.delay_s is None else f", after a median of {alarms.delay_s:.1f} s"
    return (
        f"{alarms.found / alarms.incidents:.0%} (95 % interval {low:.0%} to {high:.0%}) of "
        f"{counted(incidents, 'incident')}{delay}"
    )


def _two_digits(figure: float) -> str:
    """Return a figure with two digits, and with all of its digits from 10 on."""
    return f"{figure:.2g}" if figure < 10 else f"{figure:.0f}"
