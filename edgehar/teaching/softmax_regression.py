"""Multinomial logistic regression with an offset for each example, fitted by L-BFGS. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_MEMORY = 10
_ITERATIONS = 100
_TOLERANCE = 1e-4
# Sufficient decrease and step reduction of a backtracking line search (Nocedal and Wright 2006, algorithm 3.1).
_DECREASE, _SHRINK, _TRIES = 1e-4, 0.5, 30


@dataclass(frozen=True)
class Examples:
    """Examples of a regression.

    Attributes:
        features: float `(examples, features)`.
        offsets: float `(examples, classes)`, added to the logits; zeros for an ordinary regression.
        targets: index of each example's class, int `(examples,)`.
        weights: share of each example in the loss, float `(examples,)`; their sum is 1.
    """

    features: Floats
    offsets: Floats
    targets: npt.NDArray[np.intp]
    weights: Floats


def log_softmax(logits: Floats) -> Floats:
    """Return the logarithm of the softmax of each row, `(rows, classes)`."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def fit(examples: Examples, *, l2: float, free: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Minimize the weighted cross-entropy plus `l2 / 2` times the squared weights.

    Args:
        examples: what to learn from.
        l2: strength of the penalty on the weights; the biases have none.
        free: bool `(classes,)`; the other classes keep weights and bias of 0, so that their logit is their offset.

    Returns:
        Weights `(features, classes)` and biases `(classes,)`.
    """
    count, classes = examples.features.shape[1], examples.offsets.shape[1]
    onehot = np.eye(classes)[examples.targets]

    def loss(flat: Floats) -> tuple[float, Floats]:
        table = flat.reshape(count + 1, classes)
        scores = log_softmax(examples.offsets + examples.features @ table[:-1] + table[-1])
        residual = (np.exp(scores) - onehot) * examples.weights[:, None]
        gradient = np.empty_like(table)
        gradient[:-1] = examples.features.T @ residual + l2 * table[:-1]
        gradient[-1] = residual.sum(axis=0)
        gradient[:, ~free] = 0.0
        cross_entropy = -float(examples.weights @ scores[np.arange(len(scores)), examples.targets])
        return cross_entropy + l2 / 2 * float((table[:-1] ** 2).sum()), gradient.ravel()

    table = minimize(loss, np.zeros((count + 1) * classes)).reshape(count + 1, classes)
    return table[:-1], table[-1]


def minimize(function: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    """Minimize a smooth convex function by L-BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5).

    Args:
        function: returns the value and the gradient at a point.
        start: where to begin.

    Returns:
        The point reached when the gradient is below the tolerance, or no step lowers the value any more.
    """
    point = start
    value, gradient = function(point)
    steps: list[tuple[Floats, Floats]] = []
    for _ in range(_ITERATIONS):
        if np.abs(gradient).max(initial=0.0) < _TOLERANCE:
            break
        direction = -_newton_direction(gradient, steps)
        found = _line_search(function, point, value, gradient, direction)
        if found is None:
            break
        after, value, new_gradient = found
        moved, change = after - point, new_gradient - gradient
        if float(moved @ change) > 0:
            steps = [*steps[-_MEMORY + 1 :], (moved, change)]
        point, gradient = after, new_gradient
    return point


def _newton_direction(gradient: Floats, steps: list[tuple[Floats, Floats]]) -> Floats:
    """Multiply the gradient by the inverse Hessian that the last steps imply (two-loop recursion)."""
    direction = gradient.copy()
    shares = []
    for moved, change in reversed(steps):
        share = float(moved @ direction) / float(moved @ change)
        shares.append(share)
        direction -= share * change
    if steps:
        moved, change = steps[-1]
        direction *= float(moved @ change) / float(change @ change)
    for (moved, change), share in zip(steps, reversed(shares), strict=True):
        direction += (share - float(change @ direction) / float(moved @ change)) * moved
    return direction


def _line_search(
    function: Callable[[Floats], tuple[float, Floats]], point: Floats, value: float, gradient: Floats, direction: Floats
) -> tuple[Floats, float, Floats] | None:
    """Return point, value and gradient after a step that lowers the value enough, or None if there is none."""
    slope, size = float(gradient @ direction), 1.0
    for _ in range(_TRIES):
        after = point + size * direction
        new_value, new_gradient = function(after)
        if new_value <= value + _DECREASE * size * slope:
            return after, new_value, new_gradient
        size *= _SHRINK
    return None
