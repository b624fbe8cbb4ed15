"""Exponential backoff with full jitter, shared by capture, MQTT and the webhook."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """Random delays between tries, below a bound that doubles with each try ("full jitter").

    It only computes delays. Waiting stays with the caller, because the caller knows what interrupts the wait.

    Source of the formula: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(
        self, first_s: float, max_s: float, *, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        """Start with no tries made.

        Args:
            first_s: bound of the first delay, in seconds.
            max_s: bound of every delay, in seconds. It also caps `first_s`.
            jitter: returns a random number between its two arguments.
        """
        self._first_s, self._max_s, self._jitter = first_s, max_s, jitter
        self.reset()

    def reset(self) -> None:
        """Forget earlier tries: the next delay is below `first_s` again."""
        self._bound_s = min(self._first_s, self._max_s)

    def next_delay_s(self) -> float:
        """Return how long to wait before the next try, in seconds, and double the bound up to `max_s`."""
        delay_s = self._jitter(0.0, self._bound_s)
        self._bound_s = min(2 * self._bound_s, self._max_s)
        return delay_s
