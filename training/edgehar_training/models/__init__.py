"""Networks by name. Every one has a layer "encoder" (one frame to features) and a layer "head" (features to scores)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import keras

_HOMES = {"lrcn": "edgehar_training.models.lrcn"}
NAMES = tuple(_HOMES)

__all__ = ["NAMES", "build"]


def build(name: str, *, window: int, size: int, classes: int) -> keras.Model:
    """A fresh network.

    Args:
        name: one of `NAMES`.
        window: frames in a window.
        size: side of the square frame, in pixels.
        classes: number of actions.

    Returns:
        A model of float32 `(batch, window, size, size, 3)` to float32 `(batch, classes)`, softmax scores.

    Raises:
        ConfigError: no such network, or not of this size.
    """
    if name not in _HOMES:
        raise ConfigError(f"no model {name!r}; there are {', '.join(NAMES)}")
    model: keras.Model = importlib.import_module(_HOMES[name]).build(window=window, size=size, classes=classes)
    return model
