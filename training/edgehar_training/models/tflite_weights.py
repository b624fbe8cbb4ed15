"""The constants of TFLite files, quantized or not, as float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def convolutions(content: bytes) -> list[tuple[Array, Array]]:
    """Kernel and bias of every convolution of a TFLite file with one graph, in its order.

    Returns:
        Kernels float32 as Keras has them, `(rows, columns, inputs, filters)` and, of depthwise ones,
        `(rows, columns, channels, 1)`; biases float32 `(filters,)`.

    Raises:
        ValueError: it is no such file.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = parse(content)
    graph, found = model.subgraphs[0], []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D):
            kernel, bias = (real_values(model, graph.tensors[index]) for index in operator.inputs[1:3])
            # TFLite has the filters of a convolution first, and the channels of a depthwise one last.
            found.append((kernel.transpose(1, 2, 3, 0), bias))
    return found


def parse(content: bytes) -> Any:
    """The tables of a TFLite file.

    Raises:
        ValueError: it is none.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise ValueError("it does not begin as a TFLite file does")
    return schema.ModelT.InitFromPackedBuf(content, 0)


def real_values(model: Any, tensor: Any) -> Array:
    """float32 values of a constant: scale * (q - zero_point), of each channel its own where there are several.

    Raises:
        ValueError: it is of a type that is not turned back.
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds: dict[int, type[np.generic]] = {
        schema.TensorType.INT8: np.int8,
        schema.TensorType.UINT8: np.uint8,
        schema.TensorType.INT32: np.int32,
        schema.TensorType.FLOAT32: np.float32,
    }
    if tensor.type not in kinds:
        raise ValueError(f"{tensor.name.decode()} is of a type that is not turned back")
    data = model.buffers[tensor.buffer].data
    if data is None:
        raise ValueError(f"{tensor.name.decode()} is no constant")
    values = np.frombuffer(bytes(data), kinds[tensor.type]).reshape(tensor.shape)
    quantization = tensor.quantization
    if values.dtype == np.float32 or quantization is None or quantization.scale is None:
        return values.astype(np.float32)
    scale = np.asarray(quantization.scale, np.float32)
    zero = np.asarray(quantization.zeroPoint if quantization.zeroPoint is not None else [0])
    if len(scale) > 1:
        shape = [1] * values.ndim
        shape[quantization.quantizedDimension] = len(scale)
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    real: Array = (scale * (values.astype(np.float64) - zero)).astype(np.float32)
    return real
