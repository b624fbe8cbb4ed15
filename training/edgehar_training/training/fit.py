"""Training of one network: batches, epochs, early stopping, and a checkpoint from which it continues exactly."""

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
from edgehar_training.runs.run import BEST_FILE
from edgehar_training.scoring.clips import Result, score_features, score_streams
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
class Progress:
    """How far a training is.

    Attributes:
        history: one row per finished epoch: epoch (from 1), learning_rate (of its last step), loss, accuracy,
            val_loss, val_accuracy.
        best_epoch: the epoch with the least validation loss; 0 before the first.
    """

    history: list[EpochRow] = dataclasses.field(default_factory=list)
    best_epoch: int = 0

    @property
    def best_loss(self) -> float:
        """Least validation loss so far."""
        return self.history[self.best_epoch - 1]["val_loss"] if self.best_epoch else math.inf


class Training:
    """One network and its optimiser, epoch by epoch, on whatever backend Keras has.

    Args:
        run: where to, and with what settings.
        train: clips to learn from.
        val: clips that say when to stop.
        resume: continue after the last finished epoch in the run's folder, if there is one.

    Attributes:
        run: the same.
        progress: how far it is.
        model: the float32 network; it has the best weights once `fit` returned.
        fake_quantization: the same weights as the int8 file will compute with them, where a "qat" stage is trained.

    Raises:
        ConfigError: a setting does not fit the network, or the checkpoint is not of this network.
        DatasetError: a part is empty, or a label has no clip to learn from.
        EdgeharError: memory ran out.
    """

    def __init__(self, run: Run, train: Sequence[Clip], val: Sequence[Clip], *, resume: bool = False) -> None:
        from edgehar_training.training import accelerators

        _check_parts(run, train, val)
        config = run.config
        self.run, self.progress = run, Progress()
        resume = resume and (run.path / LAST_FILE).exists()
        accelerators.seed(config.split.seed, deterministic=config.fit.deterministic)
        self._replicas = accelerators.Replicas()
        self._replicas.check(config.fit)
        with self._replicas.scope():
            self._make_networks(resume)
            self._batches: Batches | FeatureBatches = self._make_batches(train)
            self._compile()
        self._weights_of_labels = _weights_of_labels(run, train)
        self._val_truth = np.array([config.labels.index(clip.label) for clip in val])
        self._best = self._weights()
        if resume:
            self._restore()
        # With the weights that were restored: features are of those.
        if self._features is not None:
            self.streams(train)
        self._val_streams = self.streams(val)

    def _make_networks(self, resume: bool) -> None:
        """The network to be saved, the one whose weights learn, and the one that is run over the same weights."""
        import keras

        from edgehar_training.models import build
        from edgehar_training.models.layer_names import freeze, named_layers
        from edgehar_training.models.stem import with_compiled_stem
        from edgehar_training.training import accelerators
        from edgehar_training.training.transfer import init_from

        config = self.run.config
        self.fake_quantization: FakeQuantization | None = None
        if config.stage != "float":
            self._make_stage()
            return
        self.model = self._learning = build(config.network, len(config.labels))
        if (policy := accelerators.precision(config.fit)) != accelerators.FLOAT32:
            with accelerators.dtype_policy(policy):
                self._learning = build(config.network, len(config.labels))
            accelerators.keep_scores_exact(list(named_layers(self._learning).values()))
        if config.fit.init_from is not None and not resume:
            taken = init_from(self._learning, config.fit.init_from, config.labels)
            log.info("%s: %s", config.fit.init_from, taken)
        if config.fit.freeze:
            frozen = freeze(self._learning, config.fit.freeze)
            log.info("frozen: %s", ", ".join(frozen))
        plain = config.fit.jit or self._learning is not self.model
        # XLA cannot compile the compiled block, and it knows 32 bits only.
        self._fast = self._learning if plain else with_compiled_stem(self._learning)
        if self._fast is self._learning:
            # What is compiled is saved with its optimiser, which nobody needs of a trained network.
            self._fast = keras.Model(self._learning.inputs, self._learning.outputs, name=self._learning.name)

    def _make_stage(self) -> None:
        """The network of a float run, to be trained on in float or with fake quantization over the same weights."""
        from edgehar_training.models.stem import with_compiled_stem
        from edgehar_training.quantize.qat import fake_quantization, start_network

        self.model = self._learning = start_network(self.run)
        if self.run.config.stage == "finetune":
            self._fast = with_compiled_stem(self.model)
            return
        self.fake_quantization = fake_quantization(self.run, self.model)
        # Its variables are those of the float network, and the ranges.
        self._learning = self._fast = self.fake_quantization.model

    def _make_batches(self, train: Sequence[Clip]) -> Batches | FeatureBatches:
        """Windows of frames; or of their features, which are computed once, where only the head learns."""
        import keras

        from edgehar_training.training.features_cache import FeatureBatches, features_of

        self._features = features_of(self.run, self._learning)
        if self._features is None:
            return Batches(self.run, train)
        head = self._learning.get_layer("head")
        # As above: the head itself is saved, so another network over its weights is compiled.
        self._fast = keras.Model(head.inputs, head.outputs, name="head")
        return FeatureBatches(self.run, train, self._features)

    def _compile(self) -> None:
        from edgehar_training.models.layer_names import named_layers
        from edgehar_training.training import accelerators
        from edgehar_training.training.optimisation import make_loss, make_optimizer

        fit, learning = self.run.config.fit, self._fast.trainable_variables
        self._fast.compile(
            optimizer=make_optimizer(fit, learning, self.steps_per_epoch),
            loss=make_loss(fit),
            metrics=["accuracy"],
            jit_compile=accelerators.jit(fit, list(named_layers(self._learning).values())),
        )
        self._fast.optimizer.build(learning)

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or the validation loss has not improved for `patience` epochs."""
        done, config = len(self.progress.history), self.run.config
        return done >= config.fit.epochs or done - self.progress.best_epoch >= config.fit.patience > 0

    def fit(self, after_step: Callable[[EpochRow], object], after_epoch: Callable[[EpochRow], object]) -> None:
        """Train to the end, and leave the best network in the model.

        The checkpoint is written after every epoch, so that an interrupted training continues exactly.

        Args:
            after_step: called with the mean loss and accuracy of the epoch so far.
            after_epoch: called with the finished epoch's row.

        Raises:
            EdgeharError: the loss is no longer a number, or memory ran out. The model has the best weights until then.
        """
        from edgehar_training.training.accelerators import memory_errors

        try:
            while not self.finished:
                with memory_errors():
                    row = self._epoch(len(self.progress.history) + 1, after_step)
                self._checkpoint()
                after_epoch(row)
        finally:
            self._leave_best()

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self._batches)

    def learn(self, number: int, after_step: Callable[[EpochRow], object] = lambda _: None) -> EpochRow:
        """Take the steps of an epoch.

        Args:
            number: the epoch, from 1; it decides which windows are learned from.
            after_step: called with the mean loss and accuracy of the epoch so far.

        Returns:
            "loss" and "accuracy", the means over its windows while they were learned from.

        Raises:
            EdgeharError: the loss is no longer a number.
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
            # Keras forgets the metrics of earlier steps at every call.
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
        """One step of the optimiser.

        Args:
            windows: float32 `(n, window, height, width, channels)`, or `(n, window, features)` where only the head
                learns and features are kept.
            truth: share of each label, float32 `(n, classes)`.

        Returns:
            "loss" and "accuracy" of these windows.
        """
        weight = None if self._weights_of_labels is None else truth @ self._weights_of_labels
        return self._replicas.step(self._fast, windows, truth, weight)

    def streams(self, clips: Sequence[Clip]) -> Sequence[npt.NDArray[Any]]:
        """What `score` takes of each clip: its input, int8, or where only the head learns its features, float32.

        Raises:
            EdgeharError: a clip cannot be read, or memory ran out.
        """
        from tqdm import tqdm

        from edgehar_training.training.accelerators import memory_errors

        if self._features is None:
            return [self.run.stream(clip) for clip in clips]
        with memory_errors(), tqdm(total=len(clips), unit="clip", desc="features", disable=None) as bar:
            self._features.fill(clips, bar.update)
        return self._features.streams(clips)

    def score(self, streams: Sequence[npt.NDArray[Any]], truth: npt.NDArray[np.intp]) -> Result:
        """Scores of the network as it is now, for clips given as `streams` gives them."""
        window, order = self.run.config.network.window, self.run.config.frame_order
        if self._features is not None:
            return Result(truth, score_features(self._fast, streams, window, order=order))
        return Result(truth, score_streams(self._fast, self.run.preprocessor, streams, window, order=order))

    def _check_finite(self, loss: float, epoch: int) -> None:
        if math.isfinite(loss):
            return
        fit, best = self.run.config.fit, self.progress.best_epoch
        kept = f"; {BEST_FILE} keeps the network of epoch {best}, from which --init-from can begin" if best else ""
        raise EdgeharError(
            f"{self.run.path}: the loss is no longer a number in epoch {epoch}; lower --learning-rate (it is "
            f"{fit.learning_rate:g}) and train again{kept}"
        )

    def _learning_rate(self) -> float:
        import keras

        return float(keras.ops.convert_to_numpy(self._fast.optimizer.learning_rate))

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The network with the running mean of its weights, where one is kept."""
        from edgehar_training.training.checkpoint import arrays_of, assign

        if not self.run.config.fit.average_weights:
            yield
            return
        learning = self._fast.trainable_variables
        now = arrays_of(learning)
        self._fast.optimizer.finalize_variable_values(learning)
        # Copies: on JAX they would share the optimiser's own arrays, and a call of the network uses those up.
        assign(learning, arrays_of(learning))
        try:
            yield
        finally:
            assign(learning, now)

    def _leave_best(self) -> None:
        from edgehar_training.training.checkpoint import assign

        assign(self._learning.variables, self._best)
        if self.fake_quantization is not None:
            self.fake_quantization.settle()
        elif self.model is not self._learning:
            assign(self.model.variables, self._best)

    def _weights(self) -> Arrays:
        from edgehar_training.training.checkpoint import arrays_of

        return arrays_of(self._learning.variables)

    def _state(self) -> list[keras.Variable]:
        """Every variable that the next step depends on: weights, state of the dropout, state of the optimiser."""
        return [*self._learning.variables, *self._fast.optimizer.variables]

    def _checkpoint(self) -> None:
        from edgehar_training.training.checkpoint import write_checkpoint

        progress = dataclasses.asdict(self.progress)
        write_checkpoint(self.run.path / LAST_FILE, self._state(), self._best, progress)

    def _restore(self) -> None:
        from edgehar_training.training.checkpoint import read_checkpoint

        self._best, progress = read_checkpoint(self.run.path / LAST_FILE, self._state(), self._best)
        self.progress = Progress(**progress)


def _check_parts(run: Run, train: Sequence[Clip], val: Sequence[Clip]) -> None:
    if not train or not val:
        raise DatasetError("no clip is left to train or validate on; bring more clips")
    known = Counter(clip.label for clip in train)
    if unseen := [label for label in run.config.labels if not known[label]]:
        raise DatasetError(
            f"no training clip has the label {', '.join(unseen)}, so that it cannot be learned; bring clips of more "
            "groups, or leave it out by --classes"
        )
    if strange := sorted({clip.label for clip in (*train, *val)} - set(run.config.labels)):
        raise DatasetError(f"the clips have labels that the run does not know: {', '.join(strange)}")


def _weights_of_labels(run: Run, train: Sequence[Clip]) -> npt.NDArray[np.float32] | None:
    from edgehar_training.training.optimisation import class_weights

    return class_weights(train, run.config.labels) if run.config.fit.class_weights else None


def save_model(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file, whole or not at all."""
    with whole_file(path) as temporary:
        model.save(temporary)
