"""The networks of one training: they share their weights, and each has its own use."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import keras

from edgehar_training.models import build
from edgehar_training.models.layer_names import freeze, named_layers
from edgehar_training.models.stem import with_compiled_stem
from edgehar_training.quantize.qat import fake_quantization, start_network
from edgehar_training.training import accelerators
from edgehar_training.training.optimisation import make_loss, make_optimizer
from edgehar_training.training.transfer import init_from

if TYPE_CHECKING:
    from edgehar_training.quantize.fake_quant import FakeQuantization
    from edgehar_training.runs.run import Run
    from edgehar_training.settings import FitSettings

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of one training.

    Attributes:
        saved: the float32 network that is saved.
        learning: the network whose variables learn: `saved`, or the same layers in mixed precision, or with fake
            quantization.
        fast: the network that takes the steps, over the variables of `learning`.
        fake_quantization: the fake quantization of a QAT stage; None otherwise.
    """

    saved: keras.Model
    learning: keras.Model
    fast: keras.Model
    fake_quantization: FakeQuantization | None = None

    def of_head(self) -> Networks:
        """Return the same networks with only the head in `fast`, for windows of features."""
        # A network of its own, because the head itself is saved, and a compiled network is saved with its optimizer.
        head = self.learning.get_layer("head")
        return dataclasses.replace(self, fast=keras.Model(head.inputs, head.outputs, name="head"))

    def compile(self, fit: FitSettings, steps_per_epoch: int) -> None:
        """Compile `fast` with the optimizer and loss of the settings."""
        variables = self.fast.trainable_variables
        self.fast.compile(
            optimizer=make_optimizer(fit, variables, steps_per_epoch),
            loss=make_loss(fit),
            metrics=["accuracy"],
            jit_compile=accelerators.jit(fit, list(named_layers(self.learning).values())),
        )
        self.fast.optimizer.build(variables)


def make_networks(run: Run, *, resume: bool) -> Networks:
    """Build the networks of a run, with the weights to start from.

    Args:
        run: settings, and the folder of the float run if this is a stage of it.
        resume: the weights will be restored, so `--init-from` is not read.

    Raises:
        ConfigError: a setting does not fit the network.
        DatasetError: the float run of a stage does not exist.
    """
    if run.config.stage != "float":
        return _stage_networks(run)
    config = run.config
    saved = learning = build(config.network, len(config.labels))
    if (policy := accelerators.precision(config.fit)) != accelerators.FLOAT32:
        with accelerators.dtype_policy(policy):
            learning = build(config.network, len(config.labels))
        accelerators.keep_scores_exact(list(named_layers(learning).values()))
    if config.fit.init_from is not None and not resume:
        taken = init_from(learning, config.fit.init_from, config.labels)
        log.info("%s: %s", config.fit.init_from, taken)
    if config.fit.freeze:
        frozen = freeze(learning, config.fit.freeze)
        log.info("frozen: %s", ", ".join(frozen))
    # XLA cannot compile the C stem, and the stem computes in 32 bits only.
    plain = config.fit.jit or learning is not saved
    fast = learning if plain else with_compiled_stem(learning)
    if fast is learning:
        # A compiled network is saved with its optimizer, which a trained network does not need.
        fast = keras.Model(learning.inputs, learning.outputs, name=learning.name)
    return Networks(saved, learning, fast)


def _stage_networks(run: Run) -> Networks:
    """Return the networks of a stage: a float run fine-tuned in float, or with fake quantization over its weights."""
    saved = start_network(run)
    if run.config.stage == "finetune":
        return Networks(saved, saved, with_compiled_stem(saved))
    quantized = fake_quantization(run, saved)
    # Its variables are those of the float network, and the ranges.
    return Networks(saved, quantized.model, quantized.model, quantized)
