"""Count the alarms that a camera would have had at other thresholds, from its history.

An alarm is an event as `edgehar-run` opens it (`edgehar.teaching.firing`).

The interval of a rate takes alarms that come in bunches into account: it is the exact Poisson interval (Garwood 1936)
of `k / f` alarms, times `f` (quasi-Poisson: Wedderburn 1974). `f` is the largest ratio of variance to mean of the
alarms in an hour, a day or three days, at any threshold with ten alarms or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.events.poisson import poisson_interval
from edgehar.teaching.alarm_bound import BLOCK_S, LEAST_STRETCHES
from edgehar.teaching.firing import starts_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar.model.manifest import Decision
    from edgehar.teaching.firing import Answers

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


def alarms_at(
    answers: Answers, labels: Sequence[str], rules: Decision, label: str, thresholds: Sequence[float]
) -> list[Alarms]:
    """Return the alarms of an action at each threshold; an empty list if nothing was watched.

    Args:
        answers: of a camera.
        labels: classes of the model.
        rules: of the decision; the thresholds of the other labels stay.
        label: the action.
        thresholds: scores, 0 to 1.
    """
    watched = np.cumsum(np.where(answers.begins, 0.0, answers.steps_s))
    hours = float(watched[-1]) / BLOCK_S
    if hours <= 0:
        return []
    hour, last = (watched / BLOCK_S).astype(np.int64), int(np.ceil(hours))
    starts = starts_at(answers, labels, rules, label, thresholds)
    counts = np.stack([np.bincount(np.minimum(hour[places], last - 1), minlength=last) for places in starts])
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
