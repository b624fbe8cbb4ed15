"""Show the epochs of a training: a progress line on a terminal, or a log line every few epochs."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from edgehar.progress import Progress

if TYPE_CHECKING:
    from edgehar_training.runs.run import Run
    from edgehar_training.training.fit import EpochRow, Training

log = logging.getLogger(__name__)

EPOCHS_PER_LINE = 10


class EpochBar:
    """A progress line over all steps, with loss and accuracy."""

    def __init__(self, run: Run, training: Training) -> None:
        steps, epochs = training.steps_per_epoch, len(training.progress.history)
        self._progress = Progress("training", run.config.fit.epochs * steps, unit="steps", done=epochs * steps)
        self._epoch, self._val = epochs + 1, ""

    def step(self, row: EpochRow) -> None:
        """Show the mean loss and accuracy of the epoch so far."""
        note = f"epoch {self._epoch} loss {row['loss']:.3f} accuracy {row['accuracy']:.2f}{self._val}"
        self._progress.advance(note=note)

    def epoch(self, row: EpochRow) -> None:
        """Keep the validation figures of the finished epoch on the line."""
        self._epoch = int(row["epoch"]) + 1
        self._val = f", validation {row['val_loss']:.3f} {row['val_accuracy']:.2f}"

    def close(self) -> None:
        """Clear the line."""
        self._progress.close()


class EpochLog:
    """A log line every few epochs, and for the last one."""

    def __init__(self, run: Run) -> None:
        self._name = f"seed {run.config.split.seed}" + ("" if run.config.fold is None else f" fold {run.config.fold}")
        self._last: EpochRow = {}

    def step(self, _: EpochRow) -> None:
        """Log nothing for a step."""

    def epoch(self, row: EpochRow) -> None:
        """Log every tenth epoch."""
        self._last = row
        if row["epoch"] % EPOCHS_PER_LINE == 0:
            self._say()

    def close(self) -> None:
        """Log the last epoch."""
        if self._last and self._last["epoch"] % EPOCHS_PER_LINE:
            self._say()

    def _say(self) -> None:
        row = self._last
        log.info(
            "%s epoch %d: loss %.3f accuracy %.2f, validation %.3f %.2f",
            self._name,
            row["epoch"],
            row["loss"],
            row["accuracy"],
            row["val_loss"],
            row["val_accuracy"],
        )
        sys.stderr.flush()
