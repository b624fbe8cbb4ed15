"""The float graphs that become the int8 files: plain functions of a trained encoder and head.

The LSTM is unrolled over the window. Every operation is then a plain int8 one that XNNPACK runs, and the head keeps no
state between calls. TFLite's fused LSTM operation is ten times slower in int8 (it has no XNNPACK kernel) and keeps its
state, and the loop that Keras writes crashes the converter.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

    from edgehar_training.quantize.ranges import Ranges

    Step = Callable[[Any], Any]

INPUT, SEAM = "input", "seam"
# Beyond this int8 sigmoid (in steps of 1/256, up to 255/256) and tanh (in steps of 1/128, up to 127/128) do not change.
GATE_BOUND = math.log(511)


class Exporter:
    """Encoder and head as functions of tensors, with a fake-quantisation at every place that is int8 on the device.

    Args:
        encoder: `(batch, height, width, 3)` to `(batch, features)`; a chain of layers that `_STEPS` knows.
        head: `(batch, window, features)` to `(batch, classes)`; the same.
        ranges: observes, then fake-quantises.

    Raises:
        ConversionError: a layer cannot be exported, or a weight is not finite.
    """

    def __init__(self, encoder: keras.Model, head: keras.Model, ranges: Ranges) -> None:
        self._ranges = ranges
        self._encoder_steps = self._steps(encoder)
        self._head_steps = self._steps(head)

    def encode(self, frames: Any) -> Any:
        """float32 `(batch, height, width, 3)` to features, float32 `(batch, features)`."""
        return self._ranges(SEAM, _run(self._encoder_steps, self._ranges(INPUT, frames)))

    def classify(self, features: Any) -> Any:
        """float32 `(batch, window, features)` to scores, float32 `(batch, classes)`."""
        return _run(self._head_steps, self._ranges(SEAM, features))

    def _steps(self, network: keras.Model) -> list[Step]:
        _check_chain(network)
        steps = []
        for layer in network.layers[1:]:
            _check_finite(layer)
            kind = type(layer).__name__
            if kind not in _STEPS:
                raise ConversionError(
                    f"layer {layer.name} is a {kind}, which cannot be exported; known are {', '.join(_STEPS)}"
                )
            steps.append(_STEPS[kind](layer, f"{network.name}/{layer.name}", self._ranges))
        return steps


def _run(steps: list[Step], values: Any) -> Any:
    for step in steps:
        values = step(values)
    return values


def _check_chain(network: keras.Model) -> None:
    for before, layer in itertools.pairwise(network.layers):
        if layer.input is not before.output:
            raise ConversionError(
                f"layer {layer.name} of the {network.name} is not in one chain, which is what is exported"
            )


def _check_finite(layer: keras.layers.Layer) -> None:
    for weight in layer.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ConversionError(f"weight {weight.path} holds values that are not finite; train the network again")


def _plain(layer: keras.layers.Layer, _: str, __: Ranges) -> Step:
    """A layer whose output has the quantization of its input."""
    return lambda values: layer(values)


def _nothing(_: keras.layers.Layer, __: str, ___: Ranges) -> Step:
    """A layer that does nothing outside training."""
    return lambda values: values


def _weighted(layer: keras.layers.Layer, place: str, ranges: Ranges) -> Step:
    """A layer with weights; relu becomes a part of its operation."""
    if _activation(layer) not in ("linear", "relu"):
        raise ConversionError(f"{place}: activation {_activation(layer)} cannot be exported; use relu or none")
    return lambda values: ranges(place, layer(values))


def _dense(layer: keras.layers.Dense, place: str, ranges: Ranges) -> Step:
    if _activation(layer) != "softmax":
        return _weighted(layer, place, ranges)
    kernel, bias = _arrays(layer, place, 2)
    return lambda values: _softmax(values, kernel, bias, place, ranges)


def _softmax(values: Any, kernel: Any, bias: Any, place: str, ranges: Ranges) -> Any:
    import tensorflow as tf

    # The softmax itself is no place: its int8 output is always in steps of 1/256 from 0.
    return tf.nn.softmax(ranges(place, tf.matmul(values, tf.constant(kernel)) + bias))


def _lstm(layer: keras.layers.LSTM, place: str, ranges: Ranges) -> Step:
    """The last state of an LSTM with forget gate (Gers et al., 2000), in Keras' gate order i, f, c, o."""
    unlike = layer.return_sequences or layer.go_backwards or layer.stateful
    if unlike or _activation(layer) != "tanh" or layer.recurrent_activation.__name__ != "sigmoid":
        raise ConversionError(
            f"{place}: an LSTM is exported that reads forwards, gives its last state only, and has the "
            "activations tanh and sigmoid"
        )
    kernel, recurrent, bias = _arrays(layer, place, 3)
    return lambda values: _unrolled(values, kernel, recurrent, bias, place, ranges)


def _unrolled(values: Any, kernel: Any, recurrent: Any, bias: Any, place: str, ranges: Ranges) -> Any:
    import tensorflow as tf

    batch, window, features = values.shape
    units, weight = recurrent.shape[0], tf.constant(recurrent)
    # What comes from the input is one product for all steps.
    rows = tf.reshape(tf.transpose(values, [1, 0, 2]), [window * batch, features])
    from_input = ranges(f"{place}/input", tf.matmul(rows, tf.constant(kernel)) + bias)
    hidden: Any = None
    cell: Any = None
    for step in range(window):
        at = f"{place}/{step}"
        gates = from_input[step * batch : (step + 1) * batch]
        if hidden is not None:
            gates = gates + ranges(f"{at}/recurrent", tf.matmul(hidden, weight))
        gates = ranges(f"{at}/gates", gates, bound=GATE_BOUND)
        # Slices, not a split: the converter leaves a split in float when one of its outputs is not used.
        write, forget, content, read = (gates[:, k * units : (k + 1) * units] for k in range(4))
        added = ranges(f"{at}/added", tf.sigmoid(write) * tf.tanh(content))
        kept = None if cell is None else ranges(f"{at}/kept", tf.sigmoid(forget) * cell)
        cell = added if kept is None else ranges(f"{at}/cell", kept + added)
        hidden = ranges(f"{at}/hidden", tf.sigmoid(read) * tf.tanh(cell))
    return hidden


def _activation(layer: keras.layers.Layer) -> str:
    return str(layer.activation.__name__)


def _arrays(layer: keras.layers.Layer, place: str, count: int) -> list[Any]:
    arrays = layer.get_weights()
    if len(arrays) != count:
        raise ConversionError(f"{place}: is exported with a bias only; train it with one")
    return list(arrays)


_STEPS: dict[str, Callable[[Any, str, Ranges], Step]] = {
    "Conv2D": _weighted,
    "MaxPooling2D": _plain,
    "Dropout": _nothing,
    "Flatten": _plain,
    "LSTM": _lstm,
    "Dense": _dense,
}
