"""Temperature scaling: one number, fitted on validation clips, that calibrates scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.scoring import measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Indices = npt.NDArray[np.intp]

# Half of an int8 step of a score, because 0 may stand for anything below it.
LEAST_SCORE = 1 / 512
# A temperature at one of these limits was not found: the scores carry no information, or are never wrong.
LOWEST, HIGHEST = 0.05, 20.0
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 60
_DRAWS = 1000


def at_temperature(scores: Floats, temperature: float) -> Floats:
    """Return the scores of logits divided by `temperature`: softmax(log(scores) / temperature) (Guo et al., 2017).

    Args:
        scores: probabilities, float `(n, classes)`; less than half an int8 step counts as half a step.
        temperature: more than 0; a value over 1 makes scores less confident.
    """
    logits = np.log(np.maximum(scores.astype(float), LEAST_SCORE)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: Floats = raised / raised.sum(axis=1, keepdims=True)
    return scaled


def fit_temperature(clips: Sequence[Floats], truth: Indices) -> float:
    """Return the temperature with the lowest negative log-likelihood of windows (Guo et al., ICML 2017, section 4.2).

    Every clip has the same weight, whatever the number of its windows.

    Args:
        clips: scores of each clip's windows, float `(windows, classes)`.
        truth: index of the true class of each clip, `(clips,)`.

    Returns:
        The temperature, from `LOWEST` to `HIGHEST`.
    """
    counts = [len(windows) for windows in clips]
    scores, targets = np.concatenate(list(clips)).astype(float), np.repeat(truth, counts)
    weights = np.repeat(1 / np.array(counts), counts) / len(clips)

    def loss(logarithm: float) -> float:
        own = at_temperature(scores, math.exp(logarithm))[np.arange(len(targets)), targets]
        return float(-(weights * np.log(np.maximum(own, 1e-300))).sum())

    # The loss is convex in 1 / temperature, so it has one valley in the logarithm too: golden section.
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def is_found(temperature: float) -> bool:
    """Return whether the lowest loss is between the limits of the search, not at one of them."""
    return LOWEST * 1.01 < temperature < HIGHEST / 1.01


def error_of_perfect(confidence: Floats, bins: int = measures.CALIBRATION_BINS, seed: int = 0) -> float:
    """Return the expected calibration error of perfectly calibrated scores on as many rows; it is never 0.

    Args:
        confidence: best score of each row, `(n,)`.
        bins: of equal width.
        seed: of the draws: rows right with a probability of their confidence, independent of each other.
    """
    rng = np.random.default_rng(seed)
    gaps = [measures.calibration_gap(confidence, rng.random(len(confidence)) < confidence, bins) for _ in range(_DRAWS)]
    return float(np.mean(gaps))
