"""Count the alarms that a camera would have had at other thresholds, from its history.

An alarm is an event as `edgehar-run` opens it: the smoothed score reaches the threshold, falls below it by the
hysteresis, and rests for the refractory time. Each action counts alone.

The interval of a rate takes alarms that come in bunches into account: it is the exact Poisson interval (Garwood 1936)
of `k / f` alarms, times `f` (quasi-Poisson: Wedderburn 1974). `f` is the largest ratio of variance to mean of the
alarms in an hour, a day or three days, at any threshold with ten alarms or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.events.decider import TOLERANCE_S
from edgehar.events.poisson import poisson_interval
from edgehar.teaching.alarm_bound import BLOCK_S, LEAST_STRETCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar.model.manifest import Decision
    from edgehar.teaching.history import Series

    Floats = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]

# Lengths of stretches whose alarms are compared, in hours.
_STRETCHES_H = (1, 24, 72)
_LEAST_ALARMS = 10


@dataclass(frozen=True)
class Alarms:
    """Alarms of one action at one threshold.

    Attributes:
        threshold: score from which an event opens.
        alarms: events that would have opened.
        per_day: of 24 hours watched.
        interval_95: 95 % interval of `per_day`.
    """

    threshold: float
    alarms: int
    per_day: float
    interval_95: tuple[float, float]


def alarms_at(series: Series, label: int, thresholds: Sequence[float], rules: Decision) -> list[Alarms]:
    """Return the alarms of an action at each threshold; an empty list if nothing was watched.

    Args:
        series: smoothed scores of a camera.
        label: index of the action.
        thresholds: scores, 0 to 1.
        rules: hysteresis, durations and refractory time.
    """
    hours = float(series.steps_s.sum()) / BLOCK_S
    if hours <= 0:
        return []
    counts = np.stack([hourly_alarms(series, label, threshold, rules) for threshold in thresholds])
    spread = dispersion(counts)
    found = []
    for threshold, row in zip(thresholds, counts, strict=True):
        alarms = int(row.sum())
        low, high = interval(alarms, spread)
        found.append(Alarms(threshold, alarms, 24 * alarms / hours, (24 * low / hours, 24 * high / hours)))
    return found


def interval(alarms: int, spread: float) -> tuple[float, float]:
    """Return the 95 % interval of the expected alarms of which so many were seen, with a `dispersion`."""
    low, high = poisson_interval(alarms / spread)
    return spread * low, spread * high


def dispersion(counts: Counts) -> float:
    """Return how many times as much alarms vary as independent ones would; at least 1.

    Args:
        counts: alarms of each hour, int `(thresholds, hours)`.
    """
    found = 1.0
    for row in counts[counts.sum(axis=1) >= _LEAST_ALARMS]:
        for length in _STRETCHES_H:
            stretches = row[: len(row) // length * length].reshape(-1, length).sum(axis=1)
            if len(stretches) >= LEAST_STRETCHES and stretches.any():
                found = max(found, float(stretches.var(ddof=1) / stretches.mean()))
    return found


def hourly_alarms(series: Series, label: int, threshold: float, rules: Decision) -> Counts:
    """Return the events that would have opened in each hour watched, int `(hours,)`.

    Args:
        series: smoothed scores of a camera.
        label: index of the action.
        threshold: score from which an event opens.
        rules: hysteresis, durations and refractory time.
    """
    scores, begins = series.scores[:, label], series.steps_s == 0
    watched = np.cumsum(series.steps_s)
    # A gap ends an event; how long it was is not counted as watched.
    starts = np.flatnonzero((scores >= threshold) & (scores > 0))
    holds = scores + rules.hysteresis >= threshold
    ends = np.flatnonzero(~holds | begins)
    hours = np.zeros(max(1, int(np.ceil(watched[-1] / BLOCK_S))), np.int64)
    at = 0
    while at < len(starts):
        start = int(starts[at])
        shortest_s = watched[start] + rules.min_duration_s
        least = max(start + 1, int(np.searchsorted(watched, shortest_s - TOLERANCE_S)))
        place = int(np.searchsorted(ends, least))
        end = int(ends[place]) if place < len(ends) else len(scores)
        hours[min(int(watched[start] / BLOCK_S), len(hours) - 1)] += 1
        seen = start + int(np.flatnonzero(holds[start:end])[-1])
        ended_s = max(watched[seen], min(watched[min(end, len(watched) - 1)], shortest_s))
        following = max(end, int(np.searchsorted(watched, ended_s + rules.refractory_s - TOLERANCE_S)))
        at = int(np.searchsorted(starts, following))
    return hours
