"""The other two heads: the fused int8 LSTM of TFLite, and a float head between int8 features and scores.

The unrolled head of `export` is the default, by measurement (`scripts/bench/heads.py`, docs/quantization.md).
"""

from __future__ import annotations

import tempfile
import uuid
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from edgehar.errors import ConversionError
from edgehar.model.tflite import pack, parse
from edgehar_training.quantize.arithmetic import RealArithmetic
from edgehar_training.quantize.export import SCORES, SEAM
from edgehar_training.quantize.plan import Plan
from edgehar_training.quantize.simplify import simplified
from edgehar_training.settings.quantize import HeadKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import keras
    import numpy.typing as npt

    from edgehar.model.manifest import Affine
    from edgehar_training.quantize.ranges import FakeQuantRanges

HEADS: tuple[HeadKind, ...] = get_args(HeadKind)


def fused_head(head: keras.Model, ranges: FakeQuantRanges, features: npt.NDArray[np.float32]) -> bytes:
    """Convert an int8 head whose LSTMs are UNIDIRECTIONAL_SEQUENCE_LSTM: weights and output 8 bits, cell 16 bits.

    The operator keeps its state between calls, so the caller resets all variables before each window. TFLite's
    calibrator finds its inner ranges.

    Args:
        head: `(batch, window, features)` to `(batch, classes)`, with an LSTM.
        ranges: the range of the seam is used.
        features: features for the calibrator, float32 `(n, window, features)`.

    Raises:
        ConversionError: the head has no LSTM, or an LSTM that cannot be fused.
    """
    import tensorflow as tf

    plan = _FusedPlan(simplified(head))
    quantizer = _SeamOnly(ranges)
    module = tf.Module()
    module.head = tf.function(
        lambda values: plan(quantizer(SEAM, values), quantizer),
        input_signature=[tf.TensorSpec((1, *features.shape[1:]), tf.float32)],
        autograph=False,
    )
    with tempfile.TemporaryDirectory(prefix="edgehar-head-") as folder:
        # The converter only recognizes the function of a fused operator in a SavedModel.
        tf.saved_model.save(module, folder, signatures={"serving_default": module.head})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sequence[None]] for sequence in features)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        content: bytes = converter.convert()
    return _without_signatures(content)


def float_head(head: keras.Model, seam: Affine) -> bytes:
    """Convert a head of float32 arithmetic, with int8 features in and int8 scores in steps of 1/256 out.

    Args:
        head: `(batch, window, features)` to `(batch, classes)`.
        seam: quantization of the features, equal to that of the output of the encoder.

    Raises:
        ConversionError: a layer cannot be exported.
    """
    import tensorflow as tf

    plan, quantizer = Plan(simplified(head), SEAM), _Float()
    graph = tf.function(
        lambda values: plan(values, quantizer),
        input_signature=[tf.TensorSpec((1, *head.input_shape[1:]), tf.float32)],
        autograph=False,
    )
    content = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()]).convert()
    return _with_int8_ends(content, seam)


class _Float(RealArithmetic):
    """A quantizer that computes in float."""

    def __call__(self, place: str, values: Any, *, bound: float = np.inf) -> Any:
        del place, bound
        return values

    def weight(self, variable: Any, *, kept: Sequence[int] | None = None, often: bool = False) -> Any:
        """Return the weight as a constant, because a fused operator takes no variable."""
        del often
        from keras import ops

        return _constant(variable) if kept is None else ops.reshape(_constant(variable), kept)

    def bias(self, variable: Any) -> Any:
        """Return the bias as a constant."""
        return _constant(variable)


class _SeamOnly(_Float):
    """A quantizer with only the range of the seam; the calibrator finds the other ranges."""

    def __init__(self, ranges: FakeQuantRanges) -> None:
        self._ranges = ranges

    def __call__(self, place: str, values: Any, *, bound: float = np.inf) -> Any:
        return self._ranges(place, values, bound=bound) if place == SEAM else values


def _constant(variable: Any) -> Any:
    import tensorflow as tf

    with tf.init_scope():
        array = variable.numpy()
    return tf.constant(array)


