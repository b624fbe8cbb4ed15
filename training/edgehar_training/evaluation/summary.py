"""All figures of an evaluation, as written to `eval.json`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.scoring import intervals, measures
from edgehar_training.scoring.clips import per_class
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar_training.evaluation.evaluated import Evaluated
    from edgehar_training.evaluation.scored import ScoredClip, ScoredClips

    Floats = npt.NDArray[np.float32]
    Indices = npt.NDArray[np.intp]

WORST_CLIPS = 12
# Number of points of a curve; more would not be visible.
CURVE_POINTS = 200


def origin(evaluated: Evaluated, scored: ScoredClips) -> dict[str, Any]:
    """Return what was evaluated on what, for the top of a report."""
    return {
        "target": evaluated.target,
        "network": evaluated.network,
        "data": evaluated.data,
        "protocol": evaluated.protocol,
        "leaky": evaluated.leaky,
        "includes_training_clips": evaluated.includes_training_clips,
        "warnings": evaluated.warnings + few_groups(scored),
        "labels": scored.labels,
    }


def summarize(evaluated: Evaluated, threshold: float = 0.0) -> dict[str, Any]:
    """Return every figure of an evaluation. If the network knows no label of the clips, return only its answers.

    Args:
        evaluated: the evaluation.
        threshold: a clip whose best score is below it counts as not answered.
    """
    scored = evaluated.scored
    said = origin(evaluated, scored) | {"unknown": _unknown(scored, threshold)}
    return said | (_figures(evaluated) if scored.rows else {"clip": None})


def _figures(evaluated: Evaluated) -> dict[str, Any]:
    scored = evaluated.scored
    return {
        "seeds": scored.seeds,
        "folds": len({row.fold for row in scored.rows if row.fold is not None}) or None,
        "clip": clip_figures(scored, evaluated.seed),
        "window": _window_figures(evaluated),
        "per_seed": seed_figures(scored),
        "runs": [{name: getattr(run, name) for name in run.__dataclass_fields__} for run in evaluated.runs],
        "per_group": _per_group(scored),
        "confused": measures.confused_pairs(_confusion(scored), scored.labels),
        "worst": [_worst_row(scored, row) for row in worst_rows(scored)],
    }


def clip_figures(scored: ScoredClips, seed: int) -> dict[str, Any]:
    """Return figures of clips: accuracy, averages, calibration, classes, confusion (rows are the truth) and curves."""
    truth, scores, classes = scored.truth, scored.scores, len(scored.labels)
    predicted, right, confusion = scored.predicted, scored.predicted == truth, _confusion(scored)
    confidence = scores.max(axis=1)
    by_clip = right_by_clip(scored)
    per_seed = [entry["top1"] for entry in seed_figures(scored)]
    return {
        "clips": len(by_clip),
        "rows": len(truth),
        "groups": len(set(scored.groups)),
        # A clip that several seeds tested counts once for each seed.
        "top1": float(np.mean(per_seed)) if per_seed else float(right.mean()),
        "interval_95": group_bootstrap(
            [share for share, _ in by_clip.values()], [g for _, g in by_clip.values()], seed
        ),
        "top_k": {str(k): measures.top_k(truth, scores, k) for k in (1, 2, 3, 5) if k < classes},
        "balanced_accuracy": measures.balanced_accuracy(confusion),
        **measures.averages(confusion),
        "macro_f1_interval_95": intervals.interval(
            lambda rows: measures.macro_f1(truth[rows], predicted[rows], classes), scored.groups, seed
        ),
        "cross_entropy": measures.cross_entropy(truth, scores),
        "brier": measures.brier(truth, scores),
        "ece": measures.calibration_error(truth, scores),
        "ece_interval_95": intervals.interval(
            lambda rows: measures.calibration_gap(confidence[rows], right[rows]), scored.groups, seed
        ),
        "reliability": measures.reliability(truth, scores),
        "per_class": _classes(scored, confusion),
        "confusion": confusion.tolist(),
        "curves": {label: _curves(truth == index, scores[:, index]) for index, label in enumerate(scored.labels)},
    }


def right_by_clip(scored: ScoredClips) -> dict[str, tuple[float, str]]:
    """Return the share of seeds that answer a clip correctly, and its group, by the name of the clip."""
    votes: dict[str, list[float]] = {}
    groups = {}
    for row, right in zip(scored.rows, scored.predicted == scored.truth, strict=True):
        votes.setdefault(row.name, []).append(float(right))
        groups[row.name] = row.clip.group
    return {name: (float(np.mean(given)), groups[name]) for name, given in votes.items()}


def worst_rows(scored: ScoredClips, most: int = WORST_CLIPS) -> list[ScoredClip]:
    """Return wrongly answered clips, the lowest score of the true label first; the worst of several seeds."""
    own = scored.scores[np.arange(len(scored.rows)), scored.truth]
    wrong = scored.predicted != scored.truth
    found: dict[str, ScoredClip] = {}
    for index in np.argsort(own, kind="stable"):
        if wrong[index]:
            found.setdefault(scored.rows[index].name, scored.rows[index])
    return list(found.values())[:most]


def _confusion(scored: ScoredClips) -> npt.NDArray[np.int_]:
    return measures.confusion_matrix(scored.truth, scored.predicted, len(scored.labels))


def _classes(scored: ScoredClips, confusion: npt.NDArray[np.int_]) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for index, (label, row) in enumerate(per_class(confusion, scored.labels).items()):
        positive, score = scored.truth == index, scored.scores[:, index]
        table[label] = {
            **row,
            "roc_auc": measures.roc_auc(positive, score),
            "average_precision": measures.average_precision(positive, score),
        }
    return table


def _curves(positive: npt.NDArray[np.bool_], score: Floats) -> dict[str, Any]:
    """Return the points of both curves; none for a class that has no clips, or all of them."""
    if positive.all() or not positive.any():
        return {"roc": [], "precision_recall": []}
    return {
        "roc": _thinned(*measures.roc_curve(positive, score)),
        "precision_recall": _thinned(*measures.precision_recall_curve(positive, score)),
    }


def _thinned(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> list[list[float]]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().astype(int))
    return [[round(float(x[i]), 4), round(float(y[i]), 4)] for i in kept]


def _window_figures(evaluated: Evaluated) -> dict[str, Any] | None:
    """Return figures of single windows, as a live camera gives them; only the accuracy if windows were not stored."""
    scored = evaluated.scored
    windows = [row.windows for row in scored.rows if row.windows is not None]
    if len(windows) < len(scored.rows):
        return None if evaluated.window_top1 is None else {"top1": evaluated.window_top1}
    counts = [len(scores) for scores in windows]
    truth, scores, classes = np.repeat(scored.truth, counts), np.concatenate(windows), len(scored.labels)
    right = (scores.argmax(axis=1) == truth).astype(float)
    confusion = measures.confusion_matrix(truth, scores.argmax(axis=1), classes)
    return {
        "windows": len(truth),
        "top1": float(right.mean()),
        "interval_95": group_bootstrap(right.tolist(), np.repeat(scored.groups, counts).tolist(), evaluated.seed),
        "top_k": {str(k): measures.top_k(truth, scores, k) for k in (1, 2, 3, 5) if k < classes},
        **measures.averages(confusion),
        "per_class": per_class(confusion, scored.labels, "windows"),
        "confusion": confusion.tolist(),
        "ece": measures.calibration_error(truth, scores),
        "reliability": measures.reliability(truth, scores),
    }


def seed_figures(scored: ScoredClips) -> list[dict[str, Any]]:
    """Return accuracy, macro F1 and calibration error of the run of each seed."""
    right, truth, predicted = scored.predicted == scored.truth, scored.truth, scored.predicted
    table = []
    for seed in scored.seeds:
        own = np.array([row.seed == seed for row in scored.rows])
        table.append(
            {
                "seed": seed,
                "clips": int(own.sum()),
                "top1": float(right[own].mean()),
                "macro_f1": measures.macro_f1(truth[own], predicted[own], len(scored.labels)),
                "ece": measures.calibration_error(truth[own], scored.scores[own]),
            }
        )
    return table


def _per_group(scored: ScoredClips) -> list[dict[str, Any]]:
    """Return the accuracy of each group, the lowest first."""
    right: dict[str, list[float]] = {}
    for share, group in right_by_clip(scored).values():
        right.setdefault(group, []).append(share)
    table = [{"group": group, "clips": len(shares), "top1": float(np.mean(shares))} for group, shares in right.items()]
    return sorted(table, key=lambda row: (row["top1"], row["group"]))


def _worst_row(scored: ScoredClips, row: ScoredClip) -> dict[str, Any]:
    best = int(row.scores.argmax())
    return {
        "clip": row.name,
        "group": row.clip.group,
        "seed": row.seed,
        "label": row.clip.label,
        "score_of_label": float(row.scores[scored.labels.index(row.clip.label)]),
        "predicted": scored.labels[best],
        "score": float(row.scores[best]),
    }


def _unknown(scored: ScoredClips, threshold: float) -> dict[str, Any] | None:
    """Return the answers to clips of labels that the network does not know."""
    if not scored.unknown:
        return None
    best = np.array([row.scores.max() for row in scored.unknown])
    answers = Counter(
        scored.labels[int(row.scores.argmax())] for row in scored.unknown if row.scores.max() >= threshold
    )
    return {
        "clips": len(scored.unknown),
        "labels": dict(Counter(row.clip.label for row in scored.unknown).most_common()),
        "threshold": threshold,
        "abstained": float((best < threshold).mean()),
        "known_abstained": float((scored.scores.max(axis=1) < threshold).mean()) if scored.rows else None,
        "answers": dict(answers.most_common()),
    }


def few_groups(scored: ScoredClips) -> list[str]:
    """Return a warning if there are too few groups for reliable intervals."""
    groups = len(set(scored.groups))
    if not groups or groups >= intervals.FEW_GROUPS:
        return []
    return [f"{groups} group{'s'[: groups > 1]} only: the intervals are too narrow"]


def spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation of the figures of several seeds. Returns None for a single seed."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
