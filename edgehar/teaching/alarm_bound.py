"""Find the threshold that keeps a camera below an alarm rate, from its own history.

Time is cut into blocks of an hour of watching. A block is loud at a threshold if the action's smoothed score reaches it
in that hour. With `n` blocks watched, of which `k` are loud, the one-sided 95 % upper bound of the expected loud blocks
is `chi2(0.95, 2 k + 2) / 2` for independent hours (Garwood 1936).

Hours are not independent: a windy night or a busy day makes many of them loud. The counts of loud hours by day, and by
three days, then vary `f` times as much as Poisson counts do, and the bound is that of `k / f` events, times `f` (quasi-
Poisson: Wedderburn 1974). `f` is the largest ratio of variance to mean over five thresholds with 10 to 160 loud hours,
because at the wanted threshold itself there are too few to tell.

The bound holds for the chosen threshold, too: both the true rate and `k` only fall as the threshold rises, so a choice
below the right threshold implies that the bound fails at the right threshold itself, which happens in 5 % of cases.
Alarms that follow each other within an hour count once.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.events.poisson import chance_of_more, poisson_interval

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

BLOCK_S = 3600.0
CONFIDENCE = 0.95
# Lengths of stretches that are compared, in hours, and how many of them it takes.
_STRETCHES_H, LEAST_STRETCHES = (24, 72), 8
_LOUD_HOURS = (10, 20, 40, 80, 160)
# A last block that was watched for less than this share of an hour is joined to the one before.
_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Bound:
    """The alarm rate at one threshold.

    Attributes:
        threshold: score from which an hour is loud.
        loud: hours with a score that reaches it.
        hours: hours watched.
        most_per_hour: upper bound of the rate at 95 % confidence.
    """

    threshold: float
    loud: int
    hours: float
    most_per_hour: float

    @property
    def per_hour(self) -> float:
        """Loud hours for each hour watched."""
        return self.loud / self.hours


def block_maxima(steps_s: Floats, scores: Floats) -> tuple[Floats, float]:
    """Cut watched time into hours and return the highest score of each, and the hours watched in all.

    Args:
        steps_s: time watched before each answer, in seconds, float `(answers,)`; 0 where watching began.
        scores: smoothed score of the action at each answer, float `(answers,)`.
    """
    if not len(scores):
        return np.zeros(0), 0.0
    watched = np.cumsum(steps_s)
    index = (watched / BLOCK_S).astype(np.int64)
    total = float(watched[-1])
    count = max(1, math.floor(total / BLOCK_S + 1 - _LEAST_SHARE))
    maxima = np.zeros(count)
    np.maximum.at(maxima, np.minimum(index, count - 1), scores)
    return maxima, total / BLOCK_S


def overdispersion(maxima: Floats) -> float:
    """Return how many times as much the loud hours of a day vary as independent ones would; at least 1.

    Args:
        maxima: highest score of each hour, in order, float `(hours,)`.
    """
    found = 1.0
    ordered = np.sort(maxima)[::-1]
    for length in _STRETCHES_H:
        stretches = maxima[: len(maxima) // length * length].reshape(-1, length)
        if len(stretches) < LEAST_STRETCHES:
            continue
        for loud in _LOUD_HOURS:
            counts = (stretches >= ordered[min(loud, len(ordered)) - 1]).sum(axis=1)
            found = max(found, float(counts.var(ddof=1) / counts.mean()) if counts.any() else 1.0)
    return found


def bound_at(maxima: Floats, hours: float, threshold: float, spread: float = 1.0) -> Bound:
    """Return the bound at a threshold.

    Args:
        maxima: as `block_maxima` returns it.
        hours: the same.
        threshold: score from which an hour is loud.
        spread: result of `overdispersion`.
    """
    loud = int((maxima >= threshold).sum())
    most = spread * poisson_upper(loud / spread)
    return Bound(threshold, loud, hours, most / hours if hours > 0 else math.inf)


def recommend(maxima: Floats, hours: float, per_hour: float) -> Bound | None:
    """Return the lowest threshold whose bound is at most `per_hour`; None if the history is too short for any.

    Thresholds are just above scores that were seen, so that no seen score lies between threshold and advice.
    """
    if hours < hours_needed(maxima, per_hour):
        return None
    spread, scores = overdispersion(maxima), np.unique(maxima)[::-1].tolist()
    # The bound is within the rate if a mean at the rate would give more than the loud hours seen in 95 % of cases.
    wanted = per_hour * hours / spread

    def is_beyond(score: float) -> bool:
        return chance_of_more(float((maxima > score).sum()) / spread, wanted) < CONFIDENCE

    within = bisect.bisect_left(scores, True, key=is_beyond)
    return bound_at(maxima, hours, float(np.nextafter(scores[within - 1], math.inf)), spread) if within else None


def hours_needed(maxima: Floats, per_hour: float) -> float:
    """Return the hours without a loud one that a claim of `per_hour` takes on this camera.

    That is at least eight days, because fewer do not show how much days differ.
    """
    return max(LEAST_STRETCHES * _STRETCHES_H[0], overdispersion(maxima) * poisson_upper(0) / per_hour)


def poisson_upper(count: float) -> float:
    """Return the one-sided 95 % upper bound of a Poisson mean of which `count` were seen."""
    return poisson_interval(count, 2 * CONFIDENCE - 1)[1]
