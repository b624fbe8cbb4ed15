"""The constants of TFLite files, quantized or not, as float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.model.tflite import Tensor, read_graph

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def convolutions(content: bytes, name: str = "TFLite file") -> list[tuple[Array, Array]]:
    """Return kernel and bias of every convolution of a TFLite file with one graph, in order.

    Args:
        content: the file.
        name: name of the file, for errors.

    Returns:
        Kernels float32 in the layout of Keras, `(rows, columns, inputs, filters)`, and of depthwise convolutions
        `(rows, columns, channels, 1)`; biases float32 `(filters,)`.

    Raises:
        BundleError: the file is not a TFLite file, or damaged.
        ValueError: a weight is not a constant.
    """
    graph, found = read_graph(content, name), []
    for operator in graph.operators:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            kernel, bias = (real_values(graph.tensors[index]) for index in operator.inputs[1:3])
            # TFLite has the filters of a convolution first, and the channels of a depthwise convolution last.
            found.append((kernel.transpose(1, 2, 3, 0), bias))
    return found


def real_values(tensor: Tensor) -> Array:
    """Return the float32 values of a constant.

    Raises:
        ValueError: the tensor is not a constant.
    """
    if tensor.data is None:
        raise ValueError(f"{tensor.name} is not a constant")
    return tensor.real(tensor.data)
