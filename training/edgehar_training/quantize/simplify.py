"""Simplify a network to fewer kinds of layers: layers that only scale and shift channels merge into a neighbor.

Batch normalization in inference scales and shifts every channel (Ioffe and Szegedy, 2015). After a convolution or a
dense layer, it merges into the weights of that layer (Jacob et al., CVPR 2018, section 3.2); before a dense or
recurrent layer, into the weights of that one. Elsewhere it becomes a depthwise convolution of one pixel, as do
`Rescaling` and `Normalization`. A separable convolution becomes its two parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConversionError
from edgehar_training.quantize.graph import TRAINING_ONLY, nodes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    import numpy.typing as npt

    from edgehar_training.quantize.graph import Node

    Array = npt.NDArray[np.float32]

_SCALING = ("BatchNormalization", "Rescaling", "Normalization")
# These layers multiply their input by a matrix, and add a bias.
_MATRICES = ("Dense", "LSTM", "GRU", "SimpleRNN")


def simplified(network: keras.Model) -> keras.Model:
    """Return the same function for inference, with scale-and-shift layers merged and separable convolutions split.

    Args:
        network: a functional network of one input and one output.

    Returns:
        A network of the same name with its own weights; `network` itself if there is nothing to simplify.

    Raises:
        ConversionError: the network is not functional, or such a layer cannot be replaced in its place.
    """
    import keras

    nodes = nodes_of(network, training=True)
    if not any(node.kind in (*_SCALING, "SeparableConv2D") for node in nodes):
        return network
    readers = [source for node in nodes for source in node.inputs]
    inputs = keras.Input(network.input_shape[1:], name="input")
    values: dict[int, Any] = {-1: inputs}
    made: dict[int, keras.layers.Layer] = {}
    waiting: dict[int, tuple[Array, Array]] = {}
    left_out: set[int] = set()
    for index, node in enumerate(nodes):
        source = node.inputs[0]
        before = made.get(source)
        if node.kind in _SCALING:
            scale, shift = _scale_and_shift(node.layer)
            if before is not None and readers.count(source) == 1 and _is_linear(before):
                _fold(before, scale, shift)
                values[index], made[index] = values[source], before
            elif (found := _matrix_after(nodes, index)) is not None:
                reader, between = found
                values[index], waiting[reader] = values[source], (scale, shift)
                left_out |= between
            else:
                values[index] = _as_convolution(node.layer, values[source], scale, shift)
            continue
        if index in left_out:
            values[index] = values[source]
            continue
        if node.kind == "SeparableConv2D":
            values[index], made[index] = _separated(node.layer, values[source])
            continue
        made[index] = layer = _copied(node)
        values[index] = layer([values[i] for i in node.inputs] if len(node.inputs) > 1 else values[source])
        layer.set_weights(_with_zero_bias(node.layer))
        if index in waiting:
            _take_in(layer, *waiting[index])
    return keras.Model(inputs, values[len(nodes) - 1], name=network.name)


def _copied(node: Node) -> keras.layers.Layer:
    config = node.layer.get_config()
    if node.kind in ("Conv2D", "DepthwiseConv2D", "Dense"):
        config["use_bias"] = True
    return type(node.layer).from_config(config)


def _with_zero_bias(layer: keras.layers.Layer) -> list[Array]:
    weights = list(layer.get_weights())
    if type(layer).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense") and not layer.use_bias:
        channels = int(layer.output.shape[-1])
        weights.append(np.zeros(channels, np.float32))
    return weights


def _is_linear(layer: keras.layers.Layer) -> bool:
    known = type(layer).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense")
    return known and layer.activation.__name__ == "linear"


def _fold(layer: keras.layers.Layer, scale: Array, shift: Array) -> None:
    kernel, bias = layer.get_weights()
    by_channel = scale.reshape(kernel.shape[2:]) if type(layer).__name__ == "DepthwiseConv2D" else scale
    layer.set_weights([kernel * by_channel, bias * scale + shift])


def _matrix_after(nodes: Sequence[Node], index: int) -> tuple[int, set[int]] | None:
    """Return the dense or recurrent layer with a bias that alone reads node `index`, and any dropout between them.

    The dropout must go: a dropped normalized feature became its mean, but would now become 0.
    """
    between: set[int] = set()
    while len(readers := [at for at, node in enumerate(nodes) if index in node.inputs]) == 1:
        (index,) = readers
        if nodes[index].kind in _MATRICES:
            return (index, between) if nodes[index].layer.use_bias else None
        if nodes[index].kind not in TRAINING_ONLY:
            return None
        between.add(index)
    return None


def _take_in(layer: keras.layers.Layer, scale: Array, shift: Array) -> None:
    """Merge scale and shift of the input into a layer: (x * scale + shift) W + b = x (scale W) + (shift W + b)."""
    kernel, *others, bias = layer.get_weights()
    added = shift @ kernel
    # The bias of a GRU has a row for the input and one for the state.
    bias = np.stack([bias[0] + added, bias[1]]) if bias.ndim == 2 else bias + added
    layer.set_weights([kernel * scale[:, None], *others, bias])


def _scale_and_shift(layer: keras.layers.Layer) -> tuple[Array, Array]:
    """Return scale and shift of each channel, computed in float64."""
    import keras

    def array(value: Any) -> npt.NDArray[np.float64]:
        return np.asarray(keras.ops.convert_to_numpy(value), np.float64).reshape(-1)

    channels = int(layer.output.shape[-1])
    kind = type(layer).__name__
    if kind == "Rescaling":
        scale, shift = np.broadcast_to(array(layer.scale), channels), np.broadcast_to(array(layer.offset), channels)
    elif kind == "Normalization":
        if layer.invert:
            raise ConversionError(f"layer {layer.name} is an inverted Normalization, which cannot be exported")
        scale = np.broadcast_to(1 / np.maximum(np.sqrt(array(layer.variance)), keras.config.epsilon()), channels)
        shift = np.broadcast_to(-array(layer.mean), channels) * scale
    else:
        if layer.axis not in (-1, len(layer.output.shape) - 1):
            raise ConversionError(f"layer {layer.name} normalizes axis {layer.axis}; only the last can be exported")
        scale = 1 / np.sqrt(array(layer.moving_variance) + layer.epsilon)
        scale = scale * array(layer.gamma) if layer.scale else scale
        shift = -array(layer.moving_mean) * scale
        shift = shift + array(layer.beta) if layer.center else shift
    return scale.astype(np.float32), shift.astype(np.float32)


def _as_convolution(layer: keras.layers.Layer, values: Any, scale: Array, shift: Array) -> Any:
    import keras

    if len(values.shape) != 4:
        raise ConversionError(
            f"layer {layer.name} ({type(layer).__name__}) cannot merge into the layer before it; "
            "put it after a convolution or dense layer without activation, or on frames"
        )
    convolution = keras.layers.DepthwiseConv2D(1, name=layer.name)
    result = convolution(values)
    convolution.set_weights([scale.reshape(1, 1, -1, 1), shift])
    return result


def _separated(layer: keras.layers.SeparableConv2D, values: Any) -> tuple[Any, keras.layers.Layer]:
    import keras

    depthwise = keras.layers.DepthwiseConv2D(
        layer.kernel_size,
        layer.strides,
        layer.padding,
        depth_multiplier=layer.depth_multiplier,
        dilation_rate=layer.dilation_rate,
        use_bias=False,
        name=f"{layer.name}_depthwise",
    )
    pointwise = keras.layers.Conv2D(layer.filters, 1, activation=layer.activation, name=layer.name)
    result = pointwise(depthwise(values))
    kernels = layer.get_weights()
    bias = kernels[2] if layer.use_bias else np.zeros(layer.filters, np.float32)
    depthwise.set_weights(kernels[:1])
    pointwise.set_weights([kernels[1], bias])
    return result, pointwise
