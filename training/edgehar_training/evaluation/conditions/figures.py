"""Accuracy under each condition, and its difference from the accuracy on the clips as recorded."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.files import whole_file
from edgehar_training.evaluation.conditions.changes import RECORDED
from edgehar_training.evaluation.summary import origin, right_by_clip, seed_figures
from edgehar_training.scoring import intervals
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgehar_training.evaluation.conditions.measure import Measured
    from edgehar_training.evaluation.scored import ScoredClips

COLUMNS = (
    "condition",
    "what",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "other_answers",
)


def condition_figures(measured: Measured, hop: int) -> dict[str, Any]:
    """Return all figures, as written to `conditions.json`; intervals are 95 % bootstraps over groups."""
    evaluated, recorded = measured.evaluated, measured.scored[RECORDED]
    return origin(evaluated, recorded) | {
        "clips": len({row.name for row in recorded.rows}),
        "groups": len(set(recorded.groups)),
        "seeds": recorded.seeds,
        "hop": hop,
        "conditions": [
            {"condition": condition.name, "what": condition.words, **_figures(scored, recorded, evaluated.seed)}
            for condition, scored in measured.scored.items()
        ],
    }


def write_csv(path: Path, figures: Mapping[str, Any]) -> None:
    """Write `conditions.csv`, one line for each condition."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in figures["conditions"]:
            interval, difference = row["interval_95"], row["difference_interval_95"] or ("", "")
            values = (row["top1"], *interval, row["difference"], *difference, row["p"], row["other_answers"])
            writer.writerow([row["condition"], row["what"], *(_cell(value) for value in values)])


def _cell(value: float | str | None) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value or "")


def _figures(scored: ScoredClips, recorded: ScoredClips, seed: int) -> dict[str, Any]:
    by_clip = right_by_clip(scored)
    shares, groups = [share for share, _ in by_clip.values()], [group for _, group in by_clip.values()]
    per_seed = {str(row["seed"]): row["top1"] for row in seed_figures(scored)}
    right, before = (one.predicted == one.truth for one in (scored, recorded))
    figures = {
        "top1": float(np.mean(list(per_seed.values()))) if per_seed else float(right.mean()),
        "interval_95": group_bootstrap(shares, groups, seed),
        "per_seed": per_seed,
        "per_class": {
            label: float(right[scored.truth == index].mean()) if (scored.truth == index).any() else None
            for index, label in enumerate(scored.labels)
        },
        "difference": None,
        "difference_interval_95": None,
        "p": None,
        "other_answers": None,
    }
    if scored is recorded:
        return figures
    # Over clips and seeds: if seeds have different test clips, this is still the difference of the accuracies.
    difference = intervals.paired_difference(before.astype(float), right.astype(float), scored.groups, seed)
    return figures | {
        "difference": difference.mean,
        "difference_interval_95": difference.interval_95,
        "p": difference.p,
        "other_answers": float((scored.predicted != recorded.predicted).mean()),
    }
