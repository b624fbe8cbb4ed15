"""A head without recurrence: mean, peak and deviation of every feature over the window, and one dense layer.

What it computes is linear in those statistics, so that its weights have a closed form (`training/closed_form.py`): few
examples cannot lead it astray as they do a recurrent layer.
"""

from __future__ import annotations

from typing import Any

import keras

# Statistics of a feature over the window, in the order of the layer's output.
STATISTICS = ("mean", "peak", "deviation")
# Added to the variance: TFLite has no gradient to lose, but a root of a rounded variance under 0 is no number.
_TINY = 1e-6


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


def statistics_head(window: int, features: int, classes: int) -> keras.Model:
    """Return the head: float32 `(batch, window, features)` to scores `(batch, classes)`.

    Its layers are "statistics" and "scores", a dense layer with softmax.
    """
    inputs = keras.Input((window, features), name="features")
    x = TimeStatistics(name="statistics")(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="scores")(x), name="head")
