"""A MobileNetV1 (Howard et al., 2017) that was trained on ImageNet, over motion or colors, and a small recurrent head.

Filters that distinguish textures also distinguish pictures of motion (cross-modality pre-training: Wang et al.,
Temporal Segment Networks, ECCV 2016). The weights come from a quantized TFLite file of the whole network, as Google
Coral publishes them; the last blocks can be omitted. The encoder is frozen, unless it is trained too.

Features may come from several blocks (`taps`): early ones see small movements, late ones whole figures. In place of the
recurrent head, `head=statistics` takes statistics over time and one dense layer (`models/statistics.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from edgehar.errors import BundleError, ConfigError

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

    from edgehar_training.settings import NetworkSettings

    Array = npt.NDArray[np.float32]

NONE = "none"
SMALLEST = 32
STEM_FILTERS = 32
# Filters and stride of every block, for the width 1.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
# The network was trained on pixels from -1 to 1. A difference of this many gray levels becomes 1.
LEVELS = 16.0


class MobileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the network."""

    weights: Annotated[
        str, Meta(min_length=1, description="A quantized .tflite file of MobileNetV1, or none.", examples=["FILE"])
    ] = NONE
    alpha: Annotated[float, Meta(gt=0, le=1, description="Width of the network, equal to that of the file.")] = 0.25
    blocks: Annotated[int, Meta(ge=2, le=13, description="Number of blocks of the CNN, from the first.")] = 11
    pool: Annotated[
        Literal["mean", "mean+max"],
        Meta(description="Pooling of the last map: mean, or mean and maximum."),
    ] = "mean"
    taps: Annotated[
        str,
        Meta(
            description="Blocks that features are taken from, such as 11+13, or the last one.",
            pattern=r"^(last|[1-9]\d?(\+[1-9]\d?)*)$",
        ),
    ] = "last"
    head: Annotated[
        Literal["recurrent", "statistics"],
        Meta(description="A recurrent layer over the window, or mean, peak and deviation over it and a dense layer."),
    ] = "recurrent"
    trainable: Annotated[bool, Meta(description="Train the CNN too.")] = False
    rnn: Annotated[Literal["gru", "lstm"], Meta(description="Recurrent layer.")] = "gru"
    units: Annotated[int, Meta(ge=1, le=1024, description="Units of the recurrent layer.")] = 64
    mean: Annotated[bool, Meta(description="Use the mean of all outputs over time, instead of the last output.")] = True
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout before and after the recurrent layer.")] = 0.5

    @property
    def tapped(self) -> tuple[int, ...]:
        """Blocks that features are taken from, in the order of the features."""
        return (self.blocks,) if self.taps == "last" else tuple(int(number) for number in self.taps.split("+"))


OPTIONS = MobileOptions
TWO_LOOKS = True


def check(settings: NetworkSettings, options: MobileOptions) -> None:
    """Check that the network supports the settings.

    Raises:
        ConfigError: it does not.
    """
    if settings.size < SMALLEST:
        raise ConfigError(f"mobile takes frames of {SMALLEST} pixels or more, not {settings.size}; change --size")
    if settings.input not in ("motion", "rgb"):
        raise ConfigError(f"mobile takes motion or colors, not {settings.input}; use --input motion")
    if max(options.tapped) != options.blocks or len(set(options.tapped)) != len(options.tapped):
        raise ConfigError(
            f"mobile: taps={options.taps} must name different blocks up to the last one, which is {options.blocks}; "
            "change --model-option taps or blocks"
        )
    if options.weights == NONE:
        return
    if not Path(options.weights).is_file():
        raise ConfigError(
            f"mobile: no file {options.weights}; download a mobilenet_v1_{options.alpha:g}_*_quant.tflite "
            "of google-coral/test_data and name it by --model-option weights=FILE"
        )


def build(settings: NetworkSettings, options: MobileOptions, classes: int) -> keras.Model:
    """Build the network."""
    from edgehar_training.models.layers import whole

    encoder = _encoder(settings, options)
    if options.weights != NONE:
        _load(encoder, settings, options)
        encoder.trainable = options.trainable
    features = encoder.output_shape[1]
    if options.head == "statistics":
        from edgehar_training.models.statistics import statistics_head

        return whole(encoder, statistics_head(settings.window, features, classes), "mobile")
    return whole(encoder, _head(settings.window, features, options, classes), "mobile")


def feature_parts(settings: NetworkSettings, options: MobileOptions, *, pools: bool) -> list[int]:
    """The number of features from each tap of each look, or of each pooling of them, in the order of the features."""
    count = 2 if options.pool == "mean+max" else 1
    filters = [_filters(BLOCKS[number - 1][0], options.alpha) for number in options.tapped]
    parts = [size for size in filters for _ in range(count)] if pools else [count * size for size in filters]
    return parts * (2 if settings.two_looks else 1)


