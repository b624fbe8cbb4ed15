"""Every exportable layer as a function of tensors with its int8 places.

The functions use `keras.ops`, because the same functions are trained with fake quantization and become the int8 files.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConversionError
from edgehar_training.quantize.graph import TRAINING_ONLY
from edgehar_training.quantize.recurrent import SIGMOID_LIMITS, TANH_LIMITS, conv_lstm, gru, lstm, simple_rnn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import keras

    from edgehar_training.quantize.graph import Node
    from edgehar_training.quantize.quantizer import Quantizer, Step

# Activations that merge into the operator before them.
FUSED_ACTIVATIONS = ("linear", "relu", "relu6")
# Layers that only reorder values.
SHAPES = ("Flatten", "Reshape", "Permute", "FoldTime", "UnfoldTime", "LastAxisSlice", "LastStep")
# Layers whose int8 output has the scale of their input, by the rules of TFLite or because they only select values.
KEEPING = (*SHAPES, *TRAINING_ONLY, "MaxPooling2D", "GlobalMaxPooling2D", "AveragePooling2D", "ZeroPadding2D")
# A layer whose arithmetic is for a float head only.
REAL_ONLY = "TimeStatistics"
# Limits of a fused activation, as real values.
LIMITS = {"linear": (-math.inf, math.inf), "relu": (0.0, math.inf), "relu6": (0.0, 6.0)}


def step_of(node: Node, place: str, *, quiet: bool, alone: Sequence[bool]) -> Step:
    """Return the function of a node.

    Args:
        node: the layer and its inputs.
        place: name of its place.
        quiet: the node is not a place, because the following ReLU merges into it.
        alone: for each of its inputs, whether no other node reads it.

    Raises:
        ConversionError: the layer cannot be exported.
    """
    if node.kind not in (*_STEPS, "Concatenate"):
        raise ConversionError(
            f"layer {node.layer.name} is a {node.kind}, which cannot be exported; known are "
            f"{', '.join(sorted([*_STEPS, 'Concatenate']))}"
        )
    step = (
        _concatenate(node.layer, place, alone) if node.kind == "Concatenate" else _STEPS[node.kind](node.layer, place)
    )
    if not quiet:
        return step
    return lambda inputs, quantizer: step(inputs, _Quiet(quantizer, place))


class _Quiet:
    """A quantizer that does not quantize one place."""

    def __init__(self, quantizer: Quantizer, place: str) -> None:
        self._quantizer, self._place = quantizer, place

    def __call__(self, place: str, values: Any, *, bound: float = math.inf) -> Any:
        return values if place == self._place else self._quantizer(place, values, bound=bound)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._quantizer, name)


def takes_relu(node: Node) -> bool:
    """Return whether a following ReLU is merged into the operator of the layer."""
    if node.kind in ("Add", "Subtract", "Multiply"):
        return True
    return node.kind in ("Conv2D", "DepthwiseConv2D", "Dense") and _activation(node.layer) == "linear"


def is_relu(node: Node) -> bool:
    """Return whether the node is only a ReLU."""
    return node.kind == "ReLU" or (node.kind == "Activation" and _activation(node.layer) in ("relu", "relu6"))


def is_softmax(layer: keras.layers.Layer) -> bool:
    """Return whether the activation of a layer is a softmax."""
    return _activation(layer) == "softmax"


def _plain(layer: keras.layers.Layer, _: str) -> Step:
    """Return the step of a layer whose output has the quantization of its input."""
    return lambda inputs, quantizer: quantizer.arrange(layer, inputs[0])


def _noise(layer: keras.layers.GaussianNoise, _: str) -> Step:
    """Add noise of a real size."""
    return lambda inputs, quantizer: quantizer.real(layer, inputs[0])


def _statistics(layer: keras.layers.Layer, place: str) -> Step:
    """Compute statistics over time in real numbers: a head with them stays float on the device."""
    return lambda inputs, quantizer: quantizer(place, quantizer.real(layer, inputs[0]))


def _several(combine: Callable[[Any, Any], Any]) -> Callable[[Any, str], Step]:
    """Compute the sum, difference or product of two or more inputs."""

    def step_of_layer(layer: keras.layers.Layer, place: str) -> Step:
        def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
            if len(inputs) == 2:
                return quantizer(place, combine(*inputs))
            return quantizer(place, quantizer.real(lambda *values: layer(list(values)), *inputs))

        return step

    return step_of_layer


def _concatenate(layer: keras.layers.Concatenate, place: str, alone: Sequence[bool]) -> Step:
    return lambda inputs, quantizer: quantizer.join(place, layer, inputs, alone)


def _conv(layer: keras.layers.Conv2D, place: str) -> Step:
    activation = _fused(layer, place)
    _check_format(layer, place)
    if layer.groups != 1:
        raise ConversionError(f"{place}: has {layer.groups} groups; use 1, or a DepthwiseConv2D")

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        weight = quantizer.weight(layer.kernel, kept=tuple(layer.kernel.shape))
        values = quantizer.linear(layer.convolution_op, inputs[0], weight, _bias(layer, quantizer))
        return quantizer(place, _activated_by(activation, values, quantizer))

    return step


def _depthwise(layer: keras.layers.DepthwiseConv2D, place: str) -> Step:
    activation = _fused(layer, place)
    _check_format(layer, place)

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        shape = tuple(layer.kernel.shape)
        # A channel of the output has its own scale: (rows, columns, in, multiplier) as (rows, columns, channels).
        weight = quantizer.weight(layer.kernel, kept=(*shape[:2], -1))
        values = quantizer.linear(convolve, inputs[0], weight, _bias(layer, quantizer))
        return quantizer(place, _activated_by(activation, values, quantizer))

    def convolve(values: Any, flat: Any) -> Any:
        from keras import ops

        kernel = ops.reshape(flat, tuple(layer.kernel.shape))
        return ops.depthwise_conv(values, kernel, layer.strides, layer.padding, dilation_rate=layer.dilation_rate)

    return step


def _dense(layer: keras.layers.Dense, place: str) -> Step:
    softmax = is_softmax(layer)
    curved = {"tanh": TANH_LIMITS, "sigmoid": SIGMOID_LIMITS}.get(_activation(layer))
    activation = None if softmax or curved else _fused(layer, place)

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        from keras import ops

        shape = inputs[0].shape
        values, flat = inputs[0], len(shape) == 2
        # As rows: only then it is one FULLY_CONNECTED.
        rows = values if flat else quantizer.arrange(lambda v: ops.reshape(v, (-1, shape[-1])), values)
        rows = quantizer.linear(ops.matmul, rows, quantizer.weight(layer.kernel), _bias(layer, quantizer))
        if activation is not None:
            rows = quantizer(place, _activated_by(activation, rows, quantizer))
        elif curved is not None:
            rows = quantizer.curve(layer.activation, quantizer(place, rows), curved)
        else:
            # The softmax itself is not a place: its int8 output is always in steps of 1/256 from 0.
            rows = quantizer.real(ops.softmax, quantizer(place, rows))
        return rows if flat else quantizer.arrange(lambda v: ops.reshape(v, (-1, *shape[1:-1], v.shape[-1])), rows)

    return step


def _bias(layer: keras.layers.Layer, quantizer: Quantizer) -> Any:
    return quantizer.bias(layer.bias) if layer.use_bias else None


def _activated_by(activation: Any, values: Any, quantizer: Quantizer) -> Any:
    return quantizer.activate(activation, values, LIMITS[str(activation.__name__)])


def _relu(layer: keras.layers.ReLU, place: str) -> Step:
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
        raise ConversionError(
            f"{place}: only a ReLU without slope and threshold, and with a maximum of 6 or none, can be exported"
        )
    limits = LIMITS["relu" if layer.max_value is None else "relu6"]
    return lambda inputs, quantizer: quantizer(place, quantizer.activate(layer, inputs[0], limits))


def _activated(layer: keras.layers.Activation, place: str) -> Step:
    name = _activation(layer)
    if name in FUSED_ACTIVATIONS:
        return lambda inputs, quantizer: quantizer(place, quantizer.activate(layer, inputs[0], LIMITS[name]))
    limits = {"tanh": TANH_LIMITS, "sigmoid": SIGMOID_LIMITS, "softmax": SIGMOID_LIMITS}
    if name not in limits:
        raise ConversionError(f"{place}: activation {name} cannot be exported; use one of {_known_activations()}")
    return lambda inputs, quantizer: quantizer.curve(layer, inputs[0], limits[name])


def _softmax(layer: keras.layers.Softmax, place: str) -> Step:
    """Compute a softmax over the last axis, or over time of `(batch, time, 1)`, computed as `(batch, time)`."""

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        from keras import ops

        shape = inputs[0].shape
        axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
        if axis in (-1, len(shape) - 1):
            return quantizer.curve(ops.softmax, inputs[0], SIGMOID_LIMITS)
        if len(shape) != 3 or shape[2] != 1:
            raise ConversionError(f"{place}: a softmax is exported over the last axis, or over time of one value each")
        rows = quantizer.arrange(lambda values: ops.reshape(values, (-1, shape[1])), inputs[0])
        flat = quantizer.curve(ops.softmax, rows, SIGMOID_LIMITS)
        return quantizer.arrange(lambda values: ops.reshape(values, (-1, shape[1], 1)), flat)

    return step


def _mean(layer: keras.layers.Layer, place: str) -> Step:
    """Compute the mean of a picture, or over time."""
    _check_format(layer, place)
    return lambda inputs, quantizer: quantizer(place, quantizer.mean(layer, inputs[0]))


def _pool(layer: keras.layers.AveragePooling2D, place: str) -> Step:
    return lambda inputs, quantizer: quantizer.pool(place, layer, inputs[0])


def _average(_: keras.layers.Average, place: str) -> Step:
    """Compute the mean of several inputs as their sum times a constant."""

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        def total(*values: Any) -> Any:
            return sum(values[1:], values[0])

        values = inputs[0] + inputs[1] if len(inputs) == 2 else quantizer.real(total, *inputs)
        return quantizer(place, quantizer.real(lambda v: v * (1.0 / len(inputs)), quantizer(f"{place}/sum", values)))

    return step


def _dot(layer: keras.layers.Dot, place: str) -> Step:
    """Compute sums over time or features of `(batch, time, n)` with `(batch, n)` or `(batch, time)`."""
    if layer.normalize:
        raise ConversionError(f"{place}: a Dot is exported without normalization")

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        left, right = inputs
        axes = (layer.axes,) * 2 if isinstance(layer.axes, int) else tuple(layer.axes)
        ranks = len(left.shape), len(right.shape)
        if ranks == (3, 2) and axes == (2, 1):
            return quantizer(place, quantizer.product(_weighed_sum, left, right))
        if ranks == (2, 3) and axes == (1, 1):
            return quantizer(place, quantizer.product(_one_row, left, right))
        raise ConversionError(f"{place}: a Dot is exported that weighs the steps of a sequence, or compares them")

    return step


def _weighed_sum(sequence: Any, weights: Any) -> Any:
    from keras import ops

    return ops.matmul(sequence, ops.expand_dims(weights, 2))[..., 0]


def _one_row(weights: Any, sequence: Any) -> Any:
    from keras import ops

    return ops.matmul(ops.expand_dims(weights, 1), sequence)[:, 0]


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
    "GaussianNoise": _noise,
    "AveragePooling2D": _pool,
    "GlobalAveragePooling2D": _mean,
    "GlobalAveragePooling1D": _mean,
    REAL_ONLY: _statistics,
    "ZeroPadding2D": _plain,
    "Add": _several(operator.add),
    "Subtract": _several(operator.sub),
    "Multiply": _several(operator.mul),
    "Average": _average,
    "Dot": _dot,
    "LSTM": lstm,
    "GRU": gru,
    "SimpleRNN": simple_rnn,
    "ConvLSTM2D": conv_lstm,
}
