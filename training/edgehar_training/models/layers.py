"""Layers that several networks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from edgehar_training.settings import NetworkSettings

# Of the colors of ImageNet's training pictures, RGB from 0 to 1.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Of batch normalization that learns from nothing. Few steps are taken on small data sets: at Keras' 0.99 the averages
# would still be those of the first weights.
BATCH_MOMENTUM = 0.9
# Statistics of a feature over the window, in the order of the layer's output.
STATISTICS = ("mean", "peak", "deviation")
# Added to the variance, because the root of a variance that TFLite rounds below 0 is not a number.
_TINY = 1e-6


@keras.saving.register_keras_serializable("edgehar")
class FoldTime(keras.layers.Layer):  # type: ignore[misc]
    """`(batch, time, ...)` to `(batch * time, ...)`.

    With it a network of frames runs over windows: the numbers of Keras' TimeDistributed, and it converts to TFLite.
    """

    def call(self, inputs: Any) -> Any:
        """Fold time into the batch."""
        return keras.ops.reshape(inputs, (-1, *inputs.shape[2:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape after folding."""
        return (None, *input_shape[2:])


@keras.saving.register_keras_serializable("edgehar")
class UnfoldTime(keras.layers.Layer):  # type: ignore[misc]
    """`(batch * time, ...)` to `(batch, time, ...)`."""

    def __init__(self, window: int, **options: Any) -> None:
        super().__init__(**options)
        self.window = window

    def call(self, inputs: Any) -> Any:
        """Unfold time from the batch."""
        return keras.ops.reshape(inputs, (-1, self.window, *inputs.shape[1:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape after unfolding."""
        return (None, self.window, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        """Return the settings to save."""
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable("edgehar")
class LastAxisSlice(keras.layers.Layer):  # type: ignore[misc]
    """`(..., n)` to `(..., stop - start)`: some of the channels of a frame, or of the features of a window.

    Args:
        start: the first one.
        stop: the position after the last.
    """

    def __init__(self, start: int, stop: int, **options: Any) -> None:
        super().__init__(**options)
        self.start, self.stop = start, stop

    def call(self, inputs: Any) -> Any:
        """Slice the last axis."""
        return inputs[..., self.start : self.stop]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the slice."""
        return (*input_shape[:-1], self.stop - self.start)

    def get_config(self) -> dict[str, Any]:
        """Return the settings to save."""
        return {**super().get_config(), "start": self.start, "stop": self.stop}


@keras.saving.register_keras_serializable("edgehar")
class LastStep(keras.layers.Layer):  # type: ignore[misc]
    """`(batch, time, n)` to `(batch, n)`: the last of a window."""

    def call(self, inputs: Any) -> Any:
        """Take it."""
        return inputs[:, -1]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape without time."""
        return (input_shape[0], *input_shape[2:])


@keras.saving.register_keras_serializable("edgehar")
class TimeStatistics(keras.layers.Layer):  # type: ignore[misc]
    """`(batch, time, n)` to `(batch, 3 n)`: means over time, then peaks, then standard deviations."""

    def call(self, inputs: Any) -> Any:
        """Compute them."""
        ops = keras.ops
        mean = ops.mean(inputs, axis=1, keepdims=True)
        variance = ops.mean(ops.square(inputs - mean), axis=1)
        return ops.concatenate([mean[:, 0], ops.max(inputs, axis=1), ops.sqrt(variance + _TINY)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the statistics."""
        size = input_shape[-1]
        return (input_shape[0], None if size is None else len(STATISTICS) * size)


def scaled(frame: Any, settings: NetworkSettings) -> Any:
    """Scale the colors of a frame as the settings say; differences and flow are unchanged.

    Args:
        frame: `(batch, height, width, channels)`, the first three channels RGB from 0 to 1 where the input has colors.
        settings: `scaling`, `mean` and `input` are used.

    Returns:
        The frame itself if no scaling is needed, otherwise the output of a Rescaling layer named "scaling".

    Raises:
        ConfigError: the mean of the training clips is needed, but unknown.
    """
    if settings.scaling == "unit" or not settings.input.startswith("rgb"):
        return frame
    mean, deviation = IMAGENET_MEAN, IMAGENET_DEVIATION
    if settings.scaling == "mean":
        if settings.mean is None:
            raise ConfigError("scaling mean needs the mean color of the training clips, which edgehar-train computes")
        (red, green, blue), deviation = settings.mean, (1.0, 1.0, 1.0)
        mean = (red, green, blue)
    others = settings.channels - len(mean)
    scale = [1 / d for d in deviation] + [1.0] * others
    offset = [-m / d for m, d in zip(mean, deviation, strict=True)] + [0.0] * others
    return keras.layers.Rescaling(scale, offset, name="scaling")(frame)


def whole(encoder: keras.Model, head: keras.Model, name: str) -> keras.Model:
    """Build a network of windows from a network of frames and a network of windows of features.

    Args:
        encoder: `(batch, height, width, channels)` to `(batch, features)`, named "encoder".
        head: `(batch, window, features)` to `(batch, classes)`, named "head".
        name: of the network.

    Returns:
        `(batch, window, height, width, channels)` to `(batch, classes)`, with the layers "fold_time", "encoder",
        "unfold_time" and "head".
    """
    window = head.input_shape[1]
    frames = keras.Input((window, *encoder.input_shape[1:]), name="window")
    features = encoder(FoldTime(name="fold_time")(frames))
    return keras.Model(frames, head(UnfoldTime(window, name="unfold_time")(features)), name=name)
