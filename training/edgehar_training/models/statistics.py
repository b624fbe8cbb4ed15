"""A head without recurrence: mean, peak and deviation of every feature over the window, and one dense layer.

What it computes is linear in those statistics, so that its weights have a closed form (`training/closed_form.py`): few
examples cannot lead it astray as they do a recurrent layer.
"""

from __future__ import annotations

import keras

from edgehar_training.models.layers import TimeStatistics


def statistics_head(window: int, features: int, classes: int) -> keras.Model:
    """Return the head: float32 `(batch, window, features)` to scores `(batch, classes)`.

    Its layers are "statistics" and "scores", a dense layer with softmax.
    """
    inputs = keras.Input((window, features), name="features")
    x = TimeStatistics(name="statistics")(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="scores")(x), name="head")
