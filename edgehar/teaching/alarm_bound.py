"""Find the threshold that keeps a camera below an alarm rate, from its own history.

Time is cut into blocks of an hour of watching. A block is loud at a threshold if the action's smoothed score reaches it
in that hour. With `n` blocks watched, of which `k` are loud, the one-sided 95 % upper bound of the expected loud blocks
is `chi2(0.95, 2 k + 2) / 2` (Garwood 1936), so that of the rate is this over `n` hours. The recommended threshold is
the lowest whose bound is within the wanted rate.

The bound holds for the chosen threshold, too: both the true rate and `k` only fall as the threshold rises, so a choice
below the right threshold implies that the bound fails at the right threshold itself, which happens in 5 % of cases.
Hours are taken as independent; alarms that follow each other within an hour count once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.events.poisson import poisson_interval

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

BLOCK_S = 3600.0
CONFIDENCE = 0.95
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


def bound_at(maxima: Floats, hours: float, threshold: float) -> Bound:
    """Return the bound at a threshold; `maxima` and `hours` are those of `block_maxima`."""
    loud = int((maxima >= threshold).sum())
    return Bound(threshold, loud, hours, poisson_upper(loud) / hours if hours > 0 else math.inf)


def recommend(maxima: Floats, hours: float, per_hour: float) -> Bound | None:
    """Return the lowest threshold whose bound is at most `per_hour`; None if the history is too short for any.

    Thresholds are just above scores that were seen, so that no seen score lies between threshold and advice.
    """
    if hours <= 0 or poisson_upper(0) / hours > per_hour:
        return None
    best = None
    for score in np.unique(maxima)[::-1]:
        bound = bound_at(maxima, hours, float(np.nextafter(score, 2.0)))
        if bound.most_per_hour > per_hour:
            break
        best = bound
    return best


def hours_needed(per_hour: float) -> float:
    """Return the hours without a loud one that a claim of `per_hour` takes."""
    return poisson_upper(0) / per_hour


def poisson_upper(count: int) -> float:
    """Return the one-sided 95 % upper bound of a Poisson mean of which `count` were seen."""
    return poisson_interval(count, 2 * CONFIDENCE - 1)[1]
