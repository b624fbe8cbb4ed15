"""An LRCN that looks at two depths and weighs the frames.

The CNN of `lrcn` gives an early map, where things are, and its last one, what they are. An LSTM reads each, their
outputs are put side by side, and attention over time says which frames count (Bahdanau et al., ICLR 2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar_training.models import lrcn

if TYPE_CHECKING:
    import keras

    from edgehar_training.settings import NetworkSettings

# The block that gives the early map, and its pooling to 2x2 pixels.
EARLY, EARLY_POOL, EARLY_FEATURES = 1, 2, 4 * lrcn.FILTERS[1]


class AttentionLrcnOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the network."""

    units: Annotated[int, Meta(ge=1, le=4096, description="Units of each LSTM.")] = 32
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout between the convolutions.")] = 0.25
    attention: Annotated[
        Literal["additive", "dot"],
        Meta(description="Weight of a frame: from the frame alone (additive), or compared with the last frame (dot)."),
    ] = "additive"


OPTIONS = AttentionLrcnOptions


def check(settings: NetworkSettings, _: AttentionLrcnOptions) -> None:
    """Check that the network supports the settings.

    Raises:
        ConfigError: it does not.
    """
    lrcn.check_size(settings)


def build(settings: NetworkSettings, options: AttentionLrcnOptions, classes: int) -> keras.Model:
    """Build the network."""
    import keras

    from edgehar_training.models.layers import scaled, whole

    frame = keras.Input((settings.size, settings.size, settings.channels), name="frame")
    maps = lrcn.blocks(scaled(frame, settings), settings.size, options.dropout)
    early = keras.layers.Flatten(name="early")(keras.layers.MaxPooling2D(EARLY_POOL, name="early_pool")(maps[EARLY]))
    late = keras.layers.Flatten(name="late")(maps[-1])
    encoder = keras.Model(frame, keras.layers.Concatenate(name="depths")([early, late]), name="encoder")
    return whole(encoder, _head(settings.window, options, classes), "attention_lrcn")


def _head(window: int, options: AttentionLrcnOptions, classes: int) -> keras.Model:
    import keras

    from edgehar_training.models.layers import LastAxisSlice
    from edgehar_training.models.temporal import attended

    total = EARLY_FEATURES + lrcn.FILTERS[-1]
    features = keras.Input((window, total), name="features")
    sequences = []
    for name, start, stop in (("early", 0, EARLY_FEATURES), ("late", EARLY_FEATURES, total)):
        part = LastAxisSlice(start, stop, name=f"{name}_features")(features)
        sequences.append(keras.layers.LSTM(options.units, return_sequences=True, name=f"{name}_lstm")(part))
    fused = keras.layers.Concatenate(name="fusion")(sequences)
    x = attended(fused, options.attention, options.units)
    return keras.Model(features, keras.layers.Dense(classes, activation="softmax")(x), name="head")
