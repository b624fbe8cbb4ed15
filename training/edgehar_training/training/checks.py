"""Checks of settings that need neither clips nor Keras, so that a mistake is reported at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError
from edgehar_training import models

if TYPE_CHECKING:
    from edgehar_training.runs.run import RunConfig
    from edgehar_training.settings import FitSettings


def check_start(config: RunConfig, *, resume: bool) -> None:
    """Check, without reading clips, that a training can start.

    Raises:
        ConfigError: the settings do not fit each other or the network, or `--init-from` does not exist.
    """
    if config.network.stabilize and config.data.crop == "letterbox":
        raise ConfigError(
            "--stabilize moves the picture, and the borders of --crop letterbox stand still; use --crop stretch"
        )
    models.check(config.network)
    check_optimizer(config.fit)
    start = config.fit.init_from
    if start is not None and not resume and not Path(start).exists():
        raise ConfigError(f"--init-from {start}: no such file or folder")


def check_optimizer(fit: FitSettings) -> None:
    """Check that the settings of the optimizer fit each other.

    Raises:
        ConfigError: they do not.
    """
    if fit.weight_decay and fit.optimizer == "adam":
        raise ConfigError("--weight-decay works with adamw and sgd, not with adam; add --optimizer adamw")
    if fit.warmup_epochs and fit.warmup_epochs >= fit.epochs:
        raise ConfigError(f"--warmup-epochs {fit.warmup_epochs} is not below --epochs {fit.epochs}; lower it")
