"""The network of one step: a recurrent head that takes the features of one frame and its own state.

It reads histories of any length, with the weights of the head of a window. A place that the window has once for each
step exists once, with a range that covers all steps, so its int8 scales are slightly coarser. After as many steps as a
window has, its answer equals that of the head except for this.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConversionError
from edgehar.model.interpreter import StepModel
from edgehar.model.manifest import State, Stateful
from edgehar_training.quantize.export import OUTPUT, SEAM
from edgehar_training.quantize.graph import nodes_of
from edgehar_training.quantize.plan import Plan
from edgehar_training.quantize.ranges import FakeQuantRanges
from edgehar_training.quantize.recurrent import cell_of
from edgehar_training.quantize.simplify import simplified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import keras
    import numpy.typing as npt

    from edgehar.model.manifest import Affine
    from edgehar_training.quantize.graph import Node
    from edgehar_training.quantize.quantizer import Quantizer
    from edgehar_training.quantize.ranges import Limits

RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})
# Layers allowed after the last recurrent layer.
_AFTER = frozenset({"Dense", "ReLU", "Activation", "Softmax"})
_STEP = "step"
# The state of a layer that ends in a tanh is in steps of 1/128 and has no range.
_TANH = (-1.0, 127 / 128)


class StepNetwork:
    """A recurrent head as a function of one step.

    Args:
        head: `(batch, window, features)` to `(batch, classes)`: recurrent layers, then dense ones.
        ranges: ranges of the head of a window.
        fixed: places whose quantization is known, as `Exporter.fixed` gives them.

    Raises:
        ConversionError: the head has another form (check `has_step` first), or cannot be exported.
    """

    def __init__(self, head: keras.Model, ranges: FakeQuantRanges, fixed: Mapping[str, Affine]) -> None:
        if not has_step(head):
            raise ConversionError(
                f"{head.name}: has no network of one step; it must have recurrent layers, then dense layers"
            )
        self._head = _HeadOfStep(simplified(head), SEAM)
        self._quantizer = FakeQuantRanges(union_of_steps(ranges.limits), fixed)

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Name and size of every state, in order."""
        return self._head.sizes

    def __call__(self, features: Any, *states: Any) -> tuple[Any, ...]:
        """Compute scores `(1, classes)` and new states from float32 `(1, features)` and `(1, units)` each."""
        scores, after = self._head.advance(self._quantizer(SEAM, features), states, self._quantizer)
        return (scores if self._head.ends_in_softmax else self._quantizer(OUTPUT, scores), *after)


def has_step(head: keras.Model) -> bool:
    """Return whether a head can take single steps: recurrent layers, then dense layers that read the last state."""
    nodes = nodes_of(head)
    count = len(list(itertools.takewhile(lambda node: node.kind in RECURRENT, nodes)))
    in_one_chain = all(node.inputs == (number - 1,) for number, node in enumerate(nodes))
    last_only = count > 0 and not nodes[count - 1].layer.return_sequences
    return in_one_chain and last_only and all(node.kind in _AFTER for node in nodes[count:])


def union_of_steps(limits: Mapping[str, Limits]) -> dict[str, Limits]:
    """Join the ranges of places `LAYER/STEP/NAME` over steps into `LAYER/step/NAME`; keep other ranges.

    The cell of the first step is the added value alone, so the range of a cell covers it too.
    """
    joined: dict[str, Limits] = {}
    for place, (low, high) in limits.items():
        found = re.fullmatch(r"(.+)/(\d+)/([a-z]+)", place)
        names = [place] if found is None else [f"{found[1]}/{_STEP}/{found[3]}"]
        if found is not None and found[3] == "added":
            names.append(f"{found[1]}/{_STEP}/cell")
        for name in names:
            known = joined.get(name, (low, high))
            joined[name] = min(low, known[0]), max(high, known[1])
    return joined


