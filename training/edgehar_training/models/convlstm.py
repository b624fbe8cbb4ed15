"""The ConvLSTM network of the papers (the cell of Shi et al., NeurIPS 2015).

Four convolutional LSTMs read the frames themselves: 44,524 parameters at 64x64 pixels, 20 frames and 4 classes. What is
called its encoder only flattens a frame; the head does everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from edgehar_training.settings import NetworkSettings

FILTERS = (4, 8, 14, 16)
KERNEL = 3


class ConvLstmOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the network."""

    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout between the layers.")] = 0.2
    recurrent_dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout of the state, in every layer.")] = 0.2


OPTIONS = ConvLstmOptions


def check(settings: NetworkSettings, _: ConvLstmOptions) -> None:
    """Check that the network supports the settings.

    Raises:
        ConfigError: it does not.
    """
    if _sides(settings.size)[-1] < 1:
        least = next(size for size in range(settings.size, 1000) if _sides(size)[-1] >= 1)
        raise ConfigError(f"convlstm takes frames of {least} pixels or more, not {settings.size}; change --size")


def build(settings: NetworkSettings, options: ConvLstmOptions, classes: int) -> keras.Model:
    """Build the network."""
    import keras

    from edgehar_training.models.layers import scaled, whole

    frame = keras.Input((settings.size, settings.size, settings.channels), name="frame")
    encoder = keras.Model(frame, keras.layers.Flatten()(scaled(frame, settings)), name="encoder")
    return whole(encoder, _head(settings, options, classes), "convlstm")


def _head(settings: NetworkSettings, options: ConvLstmOptions, classes: int) -> keras.Model:
    import keras

    shape = (settings.size, settings.size, settings.channels)
    features = keras.Input((settings.window, shape[0] * shape[1] * shape[2]), name="features")
    x = keras.layers.Reshape((settings.window, *shape))(features)
    for index, filters in enumerate(FILTERS):
        if index:
            # A separate mask for every frame, as TimeDistributed(Dropout) has.
            x = keras.layers.Dropout(options.dropout)(x)
        x = keras.layers.ConvLSTM2D(
            filters, KERNEL, return_sequences=True, recurrent_dropout=options.recurrent_dropout, activation="tanh"
        )(x)
        x = _pooled(x, settings.window)
    x = keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(x))
    return keras.Model(features, x, name="head")


def _pooled(x: Any, window: int) -> Any:
    """Pool like MaxPooling3D of (1, 2, 2), same: with time folded it is two-dimensional, which TFLite supports."""
    import keras

    from edgehar_training.models.layers import FoldTime, UnfoldTime

    return UnfoldTime(window)(keras.layers.MaxPooling2D(2, padding="same")(FoldTime()(x)))


def _sides(size: int) -> list[int]:
    """Return the side of the maps after each layer: a convolution without padding, and pooling by two, rounded up."""
    sides = []
    for _ in FILTERS:
        size = (size - KERNEL + 2) // 2 if size >= KERNEL else 0
        sides.append(size)
    return sides
