"""Figures of the clips of a run, as they are written to `metrics.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.scoring.clips import Result, figures
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.runs.run import Run, RunConfig


def truth_of(config: RunConfig, clips: Sequence[Clip]) -> npt.NDArray[np.intp]:
    """Return the index of the label of each clip, `(clips,)`."""
    return np.array([config.labels.index(clip.label) for clip in clips], np.intp)


def part_metrics(run: Run, clips: Sequence[Clip], result: Result) -> dict[str, Any]:
    """Return the figures of some clips, with an interval and the answer for every clip."""
    groups = [clip.group for clip in clips]
    return {
        **figures(result, run.config.labels),
        "interval_95": group_bootstrap(result.correct.tolist(), groups, run.config.split.seed),
        "predictions": [
            {
                "clip": clip.path,
                **_moments(clip),
                "group": clip.group,
                "label": clip.label,
                "predicted": run.config.labels[int(index)],
                "scores": [round(float(score), 5) for score in scores],
            }
            for clip, index, scores in zip(clips, result.predicted, result.clip_scores, strict=True)
        ],
    }


def _moments(clip: Clip) -> dict[str, float]:
    """Return the start and end of a clip that is a part of a video."""
    return {name: s for name, s in (("start_s", clip.start_s), ("end_s", clip.end_s)) if s is not None}
