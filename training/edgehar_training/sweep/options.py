"""Options of a sweep, and its trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgehar_training.sweep.trial import Score

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar_training.settings import RunSettings

Metric = Literal["accuracy", "loss"]


class TuneOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the trials.

    Attributes:
        trials: number of trials.
        metric: what a trial is judged by.
        jobs: trials at the same time; None for as many as the cluster holds.
        cpus: processors of a trial.
        gpus: GPUs of a trial; a part such as 0.5 shares one.
    """

    trials: int
    metric: Metric = "accuracy"
    jobs: int | None = None
    cpus: int = 1
    gpus: float = 0.0


class Trial(msgspec.Struct, frozen=True):
    """A trial that has ended.

    Attributes:
        name: its folder below `trials`.
        values: its settings, by path.
        score: its latest score; None if its process ended before the first.
        problem: why it failed; empty if it did not.
    """

    name: str
    values: dict[str, Any]
    score: Score | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Options of a sweep.

    Attributes:
        out: folder of the sweep.
        inner_folds: folds that the clips which are not tested are dealt into.
        tuning: how many trials, and how they run.
        ray: address of a Ray cluster; "" for `$RAY_ADDRESS`, or one of this machine.
        resume: go on with the sweep in `out`.
        run: settings of the recipe for its runs, which are kept in the recipe of the best.
    """

    out: Path
    tuning: TuneOptions
    inner_folds: int = 3
    ray: str = ""
    resume: bool = False
    run: RunSettings | None = None


def is_better(score: Score, than: Score, metric: Metric) -> bool:
    """Return whether a score beats another one; the other measure decides between equals."""
    ours, theirs = ((one.accuracy, -one.loss) for one in (score, than))
    return (ours > theirs) if metric == "accuracy" else (ours[::-1] > theirs[::-1])