def _filters(count: int, alpha: float) -> int:
    return max(8, int(count * alpha))


def _encoder(settings: NetworkSettings, options: MobileOptions) -> keras.Model:
    import keras

    from edgehar_training.models.layers import FoldTime, UnfoldTime, scaled

    frame = keras.Input(settings.shape, name="frame")
    looks = FoldTime(name="fold_looks")(frame) if settings.two_looks else frame
    # ImageNet weights include the scale of their colors.
    x = scaled(looks, settings) if options.weights == NONE else looks
    if options.weights != NONE and settings.input == "rgb":
        x = keras.layers.Rescaling(2.0, -1.0, name="pixels")(x)
    x = keras.layers.Conv2D(_filters(STEM_FILTERS, options.alpha), 3, 2, "same", name="stem")(x)
    x = keras.layers.ReLU(6.0, name="stem_relu")(x)
    outputs: dict[int, Any] = {}
    for index, (count, stride) in enumerate(BLOCKS[: options.blocks], 1):
        x = keras.layers.DepthwiseConv2D(3, stride, "same", name=f"block{index}_depthwise")(x)
        x = keras.layers.ReLU(6.0, name=f"block{index}_depthwise_relu")(x)
        x = keras.layers.Conv2D(_filters(count, options.alpha), 1, name=f"block{index}")(x)
        x = keras.layers.ReLU(6.0, name=f"block{index}_relu")(x)
        outputs[index] = x
    features = [pooled for number in options.tapped for pooled in _pooled(outputs[number], number, options)]
    x = features[0] if len(features) == 1 else keras.layers.Concatenate(name="mean_and_peak")(features)
    if settings.two_looks:
        x = keras.layers.Flatten(name="features")(UnfoldTime(2, name="unfold_looks")(x))
    return keras.Model(frame, x, name="encoder")


def _pooled(maps: Any, number: int, options: MobileOptions) -> list[Any]:
    """The statistics that are kept of the maps of a block."""
    import keras

    suffix = "" if number == options.blocks else f"_{number}"
    features = [keras.layers.GlobalAveragePooling2D(name=f"pool{suffix}")(maps)]
    if options.pool == "mean+max":
        features.append(keras.layers.GlobalMaxPooling2D(name=f"peak{suffix}")(maps))
    return features


def _head(window: int, features: int, options: MobileOptions, classes: int) -> keras.Model:
    import keras

    from edgehar_training.models.layers import BATCH_MOMENTUM

    inputs = keras.Input((window, features), name="features")
    layer = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[options.rnn]
    x: Any = keras.layers.BatchNormalization(momentum=BATCH_MOMENTUM, name="features_bn")(inputs)
    x = keras.layers.Dropout(options.dropout, name="features_dropout")(x)
    x = layer(options.units, return_sequences=options.mean, name=options.rnn)(x)
    if options.mean:
        x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    x = keras.layers.Dropout(options.dropout, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="scores")(x), name="head")


def _load(encoder: keras.Model, settings: NetworkSettings, options: MobileOptions) -> None:
    """Give the convolutions the weights of the file.

    Raises:
        ConfigError: the file holds no MobileNetV1 of this width.
    """
    from edgehar_training.models.tflite_weights import convolutions

    layers = [layer for layer in encoder.layers if layer.weights]
    try:
        found = convolutions(Path(options.weights).read_bytes(), options.weights)
    except (OSError, BundleError, ValueError) as error:
        raise ConfigError(f"{options.weights}: cannot be read as a TFLite file ({error})") from error
    for layer, (kernel, bias) in zip(layers, found, strict=False):
        if layer is layers[0] and settings.input == "motion":
            kernel = _of_motion(kernel)
        if layer.kernel.shape != kernel.shape:
            raise ConfigError(
                f"{options.weights}: holds no MobileNetV1 of width {options.alpha:g} ({layer.name} has weights "
                f"{tuple(layer.kernel.shape)}, the file {kernel.shape}); change --model-option alpha"
            )
        layer.set_weights([kernel, bias])
    if len(found) < len(layers):
        raise ConfigError(f"{options.weights}: holds {len(found)} convolutions, {len(layers)} are needed")


def _of_motion(kernel: Array) -> Array:
    """Adapt the first kernel to the motion input of the device instead of colors from -1 to 1.

    It is to see three pictures of motion: d1 = g(t) - g(t-1), 3/4 of d2 = g(t) - g(t-2), and g(t-1) - g(t-2) = d2 - d1.
    The device gives d1, d2 and |d1| (`edgehar.model.manifest.Input`), of 255 levels; the third is not looked at.

    Args:
        kernel: float32 `(3, 3, 3, filters)`.
    """
    first, second, third = (kernel[:, :, channel] for channel in range(3))
    of_motion = np.stack([first - third, 0.75 * second + third, np.zeros_like(first)], axis=2)
    return (of_motion * (255 / LEVELS)).astype(np.float32)
