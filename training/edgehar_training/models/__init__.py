"""Networks by name. Every one has a layer "encoder" (one frame to features) and a layer "head" (features to scores)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import keras

_HOMES = {"lrcn": "edgehar_training.models.lrcn"}
SIZES = {"lrcn": (60, 64)}
NAMES = tuple(_HOMES)

__all__ = ["NAMES", "SIZES", "build", "check"]


def check(name: str, size: int) -> None:
    """Make sure that there is such a network and that it takes frames of `size` pixels; imports nothing heavy.

    Raises:
        ConfigError: there is not, or it does not.
    """
    if name not in _HOMES:
        raise ConfigError(f"no model {name!r}; there are {', '.join(NAMES)}")
    if size not in SIZES[name]:
        sizes = " or ".join(map(str, SIZES[name]))
        raise ConfigError(f"{name} takes frames of {sizes} pixels, not {size}; change --size")


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
    check(name, size)
    model: keras.Model = importlib.import_module(_HOMES[name]).build(window=window, size=size, classes=classes)
    return model
