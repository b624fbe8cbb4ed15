"""The LRCN of the papers (Donahue et al., CVPR 2015, in its compact form).

A small CNN encodes every frame, an LSTM reads the codes: 73,060 parameters at 64x64 pixels and 4 classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from edgehar_training.settings import NetworkSettings

FILTERS = (16, 32, 64, 64)
POOLS = {60: (4, 3, 2, 2), 64: (4, 4, 2, 2), 80: (4, 4, 2, 2)}


class LrcnOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the network."""

    units: Annotated[int, Meta(ge=1, le=4096, description="Units of the LSTM.")] = 32
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout between the convolutions.")] = 0.25
    stride: Annotated[
        Literal[1, 2],
        Meta(description="Stride of the first convolution; with 2, the pooling after it is half as large."),
    ] = 1


OPTIONS = LrcnOptions


def check(settings: NetworkSettings, _: LrcnOptions) -> None:
    """Check that the network supports the settings.

    Raises:
        ConfigError: it does not.
    """
    check_size(settings)


def check_size(settings: NetworkSettings) -> None:
    """Make sure that the four blocks end at one pixel.

    Raises:
        ConfigError: they do not.
    """
    if settings.size not in POOLS:
        *rest, largest = map(str, POOLS)
        sizes = f"{', '.join(rest)} or {largest}"
        raise ConfigError(f"{settings.model} takes frames of {sizes} pixels, not {settings.size}; change --size")


def build(settings: NetworkSettings, options: LrcnOptions, classes: int) -> keras.Model:
    """Build the network."""
    import keras

    from edgehar_training.models.layers import scaled, whole

    frame = keras.Input((settings.size, settings.size, settings.channels), name="frame")
    last = blocks(scaled(frame, settings), settings.size, options.dropout, stride=options.stride)[-1]
    encoder = keras.Model(frame, keras.layers.Flatten()(last), name="encoder")
    return whole(encoder, _head(settings.window, options.units, classes), "lrcn")


def blocks(frame: Any, size: int, dropout: float, prefix: str = "", stride: int = 1) -> list[Any]:
    """Return the outputs of the four blocks of convolution, ReLU and max pooling; the last one is a single pixel.

    Args:
        frame: `(batch, size, size, channels)`.
        size: 60, 64 or 80 pixels.
        dropout: between the blocks.
        prefix: of the names of layers; without it they are named by Keras.
        stride: stride of the first convolution, 1 or 2; the following pooling compensates.
    """
    import keras

    def named(kind: str, block: int) -> str | None:
        return f"{prefix}{kind}_{block}" if prefix else None

    x, outputs = frame, []
    first, *others = POOLS[size]
    for block, (filters, pool) in enumerate(zip(FILTERS, (first // stride, *others), strict=True)):
        if block:
            x = keras.layers.Dropout(dropout, name=named("dropout", block))(x)
        step = 1 if block else stride
        x = keras.layers.Conv2D(filters, 3, step, "same", activation="relu", name=named("conv", block))(x)
        x = keras.layers.MaxPooling2D(pool, name=named("pool", block))(x)
        outputs.append(x)
    return outputs


def _head(window: int, units: int, classes: int) -> keras.Model:
    import keras

    features = keras.Input((window, FILTERS[-1]), name="features")
    x = keras.layers.LSTM(units)(features)
    return keras.Model(features, keras.layers.Dense(classes, activation="softmax")(x), name="head")
