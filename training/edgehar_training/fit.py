"""Training of one network: batches, epochs, early stopping, and a checkpoint from which it continues exactly."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConfigError, DatasetError, EdgeharError
from edgehar.files import whole_file
from edgehar_training.batches import Batches
from edgehar_training.evaluate import Result, score_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from edgehar_training.datasets import Clip
    from edgehar_training.runs import Run

LAST_FILE = "last.npz"

Row = dict[str, float]


@dataclasses.dataclass
class Progress:
    """How far a training is.

    Attributes:
        history: one row per finished epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy.
        best_epoch: the epoch with the least validation loss; 0 before the first.
    """

    history: list[Row] = dataclasses.field(default_factory=list)
    best_epoch: int = 0

    @property
    def best_loss(self) -> float:
        """Least validation loss so far."""
        return self.history[self.best_epoch - 1]["val_loss"] if self.best_epoch else math.inf


class Training:
    """One network and its optimiser, epoch by epoch.

    Args:
        run: where to, and with what settings.
        train: clips to learn from.
        val: clips that say when to stop.
        resume: continue after the last finished epoch in the run's folder, if there is one.

    Raises:
        DatasetError: a part is empty, or the checkpoint is not of this network.
    """

    def __init__(self, run: Run, train: Sequence[Clip], val: Sequence[Clip], *, resume: bool = False) -> None:
        import keras

        from edgehar_training.models import build
        from edgehar_training.models.stem import with_compiled_stem

        if not train or not val:
            raise DatasetError("no clip is left to train or validate on; bring more clips")
        config = run.config
        keras.utils.set_random_seed(config.split.seed)
        self.run, self.progress = run, Progress()
        self.model = build(config.network, len(config.labels))
        self._fast = with_compiled_stem(self.model)
        self._fast.compile(
            optimizer=keras.optimizers.Adam(config.fit.learning_rate),
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )
        self._fast.optimizer.build(self._fast.trainable_variables)
        self._batches = Batches(run, train)
        self._val_streams = [run.stream(clip) for clip in val]
        self._val_truth = np.array([config.labels.index(clip.label) for clip in val])
        self._best = self._weights()
        if resume and (run.path / LAST_FILE).exists():
            self._restore()

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or the validation loss has not improved for `patience` epochs."""
        done, config = len(self.progress.history), self.run.config
        return done >= config.fit.epochs or done - self.progress.best_epoch >= config.fit.patience > 0

    def fit(self, after_step: Callable[[Row], object], after_epoch: Callable[[Row], object]) -> None:
        """Train to the end, and leave the best network in the model and in the run's folder.

        The checkpoint is written after every epoch, so that an interrupted training continues exactly.

        Args:
            after_step: called with the mean loss and accuracy of the epoch so far.
            after_epoch: called with the finished epoch's row.

        Raises:
            EdgeharError: the loss is no longer a number.
        """
        while not self.finished:
            row = self._epoch(len(self.progress.history) + 1, after_step)
            self.progress.history.append(row)
            if row["val_loss"] < self.progress.best_loss:
                self.progress.best_epoch, self._best = int(row["epoch"]), self._weights()
            self._checkpoint()
            after_epoch(row)
        for variable, value in zip(self.model.variables, self._best, strict=True):
            variable.assign(value)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self._batches)

    def _epoch(self, number: int, after_step: Callable[[Row], object]) -> Row:
        total = np.zeros(3)
        seen: Row = {}
        for windows, truth in self._batches.epoch(number):
            step = self._fast.train_on_batch(windows, truth, return_dict=True)
            if not math.isfinite(step["loss"]):
                raise EdgeharError(
                    f"{self.run.path}: the loss is no longer a number in epoch {number}; lower --learning-rate (it is "
                    f"{self.run.config.fit.learning_rate:g}) and train again"
                )
            # Keras forgets the metrics of earlier steps at every call.
            total += np.array([step["loss"], step["accuracy"], 1]) * len(windows)
            seen = {"loss": float(total[0] / total[2]), "accuracy": float(total[1] / total[2])}
            after_step(seen)
        val = self.score(self._val_streams, self._val_truth)
        return {"epoch": number, **seen, "val_loss": val.loss, "val_accuracy": float(val.correct.mean())}

    def score(self, streams: Sequence[npt.NDArray[np.int8]], truth: npt.NDArray[np.intp]) -> Result:
        """Scores of the network as it is now, for clips given as streams of network input."""
        config = self.run.config
        return Result(truth, score_streams(self._fast, self.run.preprocessor, streams, config.network.window))

    def _weights(self) -> list[npt.NDArray[Any]]:
        return [_array(variable) for variable in self.model.variables]

    def _state(self) -> list[keras.Variable]:
        """Every variable that the next step depends on: weights, state of the dropout, state of the optimiser."""
        return [*self.model.variables, *self._fast.optimizer.variables]

    def _checkpoint(self) -> None:
        arrays: dict[str, Any] = {f"state_{i}": _array(variable) for i, variable in enumerate(self._state())}
        arrays |= {f"best_{i}": value for i, value in enumerate(self._best)}
        progress = np.array(json.dumps(dataclasses.asdict(self.progress)))
        with whole_file(self.run.path / LAST_FILE) as temporary:
            np.savez(temporary, progress=progress, **arrays)

    def _restore(self) -> None:
        path = self.run.path / LAST_FILE
        try:
            with np.load(path) as arrays:
                for index, variable in enumerate(self._state()):
                    variable.assign(arrays[f"state_{index}"])
                self._best = [arrays[f"best_{index}"] for index in range(len(self._best))]
                self.progress = Progress(**json.loads(str(arrays["progress"])))
        except (OSError, KeyError, ValueError) as error:
            raise ConfigError(f"{path}: no checkpoint of this network ({error}); train into another --out") from error


def _array(variable: keras.Variable) -> npt.NDArray[Any]:
    import keras

    return np.array(keras.ops.convert_to_numpy(variable))


def save_model(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file, whole or not at all."""
    with whole_file(path) as temporary:
        model.save(temporary)
