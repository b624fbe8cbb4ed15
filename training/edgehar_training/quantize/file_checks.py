"""Checks of converted files: int8 throughout, and the same answers streamed and for a whole window."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import ConversionError
from edgehar.model.interpreter import TfliteModel
from edgehar.model.tflite import read_graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


def operators(content: bytes) -> Counter[str]:
    """Count the operators of a TFLite file by name; custom (Flex) operators as `custom:NAME`."""
    graph = read_graph(content, "TFLite file")
    return Counter(f"custom:{operator.name}" if operator.custom else operator.name for operator in graph.operators)


def check_int8(content: bytes, name: str) -> None:
    """Check that a file uses only built-in int8 operators.

    Raises:
        ConversionError: it has a custom (Flex) operator or a float tensor.
    """
    custom = [operation for operation in operators(content) if operation.startswith("custom:")]
    if custom:
        raise ConversionError(f"{name}: needs {', '.join(custom)}, which the runtime of the device does not have")
    graph = read_graph(content, name)
    # A fused LSTM names its inner ranges by tensors that hold nothing and that no operator uses.
    used = {index for operator in graph.operators for index in (*operator.inputs, *operator.outputs)} - {-1}
    for tensor in (graph.tensors[index] for index in sorted(used)):
        if tensor.kind in ("FLOAT32", "FLOAT16", "FLOAT64"):
            raise ConversionError(f"{name}: tensor {tensor.name} is not int8; a layer was left in float")


def check_identity(encoder: bytes, head: bytes, window_model: bytes, windows: Iterable[npt.NDArray[np.int8]]) -> int:
    """Check that streaming and the whole-window model give the same bytes in the installed runtime.

    Args:
        encoder: `encoder.tflite`.
        head: `head.tflite`.
        window_model: `window.tflite`.
        windows: int8 `(window, height, width, 3)` each.

    Returns:
        The number of compared windows.

    Raises:
        ConversionError: they differ.
    """
    encode = TfliteModel(encoder, name="encoder.tflite")
    classify = TfliteModel(head, name="head.tflite")
    whole = TfliteModel(window_model, name="window.tflite")
    compared = 0
    for frames in windows:
        streamed = classify.run(np.concatenate([encode.run(frame) for frame in frames]))
        at_once = whole.run(frames)
        if not np.array_equal(streamed, at_once):
            raise ConversionError(
                f"window {compared}: streaming gives {streamed.tolist()}, window.tflite {at_once.tolist()}; "
                "the TFLite runtime computes them differently; try another version of it"
            )
        compared += 1
    return compared
