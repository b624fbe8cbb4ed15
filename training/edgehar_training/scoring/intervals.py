"""How sure a measured figure is: intervals by resampling groups, and tests of two networks on the same clips."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

RESAMPLES = 2000
# Under this many groups, percentile intervals are too narrow to be taken at their word.
FEW_GROUPS = 10


def group_draws(groups: Sequence[str], resamples: int, seed: int) -> Iterator[npt.NDArray[np.intp]]:
    """Rows of as many groups as there are, drawn with replacement, `resamples` times.

    Args:
        groups: the group of each row.
        resamples: how often.
        seed: of the draws.
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(member, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(member))[:-1])
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])


def interval(
    statistic: Callable[[npt.NDArray[np.intp]], float], groups: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % interval of any statistic: the percentile bootstrap (Efron, 1979) over whole groups.

    Args:
        statistic: of the rows with these indices, each as often as it is given.
        groups: the group of each row.
        seed: of the draws.
        resamples: how many draws.

    Returns:
        The 2.5th and 97.5th percentile.
    """
    values = [statistic(rows) for rows in group_draws(groups, resamples, seed)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference of two accuracies on the same clips.

    Attributes:
        mean: of the second less the first.
        interval_95: bootstrap over groups.
        p: two-sided, of no difference.
    """

    mean: float
    interval_95: tuple[float, float]
    p: float


def paired_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str], seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Difference of two networks by the paired bootstrap over groups.

    The p-value is twice the share of draws on the other side of zero (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, ch. 15 and 16), with one added to count and draws so that it is never 0 (Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, ch. 4).

    Args:
        first: 1 or 0 for each clip, or its mean over seeds.
        second: the same clips, by the other network.
        groups: the group of each clip.
        seed: of the draws.
        resamples: how many draws.
    """
    gain = np.asarray(second, float) - np.asarray(first, float)
    means = np.array([gain[rows].mean() for rows in group_draws(groups, resamples, seed)])
    low, high = np.percentile(means, [2.5, 97.5])
    beyond = min((means <= 1e-12).sum(), (means >= -1e-12).sum())
    p = min(1.0, 2 * (int(beyond) + 1) / (resamples + 1))
    return Difference(float(gain.mean()), (float(low), float(high)), p)


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p-value of McNemar's test (1947), exact: a coin is as lopsided as the clips that only one has right.

    It takes clips to be independent; where they come in groups it is too sure.

    Args:
        first_only: clips that only the first network names rightly.
        second_only: clips that only the second does.
    """
    changed = first_only + second_only
    tail = sum(math.comb(changed, count) for count in range(min(first_only, second_only) + 1))
    return min(1.0, float(2 * tail / 2**changed))
