"""Checks of int8 files: which operations they need, and whether streaming equals the whole-window model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import ConversionError
from edgehar.model.interpreter import TfliteModel
from edgehar.model.tflite import builtin_code, load_schema, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


def operators(content: bytes) -> Counter[str]:
    """How often each operation stands in a TFLite file, by its name; custom ones (Flex) as `custom:NAME`."""
    schema = load_schema()
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = parse(content, "TFLite file")
    found: Counter[str] = Counter()
    for operator in model.subgraphs[0].operators:
        custom = model.operatorCodes[operator.opcodeIndex].customCode
        found[f"custom:{custom.decode()}" if custom else names[builtin_code(model, operator)]] += 1
    return found


def check_int8(content: bytes, name: str) -> None:
    """Check that a file needs nothing but int8 built-in operations.

    Raises:
        ConversionError: it has a custom (Flex) operation, or a tensor of floats.
    """
    schema = load_schema()
    custom = [operation for operation in operators(content) if operation.startswith("custom:")]
    if custom:
        raise ConversionError(f"{name}: needs {', '.join(custom)}, which the device's runtime does not have")
    floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16, schema.TensorType.FLOAT64)
    graph = parse(content, "TFLite file").subgraphs[0]
    # A fused LSTM names ranges within it by tensors of their own, which hold nothing.
    used = {int(index) for operator in graph.operators for index in (*operator.inputs, *operator.outputs)} - {-1}
    for tensor in (graph.tensors[index] for index in sorted(used)):
        if tensor.type in floats:
            raise ConversionError(f"{name}: tensor {tensor.name.decode()} is not int8; a layer was left in float")


def check_identity(encoder: bytes, head: bytes, window_model: bytes, windows: Iterable[npt.NDArray[np.int8]]) -> int:
    """Check that streaming and the whole-window model give the same bytes, in the runtime that is installed.

    Args:
        encoder: `encoder.tflite`.
        head: `head.tflite`.
        window_model: `window.tflite`.
        windows: int8 `(window, height, width, 3)` each.

    Returns:
        How many windows were compared.

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
                "the TFLite runtime computes them differently, try another version of it"
            )
        compared += 1
    return compared
