"""Two CNNs, one of colors and one of optical flow (Simonyan and Zisserman, NeurIPS 2014), with LSTMs over time.

fusion=features puts the features of both side by side for one LSTM; fusion=scores is the paper's late fusion, the mean
of the scores of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError
from edgehar_training.models import lrcn

if TYPE_CHECKING:
    import keras

    from edgehar_training.settings import NetworkSettings

# Channels of a frame: colors first, then flow.
STREAMS = {"rgb": (0, 3), "flow": (3, 5)}


class TwoStreamOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the network."""

    fusion: Annotated[
        Literal["features", "scores"],
        Meta(description="Where the streams join: features (one LSTM) or scores (one LSTM each)."),
    ] = "features"
    units: Annotated[int, Meta(ge=1, le=4096, description="Units of each LSTM.")] = 64
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout between the convolutions.")] = 0.25


OPTIONS = TwoStreamOptions


def check(settings: NetworkSettings, _: TwoStreamOptions) -> None:
    """Check that the network supports the settings.

    Raises:
        ConfigError: it does not.
    """
    if settings.input != "rgb+flow":
        raise ConfigError(f"two_stream takes colors and flow, not {settings.input}; use --input rgb+flow")
    lrcn.check_size(settings)


def build(settings: NetworkSettings, options: TwoStreamOptions, classes: int) -> keras.Model:
    """Build the network."""
    import keras

    from edgehar_training.models.layers import LastAxisSlice, scaled, whole

    frame = keras.Input((settings.size, settings.size, settings.channels), name="frame")
    pixels, features = scaled(frame, settings), []
    for name, (start, stop) in STREAMS.items():
        x = LastAxisSlice(start, stop, name=f"{name}_channels")(pixels)
        x = lrcn.blocks(x, settings.size, options.dropout, prefix=f"{name}_")[-1]
        features.append(keras.layers.Flatten(name=f"{name}_features")(x))
    encoder = keras.Model(frame, keras.layers.Concatenate(name="streams")(features), name="encoder")
    return whole(encoder, _head(settings.window, options, classes), "two_stream")


def _head(window: int, options: TwoStreamOptions, classes: int) -> keras.Model:
    import keras

    from edgehar_training.models.layers import LastAxisSlice

    each = lrcn.FILTERS[-1]
    features = keras.Input((window, len(STREAMS) * each), name="features")

    def scores(x: Any, name: str) -> Any:
        x = keras.layers.LSTM(options.units, name=f"{name}_lstm")(x)
        return keras.layers.Dense(classes, activation="softmax", name=f"{name}_scores")(x)

    if options.fusion == "features":
        return keras.Model(features, scores(features, "fused"), name="head")
    parts = [LastAxisSlice(i * each, (i + 1) * each, name=f"{name}_slice")(features) for i, name in enumerate(STREAMS)]
    both = [scores(part, name) for part, name in zip(parts, STREAMS, strict=True)]
    return keras.Model(features, keras.layers.Average(name="scores")(both), name="head")
