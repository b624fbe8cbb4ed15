"""Rules that decide over seconds: evidence, averages, votes, sums and a camera's baseline. Pure, without a clock."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A score counts for the time since the score before it, but for no more than this: after a gap in the video, one score
# must not count for the whole gap.
LONGEST_STEP_S = 2.0


def evidence_of(score: float, low: float, high: float) -> float:
    """Return a score on a scale of log-odds: 0 up to the score `low`, 1 from the score `high` on.

    Averages of log-odds add up evidence, and the limits bound what one score says: a scene that is quiet is not far
    from an alarm, and one extreme score does not raise one.

    Args:
        score: 0 to 1.
        low: more than 0.
        high: more than `low`, and less than 1.
    """
    if score <= low:
        return 0.0
    if score >= high:
        return 1.0
    return (_log_odds(score) - _log_odds(low)) / (_log_odds(high) - _log_odds(low))


def score_of(evidence: float, low: float, high: float) -> float:
    """Return the score that has this evidence, 0 to 1: the inverse of `evidence_of`."""
    odds = math.exp(_log_odds(low) + evidence * (_log_odds(high) - _log_odds(low)))
    return odds / (1 + odds)


def _log_odds(score: float) -> float:
    return math.log(score / (1 - score))


class MovingAverage:
    """Exponential moving average of each class's score. It is weighted by time, so it does not depend on the rate."""

    def __init__(self, seconds: float, start: Mapping[str, float] | None = None) -> None:
        """Create an average.

        Args:
            seconds: time constant; a step in the scores is followed to 63 % after this time.
            start: the averages before the first scores; None takes the first scores themselves.
        """
        self._seconds = seconds
        self._means = {} if start is None else dict(start)
        self._last_s: float | None = None

    def add(self, scores: Mapping[str, float], now_s: float) -> dict[str, float]:
        """Return the averages including the scores of `now_s` (in seconds, not decreasing).

        With a given start, the first scores only set the clock, because no time has passed yet.
        """
        if not self._means:
            self._means = dict(scores)
        elif self._last_s is not None:
            new_share = -math.expm1((self._last_s - now_s) / self._seconds)
            self._means = {label: mean + new_share * (scores[label] - mean) for label, mean in self._means.items()}
        self._last_s = now_s
        return self._means


class Cusum:
    """Evidence for each class from a one-sided cumulative sum (Page, Biometrika, 1954), from 0 to 1.

    Evidence changes by (score - reference) x time / seconds. It starts at 0, and its limit of 1 keeps the time to fall
    back after a long event as short as after a brief one.
    """

    def __init__(self, reference: float, seconds: float) -> None:
        """Create the sum.

        Args:
            reference: score, 0 to 1, above which evidence grows.
            seconds: time in which a score of `reference` + 1 fills the evidence.
        """
        self._reference, self._seconds = reference, seconds
        self._evidence: dict[str, float] = {}
        self._last_s: float | None = None

    def add(self, scores: Mapping[str, float], now_s: float) -> dict[str, float]:
        """Return the evidence including the scores of `now_s` (in seconds, not decreasing)."""
        step_s = 0.0 if self._last_s is None else min(now_s - self._last_s, LONGEST_STEP_S)
        self._last_s = now_s
        for label, score in scores.items():
            grown = self._evidence.get(label, 0.0) + (score - self._reference) * step_s / self._seconds
            self._evidence[label] = min(1.0, max(0.0, grown))
        return dict(self._evidence)


class CameraBaseline:
    """Slow mean of every class's score, and the part of it to subtract: scores relative to their own camera.

    Some cameras show scenes that score high all day. The mean holds the scores before the current one only.
    """

    def __init__(self, share: float, seconds: float, *, reference: float, most: float, warm_up_s: float) -> None:
        """Create a baseline.

        Args:
            share: share of the slow mean that is subtracted, 0 to 1.
            seconds: time constant of the slow mean. Until then it is the plain mean over time.
            reference: the part of the mean under this is not subtracted.
            most: the most that is subtracted.
            warm_up_s: the share grows linearly from 0 to its full value over so many seconds of video.
        """
        self._share, self._seconds = share, seconds
        self._reference, self._most, self._warm_up_s = reference, most, warm_up_s
        self._means: dict[str, float] = {}
        self._watched_s = 0.0
        self._last_s: float | None = None

    def subtract(self, scores: Mapping[str, float], now_s: float) -> dict[str, float]:
        """Return the scores of `now_s` (in seconds, not decreasing) less the baseline, at least 0; then learn them."""
        warmth = 1.0 if self._watched_s >= self._warm_up_s else self._watched_s / self._warm_up_s
        share = self._share * warmth
        relative = {}
        for label, score in scores.items():
            excess = max(0.0, self._means.get(label, 0.0) - self._reference)
            relative[label] = max(0.0, score - min(self._most, share * excess))
        self._learn(scores, now_s)
        return relative

    def _learn(self, scores: Mapping[str, float], now_s: float) -> None:
        step_s = 0.0 if self._last_s is None else min(now_s - self._last_s, LONGEST_STEP_S)
        self._last_s = now_s
        self._watched_s += step_s
        if not self._means:
            self._means = dict(scores)
        elif step_s > 0:
            new_share = max(-math.expm1(-step_s / self._seconds), step_s / self._watched_s)
            self._means = {label: mean + new_share * (scores[label] - mean) for label, mean in self._means.items()}


class Vote:
    """Label of at least `k` of the last `n` predictions. It starts without any vote."""

    def __init__(self, k: int, n: int) -> None:
        """Set the vote; `k` is 1 to `n`."""
        self._k = k
        self._labels: deque[str | None] = deque(maxlen=n)

    def add(self, label: str | None) -> str | None:
        """Add a label, and return the label with the most votes if it has `k`, else None.

        The most recent label wins a tie. A label of None counts for no label.
        """
        self._labels.append(label)
        votes = Counter(self._labels)
        del votes[None]
        most = max(votes.values(), default=0)
        if most < self._k:
            return None
        return next(label for label in reversed(self._labels) if votes[label] == most)