def convert_step(head: keras.Model, ranges: FakeQuantRanges, fixed: Mapping[str, Affine]) -> bytes:
    """Convert the network of one step, int8 throughout.

    Args:
        head: see `StepNetwork`.
        ranges: ranges of the head of a window.
        fixed: places whose quantization is known, as `Exporter.fixed` gives them.

    Raises:
        ConversionError: it cannot be exported.
    """
    import tensorflow as tf

    network = StepNetwork(head, ranges, fixed)
    shapes = {"features": head.input_shape[-1]} | {f"state_{n}": size for n, (_, size) in enumerate(network.sizes)}
    graph = tf.function(
        network,
        input_signature=[tf.TensorSpec((1, size), tf.float32, name=name) for name, size in shapes.items()],
        autograph=False,
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


def describe(step: bytes, names: Sequence[str]) -> Stateful:
    """Return the manifest entry of a converted step.

    Args:
        step: `step.tflite`.
        names: names of its states.

    Raises:
        ConversionError: the input and output quantization of a state differ.
    """
    model = StepModel(step, name="step.tflite")
    if model.inputs[1:] != model.outputs[1:] or len(model.inputs) != len(names) + 1:
        raise ConversionError(
            f"the states of step.tflite go in as {model.inputs[1:]} and come out as {model.outputs[1:]}; use another "
            "TensorFlow"
        )
    states = zip(names, model.inputs[1:], strict=True)
    return Stateful([State(name, shape[-1], affine) for name, (shape, affine) in states])


def state_names(head: keras.Model) -> list[str]:
    """Return the names of the states of a head, in order."""
    return [name for node in nodes_of(head) for name in _names(node)]


def run_steps(step: StepModel, features: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return the scores after each frame of a sequence that starts from zero states.

    Args:
        step: `step.tflite`.
        features: int8 `(frames, features)`.

    Returns:
        int8 `(frames, classes)`.
    """
    states = [np.full(shape, affine.zero_point, np.int8) for shape, affine in step.inputs[1:]]
    said = []
    for frame in features:
        scores, *states = step.run(frame, *states)
        said.append(scores.reshape(-1))
    return np.stack(said)


class _HeadOfStep(Plan):
    """A head, taken one step at a time."""

    def __init__(self, network: keras.Model, entry: str) -> None:
        super().__init__(network, entry)
        self._name = network.name

    @property
    def sizes(self) -> list[tuple[str, int]]:
        return [(name, int(node.layer.units)) for node in self._nodes for name in _names(node)]

    def advance(self, values: Any, states: Sequence[Any], quantizer: Quantizer) -> tuple[Any, list[Any]]:
        """Return scores and states after one more row of features, float32 `(1, features)`."""
        waiting, after = list(states), []
        for node, step in zip(self._nodes, self._steps, strict=True):
            if node.kind not in RECURRENT:
                values = step([values], quantizer)
                continue
            place = f"{self._name}/{node.layer.name}"
            cell = cell_of(node.layer, place, quantizer)
            cell.resume({name: _placed(f"{place}/{_STEP}/{name}", waiting.pop(0), quantizer) for name in _names(node)})
            gates = quantizer(f"{place}/input", cell.from_input(values))
            cell.advance(gates, f"{place}/{_STEP}")
            values = cell.hidden
            if node.layer.return_sequences:
                values = quantizer(f"{place}/sequence", values)
            after += [cell.state[name] for name in _names(node)]
        return values, after


def _names(node: Node) -> tuple[str, ...]:
    """Return the names of the states of a recurrent layer."""
    if node.kind not in RECURRENT:
        return ()
    return ("hidden", "cell") if node.kind == "LSTM" else ("hidden",)


def _placed(place: str, values: Any, quantizer: Any) -> Any:
    """Quantize an input state to the range it has as an output."""
    if place in quantizer.limits:
        return quantizer(place, values)
    import tensorflow as tf

    # TFLite prescribes the steps of the output of a tanh; the input needs the same range explicitly.
    return tf.quantization.fake_quant_with_min_max_args(values, *_TANH, num_bits=8)
