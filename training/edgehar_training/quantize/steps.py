"""Every layer that can be exported, as a function of tensors with its int8 places.

Written with `keras.ops`: the same functions are trained with fake quantization and become the int8 files.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConversionError
from edgehar_training.quantize.graph import TRAINING_ONLY
from edgehar_training.quantize.recurrent import conv_lstm, gru, lstm, simple_rnn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import keras

    from edgehar_training.quantize.graph import Node
    from edgehar_training.quantize.plan import Quantizer

    Step = Callable[[Sequence[Any], Quantizer], Any]

# Activations that become a part of the operation before them.
FUSED_ACTIVATIONS = ("linear", "relu", "relu6")
# Layers that only arrange values anew.
SHAPES = ("Flatten", "Reshape", "Permute", "FoldTime", "UnfoldTime", "LastAxisSlice", "LastStep")
# Layers whose int8 output has the scale of their input, by TFLite's rules or because they only choose among values.
KEEPING = (*SHAPES, *TRAINING_ONLY, "MaxPooling2D", "GlobalMaxPooling2D", "AveragePooling2D", "ZeroPadding2D")
# Steps of 1/256 and 1/128, which TFLite prescribes for the int8 output of these functions.
SIGMOID_LIMITS, TANH_LIMITS = (0.0, 255 / 256), (-1.0, 127 / 128)


def step_of(node: Node, place: str, *, quiet: bool) -> Step:
    """The function of a node.

    Args:
        node: the layer and what it reads.
        place: name of its place.
        quiet: the node is no place, because the ReLU behind it is one with it.

    Raises:
        ConversionError: such a layer cannot be exported.
    """
    if node.kind not in _STEPS:
        raise ConversionError(
            f"layer {node.layer.name} is a {node.kind}, which cannot be exported; known are {', '.join(sorted(_STEPS))}"
        )
    step = _STEPS[node.kind](node.layer, place)
    if not quiet:
        return step
    return lambda inputs, quantizer: step(inputs, _Quiet(quantizer, place))


class _Quiet:
    """A quantizer that leaves one place alone."""

    def __init__(self, quantizer: Quantizer, place: str) -> None:
        self._quantizer, self._place = quantizer, place

    def __call__(self, place: str, values: Any, *, bound: float = math.inf) -> Any:
        return values if place == self._place else self._quantizer(place, values, bound=bound)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._quantizer, name)


def takes_relu(node: Node) -> bool:
    """Whether a ReLU behind the layer becomes a part of its operation."""
    if node.kind in ("Add", "Subtract", "Multiply"):
        return True
    return node.kind in ("Conv2D", "DepthwiseConv2D", "Dense") and _activation(node.layer) == "linear"


def is_relu(node: Node) -> bool:
    """Whether the node is nothing but a ReLU."""
    return node.kind == "ReLU" or (node.kind == "Activation" and _activation(node.layer) in ("relu", "relu6"))


def is_softmax(layer: keras.layers.Layer) -> bool:
    """Whether a layer's activation is a softmax."""
    return _activation(layer) == "softmax"


def _plain(layer: keras.layers.Layer, _: str) -> Step:
    """A layer whose output has the quantization of its input."""
    return lambda inputs, _: layer(inputs[0])


def _placed(layer: keras.layers.Layer, place: str) -> Step:
    """A layer without weights whose output has a range of its own."""
    return lambda inputs, quantizer: quantizer(place, layer(inputs[0] if len(inputs) == 1 else list(inputs)))


def _conv(layer: keras.layers.Conv2D, place: str) -> Step:
    activation = _fused(layer, place)
    _check_format(layer, place)
    if layer.groups != 1:
        raise ConversionError(f"{place}: has {layer.groups} groups; use 1, or a DepthwiseConv2D")

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        values = layer.convolution_op(inputs[0], quantizer.weight(layer.kernel, kept=tuple(layer.kernel.shape)))
        return quantizer(place, activation(_biased(values, layer, quantizer)))

    return step


def _depthwise(layer: keras.layers.DepthwiseConv2D, place: str) -> Step:
    activation = _fused(layer, place)
    _check_format(layer, place)

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        from keras import ops

        shape = tuple(layer.kernel.shape)
        # A channel of the output has its own scale: (rows, columns, in, multiplier) as (rows, columns, channels).
        flat = quantizer.weight(layer.kernel, kept=(*shape[:2], -1))
        values = ops.depthwise_conv(
            inputs[0], ops.reshape(flat, shape), layer.strides, layer.padding, dilation_rate=layer.dilation_rate
        )
        return quantizer(place, activation(_biased(values, layer, quantizer)))

    return step


