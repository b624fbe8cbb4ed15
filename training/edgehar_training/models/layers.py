"""Layers that several networks share."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("edgehar")
class FoldTime(keras.layers.Layer):  # type: ignore[misc]
    """`(batch, time, ...)` to `(batch * time, ...)`.

    With it a network of frames runs over windows: the numbers of Keras' TimeDistributed, and it converts to TFLite.
    """

    def call(self, inputs: Any) -> Any:
        """Fold."""
        return keras.ops.reshape(inputs, (-1, *inputs.shape[2:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape after folding."""
        return (None, *input_shape[2:])


@keras.saving.register_keras_serializable("edgehar")
class UnfoldTime(keras.layers.Layer):  # type: ignore[misc]
    """`(batch * time, ...)` to `(batch, time, ...)`."""

    def __init__(self, window: int, **options: Any) -> None:
        super().__init__(**options)
        self.window = window

    def call(self, inputs: Any) -> Any:
        """Unfold."""
        return keras.ops.reshape(inputs, (-1, self.window, *inputs.shape[1:]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape after unfolding."""
        return (None, self.window, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        """What to save."""
        return {**super().get_config(), "window": self.window}


def whole(encoder: keras.Model, head: keras.Model, name: str) -> keras.Model:
    """A network of windows, made of a network of frames and one of windows of its features.

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
