"""Checks of settings that need no clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError
from edgehar_training import models

if TYPE_CHECKING:
    from edgehar_training.runs.run import RunConfig


def check_start(config: RunConfig, *, resume: bool) -> None:
    """Check, without reading clips, that a training can start.

    Raises:
        ConfigError: the settings do not fit each other or the network, or `--init-from` does not exist.
    """
    if config.network.stabilize and config.data.crop == "letterbox":
        raise ConfigError(
            "--stabilize moves the picture, and the borders of --crop letterbox stand still; use --crop stretch"
        )
    from edgehar_training.training.optimisation import check  # imports Keras

    models.check(config.network)
    check(config.fit)
    start = config.fit.init_from
    if start is not None and not resume and not Path(start).exists():
        raise ConfigError(f"--init-from {start}: no such file or folder")
