"""Confidence intervals by resampling groups, and tests of two networks on the same clips."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

RESAMPLES = 2000
# With fewer groups, percentile intervals are too narrow to be trusted.
FEW_GROUPS = 10


def group_draws(groups: Sequence[str], resamples: int, seed: int) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the rows of as many groups as there are, drawn with replacement, `resamples` times.

    Args:
        groups: the group of each row.
        resamples: number of draws.
        seed: seed of the draws.
    """
    member = _members(groups)
    order = np.argsort(member, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(member))[:-1])
    for drawn in _drawn(len(rows), resamples, seed):
        yield np.concatenate([rows[i] for i in drawn])


def interval(
    statistic: Callable[[npt.NDArray[np.intp]], float], groups: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the 95 % interval of any statistic: the percentile bootstrap (Efron, 1979) over whole groups.

    Clips of a group are not independent, so groups are drawn, not clips.

    Args:
        statistic: computed from rows, given by their indices, with repetitions.
        groups: the group of each row.
        seed: seed of the draws.
        resamples: number of draws.

    Returns:
        The 2.5th and 97.5th percentile.
    """
    return _percentiles([statistic(rows) for rows in group_draws(groups, resamples, seed)])


def group_bootstrap(
    values: Sequence[float], groups: Sequence[str], seed: int = 0, sizes: Sequence[float] | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `values`: `interval` for a mean, in one vectorized step.

    Args:
        values: 1 or 0 for each clip, or its mean over seeds.
        groups: the group of each clip.
        seed: seed of the draws.
        sizes: for a ratio of sums instead of a mean: what the sum of `values` is divided by, such as hours, above 0.
    """
    member = _members(groups)
    weights = np.ones(len(member)) if sizes is None else np.asarray(sizes, float)
    total, size = np.bincount(member, np.asarray(values, float)), np.bincount(member, weights)
    drawn = _drawn(len(size), RESAMPLES, seed)
    return _percentiles(total[drawn].sum(axis=1) / size[drawn].sum(axis=1))


def _members(groups: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the number of the group of each row."""
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    return member


def _drawn(count: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """Return numbers of groups drawn with replacement, `(resamples, count)`."""
    return np.random.default_rng(seed).integers(count, size=(resamples, count))


def _percentiles(values: Sequence[float] | npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference of two accuracies on the same clips.

    Attributes:
        mean: the second minus the first.
        interval_95: bootstrap over groups.
        p: two-sided p-value of no difference.
    """

    mean: float
    interval_95: tuple[float, float]
    p: float


def paired_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Return the difference of two networks by the paired bootstrap over groups.

    The p-value is twice the share of draws on the other side of zero (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, ch. 15 and 16). One is added to both counts so that it is never 0 (Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, ch. 4).

    Args:
        first: 1 or 0 for each clip, or its mean over seeds.
        second: the same clips, with the other network.
        groups: the group of each clip.
        seed: seed of the draws.
        resamples: number of draws.
    """
    gain = np.asarray(second, float) - np.asarray(first, float)
    means = np.array([gain[rows].mean() for rows in group_draws(groups, resamples, seed)])
    beyond = min((means <= 1e-12).sum(), (means >= -1e-12).sum())
    p = min(1.0, 2 * (int(beyond) + 1) / (resamples + 1))
    return Difference(float(gain.mean()), _percentiles(means), p)


def mcnemar(first_only: int, second_only: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (1947).

    It assumes independent clips; with clips in groups the p-value is too small.

    Args:
        first_only: clips that only the first network answers correctly.
        second_only: clips that only the second network answers correctly.
    """
    changed = first_only + second_only
    tail = sum(math.comb(changed, count) for count in range(min(first_only, second_only) + 1))
    return min(1.0, float(2 * tail / 2**changed))
