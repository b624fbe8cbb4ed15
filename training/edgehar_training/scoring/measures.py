"""Measures of classifiers in plain numpy, for devices without scikit-learn.

Throughout, `truth` is the index of the true class, int `(n,)`, and `scores` are probabilities, float `(n, classes)`.
A measure that is a share of nothing is 0, and an area under a curve that does not exist is None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Indices = npt.NDArray[np.intp]

CALIBRATION_BINS = 15
_SMALLEST = 1e-7


def confusion_matrix(truth: Indices, predicted: Indices, classes: int) -> npt.NDArray[np.int_]:
    """Count every pair of classes, `(classes, classes)`: rows are the truth."""
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int_)


def top_k(truth: Indices, scores: Floats, k: int) -> float:
    """Return the share of rows whose true class is among the `k` best; of equal scores the first class ranks higher."""
    own = scores[np.arange(len(truth)), truth][:, None]
    before = np.arange(scores.shape[1]) < truth[:, None]
    rank = (scores > own).sum(axis=1) + ((scores == own) & before).sum(axis=1)
    return float((rank < k).mean())


def class_measures(confusion: npt.NDArray[np.int_]) -> dict[str, Floats]:
    """Return precision, recall, F1 and support (rows of the class) of each class, each float `(classes,)`."""
    hits, named, there = np.diag(confusion).astype(float), confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        "precision": hits / np.maximum(named, 1),
        "recall": hits / np.maximum(there, 1),
        "f1": 2 * hits / np.maximum(named + there, 1),
        "support": there.astype(float),
    }


def averages(confusion: npt.NDArray[np.int_]) -> dict[str, dict[str, float]]:
    """Return precision, recall and F1 over classes: "macro" counts each class once, "weighted" by its support.

    Classes that neither occur nor are answered are not in the mean, as in scikit-learn.
    """
    table = class_measures(confusion)
    met = (table["support"] > 0) | (confusion.sum(axis=0) > 0)
    weights = table["support"] / max(table["support"].sum(), 1)
    names = ("precision", "recall", "f1")
    return {
        "macro": {name: float(table[name][met].mean()) if met.any() else 0.0 for name in names},
        "weighted": {name: float((table[name] * weights).sum()) for name in names},
    }


def macro_f1(truth: Indices, predicted: Indices, classes: int) -> float:
    """Return the mean F1 of the classes that occur or are answered."""
    return averages(confusion_matrix(truth, predicted, classes))["macro"]["f1"]


def balanced_accuracy(confusion: npt.NDArray[np.int_]) -> float:
    """Return the mean recall of the classes that occur."""
    table = class_measures(confusion)
    there = table["support"] > 0
    return float(table["recall"][there].mean()) if there.any() else 0.0


def roc_curve(positive: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Return false and true positive rate at every threshold, from (0, 0) to (1, 1) (Fawcett, 2006).

    Args:
        positive: whether each row is of the class, bool `(n,)`, with rows of both kinds.
        score: score of the class, `(n,)`.
    """
    true, false = _cumulative(positive, score)
    return np.append(0.0, false / max(false[-1], 1)), np.append(0.0, true / max(true[-1], 1))


def roc_auc(positive: npt.NDArray[np.bool_], score: Floats) -> float | None:
    """Return the area under the ROC curve, by the trapezoidal rule. Returns None if all rows are of one kind."""
    if positive.all() or not positive.any():
        return None
    x, y = roc_curve(positive, score)
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def precision_recall_curve(positive: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Return recall, ascending from 0, and the precision at it; at recall 0 precision is 1 by convention."""
    true, false = _cumulative(positive, score)
    return np.append(0.0, true / max(true[-1], 1)), np.append(1.0, true / (true + false))


def average_precision(positive: npt.NDArray[np.bool_], score: Floats) -> float | None:
    """Return the sum of precision over steps of recall, without interpolation. Returns None if no row is positive."""
    if not positive.any():
        return None
    recall, precision = precision_recall_curve(positive, score)
    return float(np.sum(np.diff(recall) * precision[1:]))


def reliability(truth: Indices, scores: Floats, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """Return how often answers of a confidence are right, in bins of equal width (Guo et al., ICML 2017).

    Returns:
        For each bin that holds rows: its `low` and `high` edge (the higher is inside), `count`, mean `confidence` (the
        best score) and `accuracy`.
    """
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    number = _bins_of(confidence, bins)
    table = []
    for index in np.unique(number):
        inside = number == index
        table.append(
            {
                "low": float(index / bins),
                "high": float((index + 1) / bins),
                "count": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    return table


def calibration_error(truth: Indices, scores: Floats, bins: int = CALIBRATION_BINS) -> float:
    """Return the expected calibration error (Guo et al., 2017): mean distance of confidence and accuracy over bins."""
    return calibration_gap(scores.max(axis=1), scores.argmax(axis=1) == truth, bins)


def calibration_gap(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS) -> float:
    """Return the same from the best scores, `(n,)`, and whether each is of the true class."""
    gaps = np.bincount(_bins_of(confidence, bins), right - confidence.astype(float), bins)
    return float(np.abs(gaps).sum() / len(confidence))


def brier(truth: Indices, scores: Floats) -> float:
    """Return the Brier score (1950): squared distance of the scores from the one-hot truth; 0 to 2."""
    return float(((scores - np.eye(scores.shape[1])[truth]) ** 2).sum(axis=1).mean())


def cross_entropy(truth: Indices, scores: Floats) -> float:
    """Return the mean negative logarithm of the score of the true class, in nats."""
    return float(-np.log(scores[np.arange(len(truth)), truth] + _SMALLEST).mean())


def confused_pairs(confusion: npt.NDArray[np.int_], labels: Sequence[str], most: int = 20) -> list[dict[str, Any]]:
    """Return pairs of true and answered label, most frequent first, with the share of the rows of the true label."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    support = confusion.sum(axis=1)
    return [
        {
            "label": labels[row],
            "predicted": labels[column],
            "count": int(wrong[row, column]),
            "share": float(wrong[row, column] / support[row]),
        }
        for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[row, column]
    ]


def _bins_of(confidence: Floats, bins: int) -> Indices:
    """Return the bin of each confidence: (0, 1 / bins], ... as in the paper; 0 belongs to the first."""
    numbers: Indices = np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)
    return numbers


def _cumulative(positive: npt.NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives among the rows that score at least each different score, descending."""
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    true = np.cumsum(hits)[last].astype(float)
    return true, last + 1 - true
