"""Choose moments to label: answers near a threshold, features unlike earlier ones, and random moments."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

# An answer this close to a threshold is unsure. Scores are 0 to 1.
UNSURE_MARGIN = 0.1
# Answers before a camera's usual features are known well enough to call others unusual: ten minutes at 2.5 a second.
_USUAL_ANSWERS = 1500
# Standard deviations of the logarithm of the distance, above its mean.
_UNUSUAL_DEVIATIONS = 4.0


def is_unsure(scores: Mapping[str, float], thresholds: Mapping[str, float]) -> bool:
    """Return whether the answer could easily have been another one.

    Args:
        scores: smoothed score of every label.
        thresholds: threshold of every label that opens events; 0 for a label that only needs the highest score.
    """
    best, second = [*sorted(scores.values(), reverse=True), 0.0][:2]
    for label, threshold in thresholds.items():
        margin = scores[label] - threshold if threshold > 0 else best - second
        if abs(margin) <= UNSURE_MARGIN:
            return True
    return False


class Novelty:
    """Tells unusual windows of a camera by their distance from its usual ones.

    The distance is the mean over the features of the squared difference from their mean over time, in units of their
    variance. Means and variances are of everything seen so far (Welford, Technometrics, 1962).
    """

    def __init__(self, usual_answers: int = _USUAL_ANSWERS) -> None:
        """Start without any knowledge; nothing is unusual before `usual_answers` windows."""
        self._needed = usual_answers
        self._count = 0
        self._mean = self._squares = np.zeros(0)
        self._distances = 0
        self._log_mean = self._log_squares = 0.0

    def is_unusual(self, features: npt.NDArray[np.int8]) -> bool:
        """Learn a window, int8 `(window, features)`, and return whether it is unlike those before."""
        pooled = features.mean(axis=0, dtype=np.float64)
        if not self._count:
            self._mean, self._squares = np.zeros_like(pooled), np.zeros_like(pooled)
        unusual = False
        if self._count >= self._needed // 3:
            variance = self._squares / self._count
            spread = variance + 0.1 * variance.mean() + 1e-6
            unusual = self._is_far(math.log(float(((pooled - self._mean) ** 2 / spread).mean()) + 1e-6))
        self._count += 1
        change = pooled - self._mean
        self._mean += change / self._count
        self._squares += change * (pooled - self._mean)
        return unusual

    def _is_far(self, log_distance: float) -> bool:
        self._distances += 1
        change = log_distance - self._log_mean
        deviation = math.sqrt(self._log_squares / self._distances)
        far = self._count >= self._needed and change > _UNUSUAL_DEVIATIONS * deviation + 1e-3
        self._log_mean += change / self._distances
        self._log_squares += change * (log_distance - self._log_mean)
        return far


class Rate:
    """Lets at most so many moments an hour pass, and never two at once."""

    def __init__(self, per_hour: float) -> None:
        """Allow the first moment at once; none at all if `per_hour` is 0."""
        self._gap_s = 3600.0 / per_hour if per_hour > 0 else math.inf
        self._next_s = -math.inf if per_hour > 0 else math.inf

    def allows(self, now_s: float) -> bool:
        """Return whether a moment at this capture time may be kept, and count it if so."""
        # A source that began again has earlier times.
        if now_s < self._next_s and (now_s > self._next_s - self._gap_s or self._next_s == math.inf):
            return False
        self._next_s = now_s + self._gap_s
        return True


class Chance:
    """Picks moments at random, so many an hour in the mean, independent of what is seen.

    The waiting times are exponential, so that the moments are a fair sample of the time watched.
    """

    def __init__(self, per_hour: float, source: random.Random | None = None) -> None:
        """Draw the first waiting time; nothing is picked if `per_hour` is 0."""
        self._per_s, self._random = per_hour / 3600.0, source or random.Random()  # noqa: S311 - no secret
        self._left_s = self._draw()

    def picks(self, step_s: float) -> bool:
        """Return whether a moment falls into the `step_s` seconds that were watched since the last call."""
        self._left_s -= step_s
        if self._left_s > 0:
            return False
        self._left_s = self._draw()
        return True

    def _draw(self) -> float:
        return self._random.expovariate(self._per_s) if self._per_s > 0 else math.inf
