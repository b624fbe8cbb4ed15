"""All figures of operating points, as `operate.json` holds them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import DatasetError
from edgehar.events.options import describe
from edgehar_training.alarms.decisions import CANDIDATES
from edgehar_training.data.datasets import describe_data
from edgehar_training.evaluation.evaluated import leak_warnings
from edgehar_training.operating import points
from edgehar_training.operating.calibration import calibration
from edgehar_training.scoring import intervals, measures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edgehar_training.alarms.decisions import Rule
    from edgehar_training.operating.answers import RunAnswers
    from edgehar_training.runs.run import Run

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

# Points of a curve that are kept: more cannot be seen.
CURVE_POINTS = 400


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatingOptions:
    """Options of measuring operating points.

    Attributes:
        thresholds: thresholds of the table.
        most_per_hour: false alarms per hour for which each run's threshold is chosen on its validation clips.
        context_s: seconds of background around a clip.
        unknown: description of the clips of other actions; None if there are none.
    """

    thresholds: Sequence[float]
    most_per_hour: float
    context_s: float
    unknown: Mapping[str, Any] | None = None


def summarize(
    folder: Path, runs: Sequence[Run], answers: Sequence[RunAnswers], rule: Rule, options: OperatingOptions
) -> dict[str, Any]:
    """Return every figure.

    Args:
        folder: folder of the runs.
        runs: folds and seeds.
        answers: predictions of each run.
        rule: how the device decides.
        options: how to measure.

    Raises:
        DatasetError: the background clips of a run are shorter than a window.
    """
    for run in answers:
        if not (run.val_background.hours and run.test_background.hours):
            raise DatasetError(f"{run.folder}: its background clips of a part are together shorter than a window")
    seeds = len({run.seed for run in answers})
    found = {
        **_about(folder, runs, answers, rule),
        "context_s": options.context_s,
        "roc": {"clip": _roc(answers, rule, _clip_rows), "window": _roc(answers, rule, _window_rows)},
        "thresholds": [
            {"threshold": threshold, **points.point(answers, rule, lambda _, t=threshold: t, seeds)}  # type: ignore[misc]
            for threshold in options.thresholds
        ],
        "chosen": _chosen(answers, rule, options.most_per_hour, seeds),
        "calibration": calibration(answers),
        "unknown_clips": options.unknown,
    }
    return {**found, "warnings": _warnings(runs, answers, found)}


def _about(folder: Path, runs: Sequence[Run], answers: Sequence[RunAnswers], rule: Rule) -> dict[str, Any]:
    """Return what was measured on what."""
    config = runs[0].config
    clips = {(clip.name, clip.group) for run in answers for clip in run.test}
    return {
        "target": str(folder),
        "network": f"int8 {config.network.title}",
        "data": f"test part of {describe_data(config.data.dataset, config.data.folder)}",
        "protocol": config.protocol,
        "clips": len(clips),
        "groups": len({group for _, group in clips}),
        "seeds": sorted({run.seed for run in answers}),
        "folds": len({run.fold for run in answers if run.fold is not None}) or None,
        "labels": list(rule.labels),
        "background": sorted(rule.background),
        "decision": describe(rule.decision),
    }


def _chosen(answers: Sequence[RunAnswers], rule: Rule, most_per_hour: float, seeds: int) -> dict[str, Any]:
    """Return the threshold of each run, chosen on its validation clips, and its figures on test clips."""
    own = {run.folder: points.chosen_threshold(run, rule, most_per_hour) for run in answers}
    table = []
    for run in answers:
        stream = run.val_background
        count, _ = points.alarms(stream, rule, own[run.folder])
        table.append(
            {
                "seed": run.seed, "fold": run.fold, "threshold": own[run.folder],
                "validation": {"events": count, "hours": stream.hours, "per_hour": count / stream.hours},
            }
        )  # fmt: skip
    values = list(own.values())
    return {
        "false_alarms_per_hour": most_per_hour,
        "median": float(np.median(values)),
        "lowest": min(values),
        "highest": max(values),
        # As the table [decision.thresholds] of a device takes them.
        "decision_thresholds": dict(rule.at(float(np.median(values))).decision.thresholds),
        "runs": table,
        **points.point(answers, rule, lambda run: own[run.folder], seeds),
        "latencies_s": points.latencies(answers, rule, lambda run: own[run.folder]),
    }


def _clip_rows(run: RunAnswers, rule: Rule) -> tuple[list[bool], list[float], list[str]]:
    columns = [rule.labels.index(label) for label in rule.positive]
    scores = [float(clip.windows.mean(axis=0)[columns].max()) for clip in run.test]
    return [clip.label not in rule.background for clip in run.test], scores, [clip.group for clip in run.test]


def _window_rows(run: RunAnswers, rule: Rule) -> tuple[list[bool], list[float], list[str]]:
    columns = [rule.labels.index(label) for label in rule.positive]
    positive, scores, groups = [], [], []
    for clip in run.test:
        own = clip.windows[:, columns].max(axis=1).tolist()
        scores += own
        positive += [clip.label not in rule.background] * len(own)
        groups += [clip.group] * len(own)
    return positive, scores, groups


def _roc(answers: Sequence[RunAnswers], rule: Rule, rows_of: Any) -> dict[str, Any]:
    """Return the curve of the best score of a label that opens an event, which thresholds are compared with."""
    parts = [rows_of(run, rule) for run in answers]
    positive = np.array([value for part in parts for value in part[0]])
    score = np.array([value for part in parts for value in part[1]])
    groups = [group for part in parts for group in part[2]]
    of_runs = [measures.roc_auc(np.array(kind), np.array(own)) for kind, own, _ in parts]
    x, y = measures.roc_curve(positive, score)
    levels = np.append(np.inf, np.unique(score)[::-1])
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().astype(int))
    return {
        "auc": measures.roc_auc(positive, score),
        "interval_95": intervals.interval(lambda rows: _auc(positive[rows], score[rows]), groups),
        "mean_of_runs": float(np.mean([area for area in of_runs if area is not None])),
        "positives": int(positive.sum()),
        "negatives": int((~positive).sum()),
        # (score at least, false positive rate, true positive rate); the first point is above every score.
        "points": [[None if i == 0 else float(levels[i]), float(x[i]), float(y[i])] for i in kept],
    }


def _auc(positive: Bools, score: Floats) -> float:
    """Return the area; 0.5 for a draw of groups with one kind of clip only, which says nothing."""
    area = measures.roc_auc(positive, score)
    return 0.5 if area is None else area


def _warnings(runs: Sequence[Run], answers: Sequence[RunAnswers], found: Mapping[str, Any]) -> list[str]:
    said = list(dict.fromkeys(text for run in runs for text in leak_warnings(run, "test")))
    if found["groups"] < intervals.FEW_GROUPS:
        said.append(f"{found['groups']} groups only: the intervals are narrower than they should be")
    longest = max(run.val_background.hours for run in answers)
    wanted = found["chosen"]["false_alarms_per_hour"]
    if wanted * longest < 1:
        said.append(
            f"the validation clips of background last {longest * 3600:.0f} s at most, where one false alarm is already "
            f"{1 / longest:.0f} an hour: the thresholds for {wanted:g} an hour are those for none at all there"
        )
    if silent := sum(row["threshold"] == CANDIDATES[-1] for row in found["chosen"]["runs"]):
        said.append(f"{silent} of {len(answers)} runs have no threshold for so few false alarms: they are silent")
    return said
