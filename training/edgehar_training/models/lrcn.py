"""The LRCN of the papers (Donahue et al., CVPR 2015, in its compact form), folded over time.

A small CNN encodes every frame, an LSTM reads the codes. Time is folded into the batch by a reshape, which gives the
same numbers as Keras' TimeDistributed and converts to TFLite.
"""

from __future__ import annotations

from typing import Any

import keras

FILTERS = (16, 32, 64, 64)
POOLS = {60: (4, 3, 2, 2), 64: (4, 4, 2, 2)}
DROPOUT = 0.25
UNITS = 32


@keras.saving.register_keras_serializable("edgehar")
class FoldTime(keras.layers.Layer):  # type: ignore[misc]
    """`(batch, time, ...)` to `(batch * time, ...)`."""

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


def build(*, window: int, size: int, classes: int) -> keras.Model:
    """The network for a size of `POOLS`: 73,060 parameters at 64x64 and 4 classes."""
    encoder, head = _encoder(size), _head(window, classes)
    frames = keras.Input((window, size, size, 3), name="window")
    features = encoder(FoldTime(name="fold_time")(frames))
    scores = head(UnfoldTime(window, name="unfold_time")(features))
    return keras.Model(frames, scores, name="lrcn")


def _encoder(size: int) -> keras.Model:
    frame = keras.Input((size, size, 3), name="frame")
    x = frame
    for block, (filters, pool) in enumerate(zip(FILTERS, POOLS[size], strict=True)):
        if block:
            x = keras.layers.Dropout(DROPOUT)(x)
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D(pool)(x)
    return keras.Model(frame, keras.layers.Flatten()(x), name="encoder")


def _head(window: int, classes: int) -> keras.Model:
    features = keras.Input((window, FILTERS[-1]), name="features")
    x = keras.layers.LSTM(UNITS)(features)
    return keras.Model(features, keras.layers.Dense(classes, activation="softmax")(x), name="head")
