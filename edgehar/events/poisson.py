"""Rates of rare events with exact Poisson intervals.

Written out here, because `edgehar operate` also runs on a device install, which has no scipy. The tests compare it with
`scipy.special`.
"""

from __future__ import annotations

import dataclasses
import math

# Bisection halves the bracket so often: beyond the precision of a float.
_HALVINGS = 200


@dataclasses.dataclass(frozen=True)
class Rate:
    """Events over time.

    Attributes:
        events: how many, over all seeds.
        hours: how long, over all seeds.
        per_hour: events per hour.
        interval_95: exact interval of it.
    """

    events: int
    hours: float
    per_hour: float
    interval_95: tuple[float, float]


def rate(events: int, hours: float, seeds: int = 1) -> Rate:
    """Events per hour, with an interval that takes several seeds as watching the same hours once.

    The seeds' networks see the same recordings, so more seeds do not add hours: the interval is that of the mean
    number of events in one of them.

    Args:
        events: over all seeds.
        hours: over all seeds, more than 0.
        seeds: how many.
    """
    low, high = poisson_interval(events / seeds)
    each = hours / seeds
    return Rate(events, hours, events / hours, (low / each, high / each))


def poisson_interval(count: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a Poisson mean of which `count` events were seen (Garwood, Biometrika, 1936).

    Its ends are quantiles of gamma distributions of shape `count` and `count` + 1, which a count that is not a whole
    number, as a mean over seeds, has too. It takes events for independent of each other.

    Args:
        count: events seen, 0 or more.
        confidence: of the interval, between 0 and 1.
    """
    tail = (1 - confidence) / 2
    low = 0.0 if count <= 0 else _gamma_quantile(count, tail)
    return low, _gamma_quantile(count + 1, 1 - tail)


def chance_of_more(count: float, mean: float) -> float:
    """The chance that a Poisson variable of this mean exceeds `count`, which need not be a whole number."""
    return _gamma_share(count + 1, mean)


def _gamma_quantile(shape: float, share: float) -> float:
    low, high = 0.0, 1.0
    while _gamma_share(shape, high) < share:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _gamma_share(shape, middle) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _gamma_share(shape: float, x: float) -> float:
    """The regularized lower incomplete gamma function, by its series (Abramowitz and Stegun, 1964, 6.5.29)."""
    if x <= 0:
        return 0.0
    term = total = 1.0 / shape
    step = shape
    while term > total * 1e-16:
        step += 1
        term *= x / step
        total += term
    return total * math.exp(shape * math.log(x) - x - math.lgamma(shape))
