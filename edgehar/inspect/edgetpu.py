"""Operators that an Edge TPU can run, by Coral's published table of operators and their limits.

Source: "TensorFlow models on the Edge TPU", section "Supported operations", of runtime 14 (Edge TPU compiler 16),
https://coral.ai/docs/edgetpu/models-intro/#supported-operations, compared on 2026-11-21 with the copy at
https://developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops/. The compiler has
unpublished limits, so only compiling is certain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgehar.errors import BundleError
from edgehar.model.tflite import read_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.model.tflite import Graph, Operator, Tensor

    # Why an operator is refused; empty if it is accepted.
    Limit: TypeAlias = Callable[[Graph, Operator], str]

# The operator that replaces all mapped operators.
CUSTOM_OPERATOR = "edgetpu-custom-op"
MOST_SOFTMAX = 16_000
_EIGHT_BITS = frozenset({"INT8", "UINT8"})
# Biases and the like, and shapes and axes, are constants of these types; the cell of an LSTM is INT16.
_CONSTANTS = _EIGHT_BITS | {"INT32", "INT64", "INT16", "BOOL"}


@dataclass(frozen=True)
class Mapping:
    """The processor that the compiler would choose for an operator.

    Attributes:
        operator: the operator.
        mapped: whether it would run on the Edge TPU.
        reason: why not; empty if it would.
    """

    operator: Operator
    mapped: bool
    reason: str = ""


def map_operators(graph: Graph) -> list[Mapping]:
    """Return where each operator would run. After the first refused operator, all run on the CPU."""
    found: list[Mapping] = []
    for operator in graph.operators:
        first = next((mapping for mapping in found if not mapping.mapped), None)
        if first is not None:
            reason = f"comes after {first.operator.name} (operator {first.operator.index}), which is refused"
        else:
            reason = why_not(graph, operator)
        found.append(Mapping(operator, not reason, reason))
    return found


def why_not(graph: Graph, operator: Operator) -> str:
    """Return why the Edge TPU refuses an operator on its own; empty if it accepts it."""
    if operator.custom:
        return "is a custom operator"
    if operator.name not in _LIMITS:
        return "is not in the table of supported operators"
    return _general(graph, operator) or _LIMITS[operator.name](graph, operator)


def check_compiled(compiled: bytes, encoder: bytes, name: str) -> None:
    """Check that a file is an encoder compiled for an Edge TPU, and can replace `encoder.tflite`.

    Args:
        compiled: result of edgetpu_compiler.
        encoder: `encoder.tflite` of the bundle.
        name: how errors call it.

    Raises:
        BundleError: it is not.
        RuntimeUnavailableError: no installed package knows the format.
    """
    made, original = read_graph(compiled, name), read_graph(encoder, "encoder.tflite")
    if not any(operator.name == CUSTOM_OPERATOR for operator in made.operators):
        raise BundleError(
            f"{name}: contains no {CUSTOM_OPERATOR}, so nothing would run on an Edge TPU; give the file that "
            "edgetpu_compiler writes, encoder_edgetpu.tflite"
        )
    for side in ("inputs", "outputs"):
        found, expected = (_face(graph, getattr(graph, side)) for graph in (made, original))
        if found != expected:
            raise BundleError(
                f"{name}: its {side} are {found}, those of the bundle's encoder.tflite {expected}; compile the "
                "encoder.tflite of this very bundle (edgehar bundle unpack)"
            )


def _face(graph: Graph, indices: tuple[int, ...]) -> str:
    return ", ".join(
        f"{tensor.kind} {tensor.shape} scale {tensor.scales.tolist()} zero point {tensor.zero_points.tolist()}"
        for tensor in (graph.tensors[index] for index in indices)
    )


def _general(graph: Graph, operator: Operator) -> str:
    """Check the requirements that the page states for every operator."""
    if graph.subgraphs > 1:
        return "the file has more than one subgraph"
    for index in (*operator.inputs, *operator.outputs):
        if index < 0:
            continue
        tensor = graph.tensors[index]
        if tensor.kind not in (_EIGHT_BITS if tensor.data is None and not tensor.variable else _CONSTANTS):
            return f"tensor {tensor.name} is {tensor.kind}; all must be 8-bit integers"
        if tensor.data is None and len(tensor.shape) > 3 and any(side > 1 for side in tensor.shape[:-3]):
            return f"tensor {tensor.name} is {tensor.shape}; only the last three sides may be more than 1"
    return ""


def _anything(_: Graph, __: Operator) -> str:
    return ""


def _constant_weights(graph: Graph, operator: Operator) -> str:
    if any(index >= 0 and graph.tensors[index].data is None for index in operator.inputs[1:]):
        return "its weights are computed; they must be constants"
    return ""


def _no_activation(_: Graph, operator: Operator) -> str:
    return "has an activation fused into it" if operator.option("fusedActivationFunction") else ""


def _same_dilation(graph: Graph, operator: Operator) -> str:
    if operator.option("dilationWFactor", 1) != operator.option("dilationHFactor", 1):
        return "is dilated differently in x and y"
    return _constant_weights(graph, operator)


def _concatenation(graph: Graph, operator: Operator) -> str:
    constants = [data for index in operator.inputs if (data := graph.tensors[index].data) is not None]
    if constants and (len(operator.inputs) > 2 or any(data.any() for data in constants)):
        return "joins a constant that is not a zero padding"
    return _no_activation(graph, operator)


def _fully_connected(graph: Graph, operator: Operator) -> str:
    if operator.option("weightsFormat"):
        return "its weights are shuffled; only the default format is taken"
    if graph.tensors[operator.outputs[0]].size != graph.tensors[operator.outputs[0]].shape[-1]:
        return f"gives {graph.tensors[operator.outputs[0]].shape}; the output must be one-dimensional"
    return _constant_weights(graph, operator)


def _softmax(graph: Graph, operator: Operator) -> str:
    tensor = graph.tensors[operator.inputs[0]]
    if tensor.size != tensor.shape[-1]:
        return f"reads {tensor.shape}; the input must be one-dimensional"
    return f"reads {tensor.size} values, more than {MOST_SOFTMAX}" if tensor.size > MOST_SOFTMAX else ""


def _strided_slice(graph: Graph, operator: Operator) -> str:
    strides = graph.tensors[operator.inputs[3]].data
    if strides is None or (strides != 1).any():
        return "has strides other than 1"
    if operator.option("ellipsisMask") or operator.option("newAxisMask"):
        return "has an ellipsis or a new axis"
    return ""


def _axes(tensor: Tensor, rank: int) -> set[int]:
    values = [] if tensor.data is None else tensor.data.reshape(-1).tolist()
    return {int(value) % rank for value in values}


def _reduction(graph: Graph, operator: Operator) -> str:
    shape = graph.tensors[operator.inputs[0]].shape
    axes = _axes(graph.tensors[operator.inputs[1]], len(shape))
    if 0 in axes and len(shape) > 1:
        return "reduces the batch"
    return ""


def _mean(graph: Graph, operator: Operator) -> str:
    shape = graph.tensors[operator.inputs[0]].shape
    if len(shape) - 1 in _axes(graph.tensors[operator.inputs[1]], len(shape)) and shape[-1] % 4:
        return f"reduces {shape[-1]} channels, which is not a multiple of 4"
    return _reduction(graph, operator)


def _pad(graph: Graph, operator: Operator) -> str:
    amounts = graph.tensors[operator.inputs[1]].data
    if amounts is None:
        return "pads by a computed amount"
    return "pads the batch" if len(amounts) > 3 and amounts[0].any() else ""


def _option_axis(graph: Graph, operator: Operator) -> str:
    rank = len(graph.tensors[operator.outputs[0]].shape)
    return "works along the batch" if operator.option("axis") % rank == 0 and rank > 3 else ""


def _split(graph: Graph, operator: Operator) -> str:
    rank = len(graph.tensors[operator.inputs[1]].shape)
    return "splits the batch" if 0 in _axes(graph.tensors[operator.inputs[0]], rank) and rank > 3 else ""


def _prelu(graph: Graph, operator: Operator) -> str:
    alpha = graph.tensors[operator.inputs[1]].shape
    return f"has alphas of {alpha}; only the last side may be more than 1" if any(s > 1 for s in alpha[:-1]) else ""


_LIMITS: dict[str, Limit] = {
    "ADD": _anything,
    "AVERAGE_POOL_2D": _no_activation,
    "CONCATENATION": _concatenation,
    "CONV_2D": _same_dilation,
    "DEPTHWISE_CONV_2D": _same_dilation,
    "EXPAND_DIMS": _anything,
    "FULLY_CONNECTED": _fully_connected,
    "L2_NORMALIZATION": _anything,
    "LOGISTIC": _anything,
    "MAXIMUM": _anything,
    "MAX_POOL_2D": _no_activation,
    "MEAN": _mean,
    "MINIMUM": _anything,
    "MUL": _anything,
    "PACK": _option_axis,
    "PAD": _pad,
    "PRELU": _prelu,
    "QUANTIZE": _anything,
    "REDUCE_MAX": _reduction,
    "REDUCE_MIN": _reduction,
    "RELU": _anything,
    "RELU6": _anything,
    "RELU_N1_TO_1": _anything,
    "RESHAPE": _anything,
    "RESIZE_BILINEAR": _anything,
    "RESIZE_NEAREST_NEIGHBOR": _anything,
    "RSQRT": _anything,
    "SLICE": _anything,
    "SOFTMAX": _softmax,
    "SPACE_TO_DEPTH": _anything,
    "SPLIT": _split,
    "SQUARED_DIFFERENCE": _anything,
    "SQUEEZE": _anything,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _anything,
    "SUM": _reduction,
    "TANH": _anything,
    "TRANSPOSE": _anything,
    "TRANSPOSE_CONV": _anything,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _anything,
}
