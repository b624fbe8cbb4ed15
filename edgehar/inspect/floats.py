"""A float copy of an int8 network, to measure the effect of int8 on its values.

Every quantized tensor becomes float32, and every quantized constant its real values. The copy then differs only in the
rounding and clipping of computed values; both have the rounded weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.errors import EdgeharError
from edgehar.model.tflite import append_constant, builtin_code, load_schema, pack, parse, read_graph

if TYPE_CHECKING:
    from edgehar.model.tflite import Tensor


# The fused LSTM has quantized intermediates; the others convert types.
_NOT_IN_FLOAT = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "DEQUANTIZE", "CAST"})


class FloatCopyError(EdgeharError):
    """A network has no float copy; the message says why."""


def float_copy(content: bytes, name: str) -> bytes:
    """Return the float copy of a TFLite file. Its tensors have the same numbers as in the original.

    Raises:
        FloatCopyError: an operator has no equivalent in float.
        RuntimeUnavailableError: no installed package knows the format.
        BundleError: it is not a TFLite file.
    """
    schema, graph = load_schema(), read_graph(content, name)
    for operator in graph.operators:
        if operator.custom or operator.name in _NOT_IN_FLOAT:
            raise FloatCopyError(f"{name}: {operator.name} has no equivalent in float")
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
    """Replace QUANTIZE operators, which only change a scale, by a RESHAPE to the same shape."""
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
