"""A float copy of an int8 network, to see what int8 does to its values.

Every quantized tensor becomes float32, and every quantized constant what it means. What then differs is the rounding
and the clipping of the values that are computed; the rounding of the weights themselves is in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.errors import EdgeharError
from edgehar.model.tflite import append_constant, builtin_code, load_schema, pack, parse, read_graph

if TYPE_CHECKING:
    from edgehar.model.tflite import Tensor


# The fused LSTM keeps quantized intermediates; the others change types themselves.
_NOT_IN_FLOAT = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "DEQUANTIZE", "CAST"})


class FloatCopyError(EdgeharError):
    """A network has no float copy; the message says why."""


def float_copy(content: bytes, name: str) -> bytes:
    """The float copy of a TFLite file. Its tensors have the numbers of the original.

    Raises:
        FloatCopyError: an operator is not the same in float.
        RuntimeUnavailableError: no installed package knows the format.
        BundleError: it is no TFLite file.
    """
    schema, graph = load_schema(), read_graph(content, name)
    for operator in graph.operators:
        if operator.custom or operator.name in _NOT_IN_FLOAT:
            raise FloatCopyError(f"{name}: {operator.name} has no float form that works alike")
    model = parse(content, name)
    for tensor, copy in zip(graph.tensors, model.subgraphs[0].tensors, strict=True):
        if len(tensor.scales):
            _to_float(schema, model, tensor, copy)
    _drop_requantizing(schema, model)
    return pack(model)


def _to_float(schema: Any, model: Any, tensor: Tensor, copy: Any) -> None:
    copy.type, copy.quantization = schema.TensorType.FLOAT32, None
    if tensor.data is not None:
        copy.buffer = append_constant(model, tensor.real(tensor.data))


def _drop_requantizing(schema: Any, model: Any) -> None:
    """Replace what only changes a scale by a RESHAPE to the same shape: float has no scale to change."""
    graph = model.subgraphs[0]
    quantizing = [o for o in graph.operators if builtin_code(model, o) == schema.BuiltinOperator.QUANTIZE]
    if not quantizing:
        return
    reshape = schema.OperatorCodeT()
    reshape.builtinCode = reshape.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    reshape.version = 1
    model.operatorCodes.append(reshape)
    for operator in quantizing:
        options = schema.ReshapeOptionsT()
        options.newShape = list(graph.tensors[operator.outputs[0]].shape)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReshapeOptions, options
