"""Steadier answers: a moving average of the scores, or the vote of the last predictions. Pure, with no clock."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class MovingAverage:
    """Exponential moving average of every class's score, by time and not by count: any rate is smoothed alike."""

    def __init__(self, seconds: float) -> None:
        """Make one with a time constant: after so many seconds a step in the scores is followed to 63 %."""
        self._seconds = seconds
        self._means: dict[str, float] = {}
        self._last_s = 0.0

    def add(self, scores: Mapping[str, float], now_s: float) -> dict[str, float]:
        """The averages with the scores of `now_s` (seconds, not decreasing); the first scores are their own average."""
        if self._means:
            new_share = -math.expm1((self._last_s - now_s) / self._seconds)
            self._means = {label: mean + new_share * (scores[label] - mean) for label, mean in self._means.items()}
        else:
            self._means = dict(scores)
        self._last_s = now_s
        return self._means


class Vote:
    """The label that at least `k` of the last `n` predictions had."""

    def __init__(self, k: int, n: int) -> None:
        """Make one; `k` is 1 to `n`."""
        self._k = k
        self._labels: deque[str | None] = deque(maxlen=n)

    def add(self, label: str | None) -> str | None:
        """The label with the most votes, the most recent of several, if it has `k`. None votes for no label."""
        self._labels.append(label)
        votes = Counter(self._labels)
        del votes[None]
        most = max(votes.values(), default=0)
        if most < self._k:
            return None
        return next(label for label in reversed(self._labels) if votes[label] == most)
