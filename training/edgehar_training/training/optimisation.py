"""Optimizers, learning rate schedules, losses and class weights."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgehar_training.training.checks import check_optimizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.settings import FitSettings

# Shares of all epochs at which "step" divides the learning rate by ten.
STEPS = (0.6, 0.85)


@keras.saving.register_keras_serializable("edgehar")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The learning rate of every step: a linear rise (Goyal et al., 2017), then constant, cosine or steps.

    It depends only on the step count of the optimizer, so a resumed training continues at the same rate.

    Args:
        kind: "constant"; "cosine", to 0 as half a cosine (Loshchilov and Hutter, 2017); "step", a tenth at each of
            `STEPS` of all steps.
        highest: the learning rate after the rise.
        steps: all steps of the training.
        warmup_steps: steps of the rise; the first one is taken with `highest / warmup_steps`.
    """

    def __init__(self, kind: str, highest: float, steps: int, warmup_steps: int = 0) -> None:
        self.kind, self.highest, self.steps, self.warmup_steps = kind, highest, steps, warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of a step, counted from 0."""
        ops = keras.ops
        step = ops.cast(step, "float32")
        share = ops.ones_like(step)
        if self.kind == "cosine":
            done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
            share = 0.5 * (1 + ops.cos(math.pi * ops.clip(done, 0.0, 1.0)))
        elif self.kind == "step":
            for place in STEPS:
                share = share * ops.where(step < round(place * self.steps), 1.0, 0.1)
        if self.warmup_steps:
            share = ops.where(step < self.warmup_steps, (step + 1) / self.warmup_steps, share)
        return self.highest * share

    def get_config(self) -> dict[str, Any]:
        """Return the settings to save."""
        return {
            "kind": self.kind,
            "highest": self.highest,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
        }


def make_optimizer(fit: FitSettings, variables: Sequence[keras.Variable], steps_per_epoch: int) -> Any:
    """Build the optimizer of a training over the variables that learn.

    Weight decay is decoupled from the gradient (Loshchilov and Hutter, 2019) and leaves biases and the factors and
    shifts of normalisations alone.

    Args:
        fit: settings.
        variables: the variables that learn.
        steps_per_epoch: steps in an epoch.

    Raises:
        ConfigError: the settings do not fit each other.
    """
    check_optimizer(fit)
    schedule: Any = fit.learning_rate
    if fit.schedule != "constant" or fit.warmup_epochs:
        steps, warmup_steps = fit.epochs * steps_per_epoch, fit.warmup_epochs * steps_per_epoch
        schedule = Schedule(fit.schedule, fit.learning_rate, steps, warmup_steps)
    options: dict[str, Any] = {"learning_rate": schedule}
    if fit.average_weights:
        options |= {"use_ema": True, "ema_momentum": fit.average_weights}
    if fit.optimizer == "adam":
        optimizer = keras.optimizers.Adam(**options)
    elif fit.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(weight_decay=fit.weight_decay, **options)
    else:
        optimizer = keras.optimizers.SGD(momentum=fit.momentum, weight_decay=fit.weight_decay or None, **options)
    # Kernels are matrices or more; biases and normalisations are vectors.
    optimizer.exclude_from_weight_decay([variable for variable in variables if len(variable.shape) < 2])
    return optimizer


def make_loss(fit: FitSettings) -> keras.losses.Loss:
    """Return the cross-entropy loss, with label smoothing if asked for (Szegedy et al., 2016)."""
    return keras.losses.CategoricalCrossentropy(label_smoothing=fit.label_smoothing)


def class_weights(clips: Sequence[Clip], labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return weights that make all labels count the same: clips / (labels x clips of the label), `(labels,)`."""
    counts = Counter(clip.label for clip in clips)
    return np.array([len(clips) / (len(labels) * counts[label]) for label in labels], np.float32)
