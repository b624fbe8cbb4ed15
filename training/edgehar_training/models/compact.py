"""Our networks for devices: a CNN of depthwise-separable convolutions, and a small recurrent head.

The CNN is made of inverted residuals (MobileNetV2: Sandler et al., CVPR 2018) after a first convolution of stride 2;
every operation has a fast int8 kernel. The largest one has fewer than 0.5 M parameters and takes fewer than 20 million
multiply-accumulates a frame, at its largest size (`docs/networks.md` has all of them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import keras

    from edgehar_training.settings import NetworkSettings

SIZES = range(48, 129, 16)
WIDTHS = {"s": 0.5, "m": 0.75, "l": 1.0}
STEM_FILTERS = 24
# Expansion, filters and stride of every block, for the width 1.
BLOCKS = ((1, 32, 2), (3, 48, 2), (3, 48, 1), (3, 64, 2), (3, 64, 1), (3, 96, 2), (3, 96, 1))


class CompactOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the network."""

    variant: Annotated[Literal["s", "m", "l"], Meta(description="Width of the CNN: 0.5, 0.75 or 1.")] = "m"
    rnn: Annotated[Literal["gru", "lstm"], Meta(description="Recurrent layer.")] = "gru"
    units: Annotated[int, Meta(ge=1, le=128, description="Units of the recurrent layer.")] = 64
    attention: Annotated[bool, Meta(description="Attention over all outputs, instead of the last output.")] = False
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout before and after the recurrent layer.")] = 0.2


OPTIONS = CompactOptions


def check(settings: NetworkSettings, _: CompactOptions) -> None:
    """Check that the network supports the settings.

    Raises:
        ConfigError: it does not.
    """
    if settings.size not in SIZES:
        raise ConfigError(
            f"compact takes frames of {', '.join(map(str, SIZES))} pixels, not {settings.size}; change --size"
        )


def build(settings: NetworkSettings, options: CompactOptions, classes: int) -> keras.Model:
    """Build the network."""
    from edgehar_training.models.layers import whole

    encoder = _encoder(settings, WIDTHS[options.variant])
    return whole(encoder, _head(settings.window, encoder.output_shape[1], options, classes), "compact")


def _encoder(settings: NetworkSettings, width: float) -> keras.Model:
    import keras

    from edgehar_training.models.layers import scaled

    frame = keras.Input((settings.size, settings.size, settings.channels), name="frame")
    x = scaled(frame, settings)
    x = keras.layers.Conv2D(_filters(STEM_FILTERS, width), 3, 2, "same", use_bias=False, name="stem")(x)
    x = _normalised(x, "stem")
    for index, (expansion, filters, stride) in enumerate(BLOCKS):
        x = _block(x, expansion, _filters(filters, width), stride, f"block{index}")
    return keras.Model(frame, keras.layers.GlobalAveragePooling2D(name="pool")(x), name="encoder")


def _block(x: Any, expansion: int, filters: int, stride: int, name: str) -> Any:
    """Add an inverted residual: widen, convolve each channel, narrow linearly, add the input if shapes match."""
    import keras

    before = x
    if expansion > 1:
        x = keras.layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand")(x)
        x = _normalised(x, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _normalised(x, f"{name}_depthwise")
    x = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(x)
    x = _normalised(x, f"{name}_project", activation=False)
    return keras.layers.Add(name=f"{name}_add")([before, x]) if before.shape == x.shape else x


def _normalised(x: Any, name: str, *, activation: bool = True) -> Any:
    import keras

    from edgehar_training.models.layers import BATCH_MOMENTUM

    x = keras.layers.BatchNormalization(momentum=BATCH_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if activation else x


def _filters(filters: int, width: float) -> int:
    """Return the nearest multiple of 8, which int8 kernels prefer."""
    return max(8, round(filters * width / 8) * 8)


def _head(window: int, features: int, options: CompactOptions, classes: int) -> keras.Model:
    import keras

    from edgehar_training.models.temporal import attended

    inputs = keras.Input((window, features), name="features")
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[options.rnn]
    x = layer(options.units, return_sequences=options.attention, name=options.rnn)(
        keras.layers.Dropout(options.dropout)(inputs)
    )
    if options.attention:
        x = attended(x, "additive", options.units)
    x = keras.layers.Dropout(options.dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x), name="head")
