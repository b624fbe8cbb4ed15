"""The weights of a dense layer in closed form: ridge regression on whitened principal components.

Each part of the features (of one block, say) is whitened with the covariance of *all* training windows, so that what
varies from scene to scene counts no more than what hardly varies. Each part gets a regression of its own on targets
of +1 and -1; their outputs, each divided by its deviation, are added. With a strong ridge this is close to Fisher's
linear discriminant with a regularized covariance (Friedman, 1989), and does not overfit a few hundred clips as iterated
training does. One slope makes scores probabilities (a temperature; Guo et al., ICML 2017). It is fitted on answers for
groups that the regression did not see, or given: a fitted slope depends on few groups, so that one threshold means
something else in each fold. All of it takes seconds.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[np.float32]
    Double = npt.NDArray[np.float64]
    Reals = npt.NDArray[np.floating[Any]]
    Index = npt.NDArray[np.intp]

# Under this a deviation, or a component's variance, is none.
_TINY = 1e-6
# Of the block power iteration: more components than asked for, and rounds (Halko, Martinsson and Tropp, 2011).
_SPARE, _ROUNDS = 40, 5
_INNER_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class ClosedForm:
    """Options of finding the weights.

    Attributes:
        components: principal components of each part that are kept.
        ridge: added to the diagonal; the sum of all windows' weights is the number of classes.
        seed: of the iteration's start and of the inner folds.
        slope: factor between the mean of the parts' outputs, each of deviation 1, and the logits; None fits it.
    """

    components: int
    ridge: float
    seed: int = 0
    slope: float | None = None


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows to learn from.

    Attributes:
        features: float32 `(n, features)`.
        truth: index of the class of each, `(n,)`.
        groups: number of the group of each, `(n,)`.
        counts: how much the clip of each counts, float64 `(n,)`; None counts all alike.
    """

    features: Array
    truth: Index
    groups: Index
    counts: Double | None = None


def solve(windows: Windows, parts: Sequence[Index], classes: int, options: ClosedForm) -> tuple[Array, Array]:
    """Return kernel `(features, classes)` and bias `(classes,)` of a dense layer with softmax.

    Args:
        windows: the windows to learn from; every class is among them.
        parts: columns of each part of the features; columns in no part get no weight.
        classes: how many there are.
        options: how.
    """
    weights = window_weights(windows.truth, windows.groups, windows.counts)
    targets = 2.0 * np.eye(classes)[windows.truth] - 1.0
    folds = _inner_folds(windows, options.seed) if options.slope is None else np.zeros(0, np.intp)
    kernel, bias = np.zeros((windows.features.shape[1], classes)), np.zeros(classes)
    unseen = np.zeros((len(windows.truth), classes))
    for columns in parts:
        centre, scale, basis = _whitening(windows.features[:, columns], options)
        values = ((windows.features[:, columns] - centre) / scale) @ basis
        solution = _ridge(values, targets, weights, options.ridge)
        deviation = max(_TINY, float((_append_one(values) @ solution).std()))
        for fold in np.unique(folds):
            seen = folds != fold
            inner = _ridge(values[seen], targets[seen], weights[seen], options.ridge)
            unseen[~seen] += _append_one(values[~seen]) @ inner / deviation
        own = (basis.astype(np.float64) @ solution[:-1]) / scale[:, None] / deviation
        kernel[columns] += own
        bias += solution[-1] / deviation - centre @ own
    slope = _slope(unseen, windows.truth, weights) if options.slope is None else options.slope / len(parts)
    return (slope * kernel).astype(np.float32), (slope * bias).astype(np.float32)


def window_weights(truth: Index, groups: Index, counts: Double | None = None) -> Double:
    """Return the weight of each window: count / sqrt(windows of its group and class), and every class sums to 1.

    A camera with a long recording says more than one with a short clip, but not in proportion to its length.
    """
    weights = np.zeros(len(truth))
    for label in np.unique(truth):
        chosen = truth == label
        _, place, sizes = np.unique(groups[chosen], return_inverse=True, return_counts=True)
        share = (1.0 if counts is None else counts[chosen]) / np.sqrt(sizes[place])
        weights[chosen] = share / share.sum()
    return weights


def _whitening(features: Array, options: ClosedForm) -> tuple[Double, Double, Reals]:
    """Mean and deviation of each feature, and the basis that makes components of unit variance of standardized ones."""
    centre, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64) + 1e-3
    standard = ((features - centre) / scale).astype(np.float32)
    count = min(options.components, *standard.shape)
    variances, basis = _leading(standard.T @ standard / len(standard), count, options.seed)
    return centre, scale, basis / np.sqrt(np.maximum(variances, _TINY))


def _leading(matrix: Reals, count: int, seed: int) -> tuple[Reals, Reals]:
    """The largest eigenvalues of a covariance matrix and their vectors, `(n, count)`."""
    rng = np.random.default_rng(seed)
    width = min(len(matrix), count + _SPARE)
    basis = np.linalg.qr(rng.standard_normal((len(matrix), width)).astype(np.float32))[0]
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(matrix @ basis)[0]
    values, turn = np.linalg.eigh(basis.T @ (matrix @ basis))
    order = np.argsort(-values)[:count]
    return values[order], basis @ turn[:, order]


def _ridge(values: Reals, targets: Double, weights: Double, ridge: float) -> Double:
    """Weighted ridge regression with an offset that is not shrunk: `(components + 1, classes)`."""
    wide = _append_one(values)
    weighted = wide * weights[:, None]
    normal = weighted.T @ wide
    normal[np.diag_indices(len(normal) - 1)] += ridge
    return np.asarray(np.linalg.solve(normal, weighted.T @ targets), np.float64)


def _append_one(values: Reals) -> Double:
    return np.concatenate([values, np.ones((len(values), 1))], axis=1, dtype=np.float64)


def _inner_folds(windows: Windows, seed: int) -> Index:
    """The fold of every window: groups are dealt at random, those of each class evenly."""
    rng = np.random.default_rng(seed)
    fold_of: dict[int, int] = {}
    for label in np.unique(windows.truth):
        groups = np.unique(windows.groups[windows.truth == label])
        fresh = [int(group) for group in rng.permutation(groups) if int(group) not in fold_of]
        fold_of |= {group: number % _INNER_FOLDS for number, group in enumerate(fresh)}
    return np.array([fold_of[int(group)] for group in windows.groups], np.intp)


def _slope(outputs: Double, truth: Index, weights: Double) -> float:
    """Slope of the outputs for the least weighted negative log likelihood of their softmax.

    Offsets for each class are not fitted: a few unseen groups do not tell them, and they moved answers for the worse.
    """
    from scipy.optimize import minimize_scalar

    rows, share = np.arange(len(truth)), weights / weights.sum()

    def loss(log_slope: float) -> float:
        logits = np.exp(log_slope) * outputs
        logits -= logits.max(axis=1, keepdims=True)
        return float((share * (np.log(np.exp(logits).sum(axis=1)) - logits[rows, truth])).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded").x))
