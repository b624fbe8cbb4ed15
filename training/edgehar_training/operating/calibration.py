"""Calibration of scores before and after a temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.operating.temperature import at_temperature, error_of_perfect, fit_temperature, is_found
from edgehar_training.scoring import intervals, measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar_training.operating.answers import ClipAnswers, FloatScores, RunAnswers

    Floats = npt.NDArray[np.floating[Any]]
    Indices = npt.NDArray[np.intp]
    # Truth, scores before and after, and groups.
    Part = tuple[Indices, Floats, Floats, list[str]]


def calibration(answers: Sequence[RunAnswers]) -> dict[str, Any]:
    """Return temperatures, fitted on validation clips of each run, and the calibration of its test clips.

    int8 scores are measured for windows and clips (the mean over their windows). Runs store only the means of the
    float network's scores, so there the temperature is applied to the mean of a clip.
    """
    int8 = {run.folder: _temperature(run) for run in answers}
    of_float = {run.folder: _float_temperature(run.float_val) for run in answers}
    rows = []
    for name, wanted in (("int8 windows", _windows), ("int8 clips", _clips)):
        parts = [wanted(run.test, int8[run.folder]) for run in answers]
        rows.append({"of": name, "temperature": "of int8", **_before_and_after(parts)})
    for words, temperatures in (("of int8", int8), ("of float", of_float)):
        parts = [_float_part(run.float_test, temperatures[run.folder]) for run in answers]
        rows.append({"of": "float clips", "temperature": words, **_before_and_after(parts)})
    return {
        "bins": measures.CALIBRATION_BINS,
        "temperatures": [
            {
                "seed": run.seed, "fold": run.fold, "int8": int8[run.folder], "float": of_float[run.folder],
                "found": is_found(int8[run.folder]),
            }
            for run in answers
        ],
        # Temperatures are factors.
        "temperature": float(np.exp(np.mean(np.log(list(int8.values()))))),
        "rows": rows,
    }  # fmt: skip


def _truth(clips: Sequence[ClipAnswers]) -> Indices:
    return np.array([list(clip.predictions[0].scores).index(clip.label) for clip in clips], np.intp)


def _temperature(run: RunAnswers) -> float:
    return fit_temperature([clip.windows for clip in run.val], _truth(run.val))


def _float_temperature(stored: FloatScores) -> float:
    return fit_temperature(list(stored.scores[:, None]), stored.truth)


def _windows(clips: Sequence[ClipAnswers], temperature: float) -> Part:
    counts = [len(clip.windows) for clip in clips]
    scores = np.concatenate([clip.windows for clip in clips])
    groups = [clip.group for clip, count in zip(clips, counts, strict=True) for _ in range(count)]
    truth: Indices = np.repeat(_truth(clips), counts)
    return truth, scores, at_temperature(scores, temperature), groups


def _clips(clips: Sequence[ClipAnswers], temperature: float) -> Part:
    before = np.stack([clip.windows.mean(axis=0) for clip in clips])
    after = np.stack([at_temperature(clip.windows, temperature).mean(axis=0) for clip in clips])
    return _truth(clips), before, after, [clip.group for clip in clips]


def _float_part(stored: FloatScores, temperature: float) -> Part:
    return stored.truth, stored.scores, at_temperature(stored.scores, temperature), stored.groups


def _before_and_after(parts: Sequence[Part]) -> dict[str, Any]:
    truth, before, after = (np.concatenate([part[place] for part in parts]) for place in range(3))
    groups = [group for part in parts for group in part[3]]
    (sure, right), (sure_after, right_after) = (_confidence(truth, scores) for scores in (before, after))

    def change(rows: Indices) -> float:
        after_gap = measures.calibration_gap(sure_after[rows], right_after[rows])
        return after_gap - measures.calibration_gap(sure[rows], right[rows])

    return {
        "rows": len(truth),
        "before": _figures(truth, before, groups),
        "after": _figures(truth, after, groups),
        "change_interval_95": intervals.interval(change, groups),
    }


def _confidence(truth: Indices, scores: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    return scores.max(axis=1), scores.argmax(axis=1) == truth


def _figures(truth: Indices, scores: Floats, groups: Sequence[str]) -> dict[str, Any]:
    confidence, right = _confidence(truth, scores)
    return {
        "top1": float(right.mean()),
        "ece": measures.calibration_gap(confidence, right),
        "ece_interval_95": intervals.interval(
            lambda rows: measures.calibration_gap(confidence[rows], right[rows]), groups
        ),
        "ece_of_perfect": error_of_perfect(confidence),
        "cross_entropy": measures.cross_entropy(truth, scores),
        "reliability": measures.reliability(truth, scores),
    }
