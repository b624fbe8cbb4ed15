"""CNNs that were trained on ImageNet, from `keras.applications`, as encoders of RGB frames from 0 to 1.

Each starts with a Rescaling layer for its own input range. VGG16 and ResNet50 were trained on
blue first: the kernels of their first convolution are reversed, so that they take red first like the others.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

_PLACE = "https://storage.googleapis.com/tensorflow/keras-applications/"
FETCH_TIMEOUT_S = 30
NONE, IMAGENET = "none", "imagenet"


@dataclasses.dataclass(frozen=True)
class Backbone:
    """One of the CNNs.

    Attributes:
        function: its name in `keras.applications`.
        smallest: least side of a frame in pixels.
        url: of the weights without the last layer; `{alpha}` and `{size}` are filled in.
        scale: of pixels from 0 to 1, before it.
        offset: then added, one for all colors or one for each.
        blue_first: whether its weights take BGR.
        alphas: widths that there are weights for.
        options: more for the function.
    """

    function: str
    smallest: int
    url: str
    scale: float
    offset: float | tuple[float, float, float]
    blue_first: bool = False
    alphas: tuple[float, ...] = (1.0,)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


# Means of ImageNet's colors as Caffe's networks have them, red first, of 255.
_CAFFE = (-123.68, -116.779, -103.939)
_V3 = _PLACE + "mobilenet_v3/weights_mobilenet_v3_{kind}_224_{{alpha}}_float_no_top_v2.h5"
_KERNELS = "weights_tf_dim_ordering_tf_kernels"
BACKBONES = {
    "inception_v3": Backbone("InceptionV3", 75, f"{_PLACE}inception_v3/inception_v3_{_KERNELS}_notop.h5", 2.0, -1.0),
    "resnet50": Backbone("ResNet50", 32, f"{_PLACE}resnet/resnet50_{_KERNELS}_notop.h5", 255.0, _CAFFE, True),
    "vgg16": Backbone("VGG16", 32, f"{_PLACE}vgg16/vgg16_{_KERNELS}_notop.h5", 255.0, _CAFFE, True),
    "mobilenet_v2": Backbone(
        "MobileNetV2",
        32,
        f"{_PLACE}mobilenet_v2/mobilenet_v2_{_KERNELS}_{{alpha}}_{{size}}_no_top.h5",
        2.0,
        -1.0,
        alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    ),
    "mobilenet_v3_small": Backbone(
        "MobileNetV3Small",
        32,
        _V3.format(kind="small"),
        2.0,
        -1.0,
        alphas=(0.75, 1.0),
        options={"include_preprocessing": False},
    ),
    "mobilenet_v3_large": Backbone(
        "MobileNetV3Large",
        32,
        _V3.format(kind="large"),
        2.0,
        -1.0,
        alphas=(0.75, 1.0),
        options={"include_preprocessing": False},
    ),
    # It has its own scaling, from pixels up to 255.
    "efficientnet_b0": Backbone(
        "EfficientNetB0", 32, "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5", 255.0, 0.0
    ),
}
# Sizes that MobileNetV2 was trained at; other sizes use the largest.
_SIZES = (96, 128, 160, 192, 224)


def weights_url(name: str, size: int, alpha: float) -> str:
    """Return where Keras keeps the ImageNet weights of a backbone."""
    return BACKBONES[name].url.format(alpha=float(alpha), size=size if size in _SIZES else _SIZES[-1])


def weights_file(name: str, size: int, alpha: float, weights: str) -> Path | None:
    """Return the file with the weights; downloads ImageNet weights that Keras has not cached in `~/.keras/models`.

    Returns:
        The file; None for no weights.

    Raises:
        ConfigError: no such file, or the ImageNet weights cannot be downloaded.
    """
    if weights == NONE:
        return None
    if weights != IMAGENET:
        return Path(weights)
    import keras

    url = weights_url(name, size, alpha)
    file, before_s = url.rsplit("/", 1)[1], socket.getdefaulttimeout()
    socket.setdefaulttimeout(FETCH_TIMEOUT_S)
    try:
        # Keras reports a download on standard output, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            return Path(keras.utils.get_file(file, url, cache_subdir="models"))
    except Exception as error:
        raise ConfigError(
            f"the ImageNet weights of {name} are not on this machine and cannot be fetched; fetch {url} on another "
            f"one and give the file by --model-option weights=FILE, or put it into {_keras_folder()} "
            f"({str(error).split(' -- ')[-1]})"
        ) from error
    finally:
        socket.setdefaulttimeout(before_s)


def backbone(frame: Any, name: str, alpha: float, pooling: str, weights: Path | None) -> keras.Model:
    """Build the encoder of a backbone.

    Args:
        frame: a Keras input `(batch, size, size, channels)`, or a layer's output over one; RGB from 0 to 1 where
            `weights` are given.
        name: which backbone.
        alpha: width, if the backbone has one.
        pooling: avg or max, over the last map.
        weights: a file of weights (.h5, .weights.h5) or of the network (.keras), without its last layer.

    Returns:
        `(batch, size, size, channels)` to `(batch, features)`. Its batch normalization does not learn where it has
        weights: a small data set only spoils it.

    Raises:
        ConfigError: the file is not of this backbone.
    """
    import keras

    from edgehar_training.models.layers import BATCH_MOMENTUM

    kind = BACKBONES[name]
    options = dict(kind.options) if kind.alphas == (1.0,) else {**kind.options, "alpha": alpha}
    if weights is not None:
        frame = keras.layers.Rescaling(kind.scale, _listed(kind.offset), name="pixels")(frame)
    network: keras.Model = getattr(keras.applications, kind.function)(
        include_top=False, weights=None, input_tensor=frame, pooling=pooling, **options
    )
    if weights is not None:
        _load(network, name, weights)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            if weights is None:
                layer.momentum = BATCH_MOMENTUM
            else:
                layer.trainable = False
    return keras.Model(network.inputs[0], network.outputs[0], name="encoder")


def _load(network: keras.Model, name: str, path: Path) -> None:
    import keras

    try:
        if path.suffix == ".keras":
            network.set_weights(keras.saving.load_model(path, compile=False).get_weights())
        else:
            network.load_weights(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: does not hold the weights of {name} without its last layer ({str(error).splitlines()[0][:200]}); "
            "give the file that Keras has for it (docs/networks.md)"
        ) from error
    if BACKBONES[name].blue_first:
        first = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
        kernel, *others = first.get_weights()
        first.set_weights([kernel[:, :, ::-1], *others])
    if name == "efficientnet_b0":
        _correct_deviation(network)


def _correct_deviation(network: keras.Model) -> None:
    """Undo the division of the published weights by the square root of the deviation of each color.

    The network of Keras has a layer for this if it downloads the weights, but none if it gets the file.
    """
    import keras

    from edgehar_training.models.layers import IMAGENET_DEVIATION

    layer = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    mean, variance, *count = layer.get_weights()
    layer.set_weights([mean, variance * _like(variance, IMAGENET_DEVIATION), *count])
    layer.finalize_state()


def _like(array: Any, values: Sequence[float]) -> Any:
    import numpy as np

    return np.reshape(np.asarray(values, array.dtype), array.shape)


def _listed(offset: float | tuple[float, float, float]) -> float | list[float]:
    return list(offset) if isinstance(offset, tuple) else offset


def _keras_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
