"""Train one network: batches, epochs, early stopping, and a checkpoint from which training continues exactly."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import DatasetError, EdgeharError
from edgehar.files import whole_file
from edgehar.progress import Progress
from edgehar_training.runs.run import BEST_FILE
from edgehar_training.scoring.clips import Result, score_features, score_streams
from edgehar_training.scoring.run_metrics import truth_of
from edgehar_training.training.batches import Batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.quantize.fake_quant import FakeQuantization
    from edgehar_training.runs.run import Run
    from edgehar_training.training.checkpoint import Arrays
    from edgehar_training.training.features_cache import FeatureBatches

log = logging.getLogger(__name__)

LAST_FILE = "last.npz"

EpochRow = dict[str, float]


@dataclasses.dataclass
class FinishedEpochs:
    """The finished epochs of a training.

    Attributes:
        history: one row per epoch: epoch (from 1), learning_rate (of its last step), loss, accuracy, val_loss,
            val_accuracy.
        best_epoch: the epoch with the lowest validation loss; 0 before the first epoch.
    """

    history: list[EpochRow] = dataclasses.field(default_factory=list)
    best_epoch: int = 0

    @property
    def best_loss(self) -> float:
        """Lowest validation loss so far."""
        return self.history[self.best_epoch - 1]["val_loss"] if self.best_epoch else math.inf


class Training:
    """One network and its optimizer, epoch by epoch, on any Keras backend.

    Args:
        run: settings and folder.
        train: clips to learn from.
        val: clips for early stopping.
        resume: continue after the last finished epoch in the folder of the run, if there is one.

    Attributes:
        run: settings and folder.
        progress: finished epochs.

    Raises:
        ConfigError: a setting does not fit the network, or the checkpoint is of another network.
        DatasetError: a part is empty, or a label has no training clip.
        EdgeharError: out of memory.
    """

    def __init__(self, run: Run, train: Sequence[Clip], val: Sequence[Clip], *, resume: bool = False) -> None:
        from edgehar_training.training import accelerators
        from edgehar_training.training.features_cache import FeatureBatches, features_of
        from edgehar_training.training.networks import make_networks

        _check_parts(run, train, val)
        config = run.config
        self.run, self.progress = run, FinishedEpochs()
        resume = resume and (run.path / LAST_FILE).exists()
        accelerators.seed(config.split.seed, deterministic=config.fit.deterministic)
        self._replicas = accelerators.Replicas()
        self._replicas.check(config.fit)
        with self._replicas.scope():
            networks = make_networks(run, resume=resume)
            # Features of frames, computed once, if only the head learns.
            self._features = features_of(run, networks.learning)
            self._batches: Batches | FeatureBatches
            if self._features is None:
                self._networks, self._batches = networks, Batches(run, train)
            else:
                self._networks, self._batches = networks.of_head(), FeatureBatches(run, train, self._features)
            self._networks.compile(config.fit, self.steps_per_epoch)
        self._label_weights = _label_weights(run, train)
        self._val_truth = truth_of(config, val)
        self._best = self._weights()
        if resume:
            self._restore()
        # After restoring, because features depend on the weights of the encoder.
        if self._features is not None:
            self.streams(train)
        self._val_streams = self.streams(val)

    @property
    def model(self) -> keras.Model:
        """The float32 network; it has the best weights after `fit`."""
        return self._networks.saved

    @property
    def fake_quantization(self) -> FakeQuantization | None:
        """Fake quantization over the same weights, in a QAT stage; None otherwise."""
        return self._networks.fake_quantization

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or the validation loss has not improved for `patience` epochs."""
        done, config = len(self.progress.history), self.run.config
        return done >= config.fit.epochs or done - self.progress.best_epoch >= config.fit.patience > 0

    def fit(self, after_step: Callable[[EpochRow], object], after_epoch: Callable[[EpochRow], object]) -> None:
        """Train to the end, and leave the best weights in the model.

        A checkpoint is written after every epoch, so that an interrupted training continues exactly.

        Args:
            after_step: called with the mean loss and accuracy of the epoch so far.
            after_epoch: called with the finished epoch's row.

        Raises:
            EdgeharError: the loss is NaN or infinite, or out of memory. The model has the best weights so far.
        """
        try:
            while not self.finished:
                after_epoch(self.advance(after_step))
        finally:
            self._leave_best()

    def advance(self, after_step: Callable[[EpochRow], object] = lambda _: None) -> EpochRow:
        """Train one more epoch, and write a checkpoint.

        Args:
            after_step: called with the mean loss and accuracy of the epoch so far.

        Returns:
            The epoch's row.

        Raises:
            EdgeharError: the loss is NaN or infinite, or out of memory.
        """
        from edgehar_training.training.accelerators import memory_errors

        with memory_errors():
            row = self._epoch(len(self.progress.history) + 1, after_step)
        self._checkpoint()
        return row

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return len(self._batches)

    def learn(self, number: int, after_step: Callable[[EpochRow], object] = lambda _: None) -> EpochRow:
        """Take the steps of an epoch.

        Args:
            number: the epoch, from 1; it selects the training windows.
            after_step: called with the mean loss and accuracy of the epoch so far.

        Returns:
            "loss" and "accuracy", averaged over the windows at the time of their step.

        Raises:
            EdgeharError: the loss is NaN or infinite.
        """
        total = np.zeros(3)
        seen: EpochRow = {}
        if self.fake_quantization is not None:
            settings = self.run.config
            moving = number <= settings.quantize.freeze_ranges * settings.fit.epochs
            self.fake_quantization.move_ranges(moving=moving)
        for windows, truth in self._batches.epoch(number):
            step = self.step(windows, truth)
            self._check_finite(step["loss"], number)
            # Keras resets its metrics at every call.
            total += np.array([step["loss"], step["accuracy"], 1]) * len(windows)
            seen = {"loss": float(total[0] / total[2]), "accuracy": float(total[1] / total[2])}
            after_step(seen)
        return seen

    def _epoch(self, number: int, after_step: Callable[[EpochRow], object]) -> EpochRow:
        seen = self.learn(number, after_step)
        with self._averaged():
            val = self.score(self._val_streams, self._val_truth)
            self._check_finite(val.loss, number)
            row = {"epoch": number, "learning_rate": self._learning_rate(), **seen}
            row |= {"val_loss": val.loss, "val_accuracy": float(val.correct.mean())}
            better = val.loss < self.progress.best_loss
            self.progress.history.append(row)
            if better:
                self.progress.best_epoch, self._best = number, self._weights()
        return row

    def step(self, windows: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> dict[str, float]:
        """Take one step of the optimizer.

        Args:
            windows: float32 `(n, window, height, width, channels)`, or `(n, window, features)` if only the head
                learns from cached features.
            truth: share of each label, float32 `(n, classes)`.

        Returns:
            "loss" and "accuracy" of these windows.
        """
        weight = None if self._label_weights is None else truth @ self._label_weights
        return self._replicas.step(self._networks.fast, windows, truth, weight)

    def streams(self, clips: Sequence[Clip]) -> Sequence[npt.NDArray[Any]]:
        """Return the input of `score` for each clip: int8 frames, or float32 features if only the head learns.

        Raises:
            EdgeharError: a clip cannot be read, or out of memory.
        """
        from edgehar_training.training.accelerators import memory_errors

        if self._features is None:
            return [self.run.stream(clip) for clip in clips]
        with memory_errors(), Progress("computing features", len(clips), unit="clips") as progress:
            self._features.fill(clips, progress.advance)
        return self._features.streams(clips)

    def score(self, streams: Sequence[npt.NDArray[Any]], truth: npt.NDArray[np.intp]) -> Result:
        """Score clips, given as `streams` returns them, with the current weights."""
        network, order, fast = self.run.config.network, self.run.config.frame_order, self._networks.fast
        window, lead_in = network.window, network.lead_in
        if self._features is not None:
            return Result(truth, score_features(fast, streams, window, order=order, lead_in=lead_in))
        return Result(truth, score_streams(fast, self.run.preprocessor, streams, window, order=order, lead_in=lead_in))

    def _check_finite(self, loss: float, epoch: int) -> None:
        if math.isfinite(loss):
            return
        fit, best = self.run.config.fit, self.progress.best_epoch
        kept = f"; {BEST_FILE} holds the network of epoch {best} (continue from it with --init-from)" if best else ""
        raise EdgeharError(
            f"{self.run.path}: the loss is NaN or infinite in epoch {epoch}; lower --learning-rate (now "
            f"{fit.learning_rate:g}) and train again{kept}"
        )

    def _learning_rate(self) -> float:
        import keras

        return float(keras.ops.convert_to_numpy(self._networks.fast.optimizer.learning_rate))

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Use the running mean of the weights, if the settings ask for one."""
        from edgehar_training.training.checkpoint import arrays_of, assign

        if not self.run.config.fit.average_weights:
            yield
            return
        learning = self._networks.fast.trainable_variables
        now = arrays_of(learning)
        self._networks.fast.optimizer.finalize_variable_values(learning)
        # Copies, because on JAX they would share the arrays of the optimizer, which a call of the network consumes.
        assign(learning, arrays_of(learning))
        try:
            yield
        finally:
            assign(learning, now)

    def _leave_best(self) -> None:
        from edgehar_training.training.checkpoint import assign

        assign(self._networks.learning.variables, self._best)
        if self.fake_quantization is not None:
            self.fake_quantization.settle()
        elif self.model is not self._networks.learning:
            assign(self.model.variables, self._best)

    def _weights(self) -> Arrays:
        from edgehar_training.training.checkpoint import arrays_of

        return arrays_of(self._networks.learning.variables)

    def _state(self) -> list[keras.Variable]:
        """Return every variable the next step depends on: weights, dropout state, optimizer state."""
        return [*self._networks.learning.variables, *self._networks.fast.optimizer.variables]

    def _checkpoint(self) -> None:
        from edgehar_training.training.checkpoint import write_checkpoint

        progress = dataclasses.asdict(self.progress)
        write_checkpoint(self.run.path / LAST_FILE, self._state(), self._best, progress)

    def _restore(self) -> None:
        from edgehar_training.training.checkpoint import read_checkpoint

        self._best, progress = read_checkpoint(self.run.path / LAST_FILE, self._state(), self._best)
        self.progress = FinishedEpochs(**progress)


def _check_parts(run: Run, train: Sequence[Clip], val: Sequence[Clip]) -> None:
    if not train or not val:
        raise DatasetError("no clip is left to train or validate on; add clips")
    known = Counter(clip.label for clip in train)
    if unseen := [label for label in run.config.labels if not known[label]]:
        raise DatasetError(
            f"no training clip has the label {', '.join(unseen)}; add clips of more groups, or leave the label out "
            "with --classes"
        )
    if strange := sorted({clip.label for clip in (*train, *val)} - set(run.config.labels)):
        raise DatasetError(f"the clips have labels that are not in the run: {', '.join(strange)}")


def _label_weights(run: Run, train: Sequence[Clip]) -> npt.NDArray[np.float32] | None:
    from edgehar_training.training.optimisation import class_weights

    return class_weights(train, run.config.labels) if run.config.fit.class_weights else None


def save_model(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file atomically."""
    with whole_file(path) as temporary:
        model.save(temporary)