def _dense(layer: keras.layers.Dense, place: str) -> Step:
    softmax = is_softmax(layer)
    curved = {"tanh": TANH_LIMITS, "sigmoid": SIGMOID_LIMITS}.get(_activation(layer))
    activation = None if softmax or curved else _fused(layer, place)

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        from keras import ops

        values, size = inputs[0], inputs[0].shape[-1]
        # As rows: only then it is one FULLY_CONNECTED.
        rows = values if len(values.shape) == 2 else ops.reshape(values, (-1, size))
        rows = _biased(ops.matmul(rows, quantizer.weight(layer.kernel)), layer, quantizer)
        if activation is not None:
            rows = quantizer(place, activation(rows))
        elif curved is not None:
            rows = quantizer.fixed(layer.activation(quantizer(place, rows)), *curved)
        else:
            # The softmax itself is no place: its int8 output is always in steps of 1/256 from 0.
            rows = ops.softmax(quantizer(place, rows))
        return rows if len(values.shape) == 2 else ops.reshape(rows, (-1, *values.shape[1:-1], rows.shape[-1]))

    return step


def _biased(values: Any, layer: keras.layers.Layer, quantizer: Quantizer) -> Any:
    return values + quantizer.bias(layer.bias) if layer.use_bias else values


def _relu(layer: keras.layers.ReLU, place: str) -> Step:
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
        raise ConversionError(f"{place}: a ReLU is exported with no slope or threshold, and a maximum of 6 or none")
    return _placed(layer, place)


def _activated(layer: keras.layers.Activation, place: str) -> Step:
    name = _activation(layer)
    if name in FUSED_ACTIVATIONS:
        return _placed(layer, place)
    limits = {"tanh": TANH_LIMITS, "sigmoid": SIGMOID_LIMITS, "softmax": SIGMOID_LIMITS}
    if name not in limits:
        raise ConversionError(f"{place}: activation {name} cannot be exported; use one of {_known_activations()}")
    return lambda inputs, quantizer: quantizer.fixed(layer(inputs[0]), *limits[name])


def _softmax(layer: keras.layers.Softmax, place: str) -> Step:
    """Over the last axis, or over time of `(batch, time, 1)`, which is computed as `(batch, time)`."""

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        from keras import ops

        values = inputs[0]
        axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
        if axis in (-1, len(values.shape) - 1):
            return quantizer.fixed(ops.softmax(values), *SIGMOID_LIMITS)
        if len(values.shape) != 3 or values.shape[2] != 1:
            raise ConversionError(f"{place}: a softmax is exported over the last axis, or over time of one value each")
        flat = quantizer.fixed(ops.softmax(ops.reshape(values, (-1, values.shape[1]))), *SIGMOID_LIMITS)
        return ops.reshape(flat, (-1, values.shape[1], 1))

    return step


def _pool_to_one(layer: keras.layers.Layer, place: str) -> Step:
    _check_format(layer, place)
    return _placed(layer, place)


def _average(_: keras.layers.Average, place: str) -> Step:
    """The mean of several, as their sum and a product with a constant."""

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        total = quantizer(f"{place}/sum", sum(inputs[1:], inputs[0]))
        return quantizer(place, total * (1.0 / len(inputs)))

    return step


def _dot(layer: keras.layers.Dot, place: str) -> Step:
    """Sums over time or features, of `(batch, time, n)` and `(batch, n)`, or of `(batch, time)` and the former."""
    if layer.normalize:
        raise ConversionError(f"{place}: a Dot is exported without normalization")

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        from keras import ops

        left, right = inputs
        axes = (layer.axes,) * 2 if isinstance(layer.axes, int) else tuple(layer.axes)
        ranks = len(left.shape), len(right.shape)
        if ranks == (3, 2) and axes == (2, 1):
            return quantizer(place, ops.matmul(left, ops.expand_dims(right, 2))[..., 0])
        if ranks == (2, 3) and axes == (1, 1):
            return quantizer(place, ops.matmul(ops.expand_dims(left, 1), right)[:, 0])
        raise ConversionError(f"{place}: a Dot is exported that weighs the steps of a sequence, or compares them")

    return step


def _check_format(layer: keras.layers.Layer, place: str) -> None:
    if layer.data_format != "channels_last":
        raise ConversionError(f"{place}: is exported with channels last only")


def _activation(layer: keras.layers.Layer) -> str:
    return str(layer.activation.__name__)


def _fused(layer: keras.layers.Layer, place: str) -> Any:
    if _activation(layer) not in FUSED_ACTIVATIONS:
        raise ConversionError(
            f"{place}: activation {_activation(layer)} cannot be exported; use one of {_known_activations()}"
        )
    return layer.activation


def _known_activations() -> str:
    return ", ".join((*FUSED_ACTIVATIONS, "and in a Dense also tanh, sigmoid, softmax"))


_STEPS: dict[str, Callable[[Any, str], Step]] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "Dense": _dense,
    "ReLU": _relu,
    "Activation": _activated,
    "Softmax": _softmax,
    **dict.fromkeys((*SHAPES, *TRAINING_ONLY), _plain),
    "MaxPooling2D": _plain,
    "GlobalMaxPooling2D": _plain,
    "AveragePooling2D": _placed,
    "GlobalAveragePooling2D": _pool_to_one,
    "GlobalAveragePooling1D": _placed,
    "ZeroPadding2D": _plain,
    "Add": _placed,
    "Subtract": _placed,
    "Multiply": _placed,
    "Average": _average,
    "Concatenate": _placed,
    "Dot": _dot,
    "LSTM": lstm,
    "GRU": gru,
    "SimpleRNN": simple_rnn,
    "ConvLSTM2D": conv_lstm,
}
