"""A CNN that was trained on ImageNet, and a recurrent network over its features of every frame.

The CNN stays as it is (its features are then computed once and kept) or learns too. With InceptionV3 and an LSTM of
2048 units it is the network of the video classification recipes; the idea is LRCN's (Donahue et al., CVPR 2015).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError
from edgehar_training.models.backbones import BACKBONES, IMAGENET, NONE, backbone, weights_file, weights_url

if TYPE_CHECKING:
    import keras

    from edgehar_training.settings import NetworkSettings

log = logging.getLogger(__name__)


class CnnRnnOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the network."""

    backbone: Annotated[
        Literal[
            "inception_v3",
            "resnet50",
            "vgg16",
            "mobilenet_v2",
            "mobilenet_v3_small",
            "mobilenet_v3_large",
            "efficientnet_b0",
        ],
        Meta(description="The CNN."),
    ] = "mobilenet_v2"
    weights: Annotated[
        str,
        Meta(min_length=1, description="Weights of the CNN: imagenet (downloaded by Keras), none, or a file."),
    ] = IMAGENET
    alpha: Annotated[float, Meta(gt=0, le=2, description="Width of a MobileNet.")] = 1.0
    pooling: Annotated[Literal["avg", "max"], Meta(description="Pooling of the last map of the CNN.")] = "avg"
    trainable: Annotated[bool, Meta(description="Train the CNN too.")] = False
    rnn: Annotated[
        Literal["lstm", "gru", "simple", "none"],
        Meta(description="Recurrent layer; none concatenates the features of all frames."),
    ] = "lstm"
    units: Annotated[int, Meta(ge=1, le=4096, description="Units of each recurrent layer.")] = 256
    layers: Annotated[int, Meta(ge=1, le=8, description="Number of recurrent layers.")] = 1
    bidirectional: Annotated[bool, Meta(description="Read the window in both directions.")] = False
    activation: Annotated[Literal["tanh", "relu"], Meta(description="Activation of the recurrent layer simple.")] = (
        "tanh"
    )
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Dropout of features and before the last layer.")] = 0.5
    dense: Annotated[
        int, Meta(ge=0, le=8192, description="Units of dense layers before the last one; 0 for no dense layers.")
    ] = 0
    dense_layers: Annotated[int, Meta(ge=1, le=8, description="Number of dense layers before the last one.")] = 1


OPTIONS = CnnRnnOptions


def check(settings: NetworkSettings, options: CnnRnnOptions) -> None:
    """Check that the network supports the settings.

    Raises:
        ConfigError: it does not.
    """
    kind, named = BACKBONES[options.backbone], options.backbone
    if settings.size < kind.smallest:
        raise ConfigError(
            f"cnn_rnn with {named} takes frames of {kind.smallest} pixels or more, not {settings.size}; change --size"
        )
    if options.alpha != 1 and len(kind.alphas) == 1:
        raise ConfigError(f"cnn_rnn: {named} has one width only; leave the option alpha out")
    if options.activation != "tanh" and options.rnn != "simple":
        raise ConfigError(f"cnn_rnn: activation {options.activation} is for rnn=simple, not for rnn={options.rnn}")
    if options.weights != NONE:
        _check_weights(settings, options)


def _check_weights(settings: NetworkSettings, options: CnnRnnOptions) -> None:
    if settings.input != "rgb":
        raise ConfigError(
            f"cnn_rnn with weights takes colors, not {settings.input}; use --input rgb, or --model-option weights=none"
        )
    if settings.scaling == "mean":
        raise ConfigError("cnn_rnn with weights scales colors itself; omit --scaling")
    if options.weights == IMAGENET:
        alphas = BACKBONES[options.backbone].alphas
        if options.alpha not in alphas:
            widths = ", ".join(f"{alpha:g}" for alpha in alphas)
            raise ConfigError(f"cnn_rnn: of {options.backbone} there are ImageNet weights for the alphas {widths}")
    elif not Path(options.weights).is_file():
        raise ConfigError(
            f"cnn_rnn: no weights file {options.weights}; download "
            f"{weights_url(options.backbone, settings.size, options.alpha)}, and name it by --model-option weights=FILE"
        )


def prepare(settings: NetworkSettings, options: CnnRnnOptions) -> None:
    """Download the weights if they are missing.

    Raises:
        ConfigError: they cannot be fetched.
    """
    weights_file(options.backbone, settings.size, options.alpha, options.weights)


def build(settings: NetworkSettings, options: CnnRnnOptions, classes: int) -> keras.Model:
    """Build the network."""
    import keras

    from edgehar_training.models.layers import scaled, whole

    weights = weights_file(options.backbone, settings.size, options.alpha, options.weights)
    frame = keras.Input((settings.size, settings.size, settings.channels), name="frame")
    pixels = scaled(frame, settings) if weights is None else frame
    encoder = backbone(pixels, options.backbone, options.alpha, options.pooling, weights)
    if not options.trainable:
        if weights is None:
            log.warning("warning: the CNN has no weights and does not learn; add --model-option trainable=true")
        encoder.trainable = False
    return whole(encoder, _head(settings.window, encoder.output_shape[1], options, classes), "cnn_rnn")


def _head(window: int, features: int, options: CnnRnnOptions, classes: int) -> keras.Model:
    import keras

    from edgehar_training.models.temporal import recurrent

    inputs = keras.Input((window, features), name="features")
    # Drops the same features in all frames, as the dropout of a Keras LSTM does.
    x: Any = keras.layers.Dropout(options.dropout, noise_shape=(None, 1, features), name="features_dropout")(inputs)
    if options.rnn == "none":
        x = keras.layers.Flatten(name="side_by_side")(x)
    else:
        x = recurrent(x, options.rnn, options.units, options.layers, options.bidirectional, options.activation)
    for index in range(options.dense_layers if options.dense else 0):
        x = keras.layers.Dense(options.dense, activation="relu", name=f"dense_{index}")(x)
        x = keras.layers.Dropout(options.dropout, name=f"dense_dropout_{index}")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="scores")(x), name="head")
