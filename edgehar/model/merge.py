"""Join the files of an encoder and a head into one model of a whole window, at the level of the flatbuffer.

A window model converted on its own gets scales that differ in their last digits. The joined model has the weights and
quantization of the two files, so streaming and whole-window answers are equal byte for byte.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConversionError
from edgehar.model.tflite import append_constant, builtin_code, load_schema, pack, parse

if TYPE_CHECKING:
    from collections.abc import Mapping


def merge(encoder: bytes, head: bytes, window: int) -> bytes:
    """Join an encoder of one frame and a head of one window into a model of a window of frames.

    Args:
        encoder: TFLite file, int8 `(1, height, width, 3)` or `(1, 2, height, width, 3)` to `(1, features)`.
        head: TFLite file, int8 `(1, window, features)` to `(1, classes)`.
        window: frames in a window.

    Returns:
        TFLite file, int8 `(window, ...)` to `(1, classes)`.

    Raises:
        ConversionError: the two files do not fit together.
    """
    model, tail = parse(encoder), parse(head)
    front, back = model.subgraphs[0], tail.subgraphs[0]
    seam, entry = front.tensors[front.outputs[0]], back.tensors[back.inputs[0]]
    _check_seam(seam, entry, window)
    _widen(model, window)
    _append(model, tail)
    # These describe the encoder alone.
    model.signatureDefs = model.metadata = model.metadataBuffer = None
    model.description = "edgehar window model"
    return pack(model)


def with_associated_files(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return a TFLite file with files appended as a zip; metadata readers find them, the runtime ignores them.

    Source: TensorFlow Lite model metadata, "associated files".
    """
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            # A fixed date, so that the same model gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def _affine(tensor: Any) -> tuple[list[float], list[int]]:
    quantization = tensor.quantization
    return np.asarray(quantization.scale).tolist(), np.asarray(quantization.zeroPoint).tolist()


def _check_seam(seam: Any, entry: Any, window: int) -> None:
    features = int(seam.shape[-1])
    if list(entry.shape) != [1, window, features]:
        raise ConversionError(
            f"the head takes features of shape {list(entry.shape)}, the encoder [1, {window}, {features}]"
        )
    if _affine(seam) != _affine(entry):
        raise ConversionError(
            f"the encoder's output has scale and zero point {_affine(seam)}, the head's input {_affine(entry)}; "
            "they must be equal to be joined"
        )


def _widen(model: Any, window: int) -> None:
    """Change the encoder to take `window` frames at once and to output one tensor `(1, window, features)`."""
    schema = load_schema()
    graph = model.subgraphs[0]
    for index in {index for operator in graph.operators for index in operator.outputs} | set(graph.inputs):
        tensor = graph.tensors[index]
        # More than one in a batch where a frame has two looks.
        tensor.shape, tensor.shapeSignature = np.array([tensor.shape[0] * window, *tensor.shape[1:]], np.int32), None
    reshapes = [
        operator for operator in graph.operators if builtin_code(model, operator) == schema.BuiltinOperator.RESHAPE
    ]
    if not reshapes or list(reshapes[-1].outputs) != list(graph.outputs):
        reshapes.append(_append_reshape(model))
    seam = graph.tensors[graph.outputs[0]]
    seam.shape = np.array([1, window, seam.shape[-1]], np.int32)
    for operator in reshapes:
        _set_reshape(model, operator)


def _append_reshape(model: Any) -> Any:
    """Append a RESHAPE of the output, with the same quantization. Its shapes are set later."""
    schema = load_schema()
    graph = model.subgraphs[0]
    before = graph.tensors[graph.outputs[0]]
    seam, target, code, operator = schema.TensorT(), schema.TensorT(), schema.OperatorCodeT(), schema.OperatorT()
    seam.name, seam.type, seam.shape, seam.quantization = b"seam", before.type, before.shape, before.quantization
    target.name, target.type = b"seam_shape", schema.TensorType.INT32
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    first, operator.opcodeIndex = len(graph.tensors), len(model.operatorCodes)
    operator.inputs = np.array([graph.outputs[0], first + 1], np.int32)
    operator.outputs = graph.outputs = np.array([first], np.int32)
    code.version = 1
    graph.tensors += [seam, target]
    graph.operators.append(operator)
    model.operatorCodes.append(code)
    return operator


def _set_reshape(model: Any, operator: Any) -> None:
    """Set the shape of a RESHAPE to the shape of its output tensor."""
    schema = load_schema()
    tensors = model.subgraphs[0].tensors
    target, output = tensors[operator.inputs[1]], tensors[operator.outputs[0]]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.NONE, None
    target.shape = np.array([len(output.shape)], np.int32)
    target.buffer = append_constant(model, np.array(output.shape, np.int32))


def _append(model: Any, tail: Any) -> None:
    """Append the operators of `tail` to those of `model`; the output of `model` becomes their input."""
    graph, back = model.subgraphs[0], tail.subgraphs[0]
    first_buffer, first_tensor, first_code = len(model.buffers), len(graph.tensors), len(model.operatorCodes)
    moved = {index: index + first_tensor for index in range(len(back.tensors))} | {-1: -1}
    moved[int(back.inputs[0])] = int(graph.outputs[0])

    def move(indices: Any) -> Any:
        return None if indices is None else np.array([moved[int(index)] for index in indices], np.int32)

    for tensor in back.tensors:
        tensor.buffer += first_buffer
    for operator in back.operators:
        operator.opcodeIndex += first_code
        operator.inputs, operator.outputs = move(operator.inputs), move(operator.outputs)
        operator.intermediates = move(operator.intermediates)
    model.buffers += tail.buffers
    model.operatorCodes += tail.operatorCodes
    graph.tensors += back.tensors
    graph.operators += back.operators
    graph.outputs = move(back.outputs)
