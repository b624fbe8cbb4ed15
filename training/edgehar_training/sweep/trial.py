"""One trial of a sweep: its settings are trained on every inner fold, one epoch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.datasets.splits import Split
    from edgehar_training.runs.run import RunConfig
    from edgehar_training.sweep.space import Space, Value
    from edgehar_training.training.fit import Training
    from edgehar_training.training.tasks import TaskSetup

TRIALS_FOLDER = "trials"
# The loss of a trial that failed.
LOST = 1e9


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a sweep share. It holds no test clip.

    Attributes:
        setup: where a trial may run.
        out: folder of the sweep.
        config: the settings, before those of the trial.
        clips: the clips that are not tested.
        splits: the inner folds, as numbers of `clips`: training, and validation.
        space: the settings that are searched.
    """

    setup: TaskSetup
    out: Path
    config: RunConfig
    clips: list[Clip]
    splits: list[Split]
    space: Space


class Score(msgspec.Struct, frozen=True):
    """Result of a trial so far.

    Attributes:
        accuracy: share of correct validation clips at the best epoch, mean over the inner folds.
        loss: validation loss at the best epoch, mean over the inner folds.
        epochs: finished epochs of each inner fold.
        finished: whether it would not train on.
        problem: why it failed; empty if it did not.
    """

    accuracy: float
    loss: float
    epochs: int
    finished: bool = False
    problem: str = ""


def run_trial(job: TrialJob, folder: Path, values: dict[str, Value], report: Callable[[Score], object]) -> None:
    """Train with these settings, and report the score after every epoch. A trial that was killed goes on.

    Args:
        job: the sweep.
        folder: folder of the trial.
        values: the settings of the trial, by path.
        report: takes the score; the first is that of the first epoch, also if the trial goes on.
    """
    from edgehar_training import models

    try:
        config = job.space.applied(job.config, values)
        models.prepare(config.network)
        trainings = _trainings(folder, config, job.clips, job.splits)
        for epoch in range(1, config.fit.epochs + 1):
            for training in trainings:
                if len(training.progress.history) < epoch and not training.finished:
                    training.advance()
            finished = all(t.finished and len(t.progress.history) <= epoch for t in trainings)
            report(_score(trainings, epoch, finished=finished))
            if finished:
                return
    except EdgeharError as error:
        # Not raised, because Ray would repeat the trial.
        report(Score(0.0, LOST, 0, finished=True, problem=" ".join(str(error).split())))


def _trainings(folder: Path, config: RunConfig, clips: Sequence[Clip], splits: Sequence[Split]) -> list[Training]:
    from pathlib import Path

    from edgehar_training.data.datasets.splits import write_splits
    from edgehar_training.runs.run import SPLITS_FILE, Run, with_mean
    from edgehar_training.training.train_run import training_class

    root = None if config.data.folder is None else Path(config.data.folder)
    made = []
    for number, split in enumerate(splits):
        train, val = ([clips[i] for i in part] for part in (split.train, split.val))
        run = Run(folder / f"inner-{number}", with_mean(config, train))
        run.path.mkdir(parents=True, exist_ok=True)
        run.config.write(run.path)
        write_splits(run.path / SPLITS_FILE, clips, split, root)
        made.append(training_class(run.config)(run, train, val, resume=True))
    return made


def _score(trainings: Sequence[Training], epoch: int, *, finished: bool) -> Score:
    best = [min(training.progress.history[:epoch], key=lambda row: row["val_loss"]) for training in trainings]
    count = len(best)
    return Score(
        accuracy=sum(row["val_accuracy"] for row in best) / count,
        loss=sum(row["val_loss"] for row in best) / count,
        epochs=epoch,
        finished=finished,
    )


def remove_checkpoints(folder: Path) -> None:
    """Delete what a trial needs only to go on."""
    from edgehar_training.training.fit import LAST_FILE

    for path in folder.glob(f"inner-*/{LAST_FILE}"):
        path.unlink(missing_ok=True)