class _FusedPlan(Plan):
    """A head whose LSTMs are functions that the converter recognizes."""

    def __init__(self, head: keras.Model) -> None:
        super().__init__(head, SEAM)
        fused = [index for index, node in enumerate(self._nodes) if node.kind == "LSTM"]
        if not fused:
            raise ConversionError(f"{head.name}: has no LSTM to fuse; use --head unrolled")
        for index in fused:
            self._steps[index] = _fused(self._nodes[index].layer)


def _fused(layer: keras.layers.LSTM) -> Callable[[Sequence[Any], Any], Any]:
    def step(inputs: Sequence[Any], quantizer: Any) -> Any:
        import tensorflow as tf

        kernel, recurrent = quantizer.weight(layer.cell.kernel), quantizer.weight(layer.cell.recurrent_kernel)
        start = tf.zeros((1, layer.units))
        last, sequence, *_ = _standard_lstm(layer.return_sequences)(
            inputs[0], start, start, kernel, recurrent, quantizer.bias(layer.cell.bias)
        )
        return sequence if layer.return_sequences else last

    return step


def _standard_lstm(return_sequences: bool) -> Any:
    """Return the LSTM function of Keras 2: the converter fuses it by its attributes, arguments and results."""
    import tensorflow as tf

    def standard_lstm(x: Any, h: Any, c: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
        steps = tf.transpose(x, [1, 0, 2])
        states = []
        for number in range(steps.shape[0]):
            gates = tf.matmul(steps[number], kernel) + tf.matmul(h, recurrent) + bias
            write, forget, content, read = tf.split(gates, 4, axis=1)
            c = tf.sigmoid(forget) * c + tf.sigmoid(write) * tf.tanh(content)
            h = tf.sigmoid(read) * tf.tanh(c)
            states.append(h)
        sequence = tf.stack(states, 1) if return_sequences else h[:, None, :]
        return h, sequence, h, c, tf.constant(1.0)

    attributes = {
        "api_implements": f"lstm_{uuid.uuid4()}",
        "api_preferred_device": "CPU",
        "go_backwards": False,
        "time_major": False,
    }
    return tf.function(standard_lstm, autograph=False, experimental_attributes=attributes)


def _without_signatures(content: bytes) -> bytes:
    """Remove signatures, so that the file has one graph like the others."""
    model = parse(content)
    model.signatureDefs = model.metadata = model.metadataBuffer = None
    return pack(model)


def _with_int8_ends(content: bytes, seam: Affine) -> bytes:
    """Add a DEQUANTIZE before a float graph, and a QUANTIZE after it."""
    from ai_edge_litert import schema_py_generated as schema

    model = parse(content)
    graph = model.subgraphs[0]
    builtin = schema.BuiltinOperator
    entry = _append_tensor(model, "features", graph.tensors[graph.inputs[0]].shape, seam)
    scores = _append_tensor(model, "scores", graph.tensors[graph.outputs[0]].shape, SCORES)
    graph.operators.insert(0, _operator(model, builtin.DEQUANTIZE, entry, int(graph.inputs[0])))
    graph.operators.append(_operator(model, builtin.QUANTIZE, int(graph.outputs[0]), scores))
    graph.inputs, graph.outputs = np.array([entry], np.int32), np.array([scores], np.int32)
    model.signatureDefs = model.metadata = model.metadataBuffer = None
    return pack(model)


def _append_tensor(model: Any, name: str, shape: Any, affine: Affine) -> int:
    from ai_edge_litert import schema_py_generated as schema

    tensor, quantization = schema.TensorT(), schema.QuantizationParametersT()
    quantization.scale = np.array([affine.scale], np.float32)
    quantization.zeroPoint = np.array([affine.zero_point], np.int64)
    tensor.name, tensor.type = name.encode(), schema.TensorType.INT8
    tensor.shape, tensor.quantization, tensor.buffer = np.array(shape, np.int32), quantization, len(model.buffers)
    model.buffers.append(schema.BufferT())
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _operator(model: Any, code: int, source: int, target: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    kind, operator = schema.OperatorCodeT(), schema.OperatorT()
    kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = code, min(code, 127), 2
    operator.opcodeIndex = len(model.operatorCodes)
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
    model.operatorCodes.append(kind)
    return operator
