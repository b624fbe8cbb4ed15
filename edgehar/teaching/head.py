"""The head that teaching makes: the logits of the old head, corrected by a linear map of pooled features.

The old head stays in the file and is computed as before. Beside it stands the mean and the maximum over time of every
feature of the window. `logits = [old logits, 0] + [mean, maximum] @ weights + biases`, and a softmax gives the scores.
A class that teaching leaves alone therefore keeps its logit exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import BundleError
from edgehar.model.manifest import Affine
from edgehar.model.tflite import append_constant, builtin_code, load_schema, pack, parse

if TYPE_CHECKING:
    import numpy.typing as npt

# Scores 0 to 255/256 in 256 steps, as TFLite's own int8 softmax gives them.
SCORES = Affine(1 / 256, -128)


@dataclass(frozen=True)
class Correction:
    """What is added to the old head.

    Attributes:
        weights: float32 `(2 * features, labels)`: of the features' means, then of their maxima.
        biases: float32 `(labels,)`.
    """

    weights: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]


def probe_head(head: bytes, name: str) -> bytes:
    """Make a head that gives what a correction is fitted to.

    Args:
        head: TFLite file, int8 `(1, window, features)` to `(1, labels)`, which ends in a softmax.
        name: what errors call it.

    Returns:
        A TFLite file from the same input to float32 `(1, labels + 2 * features)`: old logits, means, maxima.

    Raises:
        BundleError: the head cannot be taken apart.
    """
    return _Surgery(head, name).finish_probe()


def corrected_head(head: bytes, correction: Correction, name: str) -> bytes:
    """Make the head that answers with the correction; it gives int8 `(1, labels)` scores quantized as `SCORES`.

    Args:
        head: as for `probe_head`.
        correction: for at least as many labels as the old head has; the first are the old head's.
        name: what errors call it.

    Raises:
        BundleError: the head cannot be taken apart.
    """
    return _Surgery(head, name).finish_corrected(correction)


class _Surgery:
    """A head with its softmax cut off and pooled features beside its logits."""

    def __init__(self, head: bytes, name: str) -> None:
        self._schema = load_schema()
        self._model = parse(head, name)
        self._graph = self._model.subgraphs[0]
        logits = self._cut_softmax(name)
        self._labels = int(self._graph.tensors[logits].shape[-1])
        features = self._pooled(int(self._graph.inputs[0]))
        self._probe = self._concatenate([self._as_float(logits, (1, self._labels)), *features])
        # Signatures and metadata describe the old outputs.
        self._model.signatureDefs = self._model.metadata = self._model.metadataBuffer = None

    def finish_probe(self) -> bytes:
        return self._pack(self._probe)

    def finish_corrected(self, correction: Correction) -> bytes:
        labels = correction.biases.shape[0]
        kept = np.eye(self._labels, labels, dtype=np.float32)
        table = np.concatenate([kept, correction.weights])
        schema = self._schema
        weights = self._tensor("taught_weights", (labels, table.shape[0]), np.ascontiguousarray(table.T))
        biases = self._tensor("taught_biases", (labels,), correction.biases.astype(np.float32))
        logits = self._tensor("taught_logits", (1, labels))
        self._operator("FULLY_CONNECTED", 1, [self._probe, weights, biases], logits, schema.FullyConnectedOptionsT())
        scores = self._tensor("taught_scores", (1, labels))
        softmax = schema.SoftmaxOptionsT()
        softmax.beta = 1.0
        self._operator("SOFTMAX", 1, [logits], scores, softmax)
        output = self._tensor("scores", (1, labels), kind=schema.TensorType.INT8, affine=SCORES)
        self._operator("QUANTIZE", 1, [scores], output, schema.QuantizeOptionsT())
        return self._pack(output)

    def _cut_softmax(self, name: str) -> int:
        """Drop the last softmax and all behind it; return the tensor of the logits."""
        for index in range(len(self._graph.operators) - 1, -1, -1):
            operator = self._graph.operators[index]
            if builtin_code(self._model, operator) == self._schema.BuiltinOperator.SOFTMAX:
                self._graph.operators = self._graph.operators[:index]
                return int(operator.inputs[0])
        raise BundleError(f"{name}: does not end in a softmax, so it cannot be taught; convert the model again")

    def _pooled(self, source: int) -> tuple[int, int]:
        schema = self._schema
        _, window, count = (int(side) for side in self._graph.tensors[source].shape)
        real = self._as_float(source, (1, window, count))
        axis = self._tensor("time_axis", (1,), np.array([1], np.int32), schema.TensorType.INT32)
        pooled = []
        for name in ("MEAN", "REDUCE_MAX"):
            output = self._tensor(f"features_{name.lower()}", (1, count))
            self._operator(name, 1, [real, axis], output, schema.ReducerOptionsT())
            pooled.append(output)
        return pooled[0], pooled[1]

    def _as_float(self, source: int, shape: tuple[int, ...]) -> int:
        if self._graph.tensors[source].type == self._schema.TensorType.FLOAT32:
            return source
        output = self._tensor("real", shape)
        self._operator("DEQUANTIZE", 2, [source], output, self._schema.DequantizeOptionsT())
        return output

    def _concatenate(self, parts: list[int]) -> int:
        size = sum(int(self._graph.tensors[part].shape[-1]) for part in parts)
        output = self._tensor("probe", (1, size))
        options = self._schema.ConcatenationOptionsT()
        options.axis = 1
        self._operator("CONCATENATION", 1, parts, output, options)
        return output

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        constant: npt.NDArray[Any] | None = None,
        kind: int | None = None,
        affine: Affine | None = None,
    ) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = name.encode(), np.array(shape, np.int32)
        tensor.type, tensor.buffer = self._schema.TensorType.FLOAT32 if kind is None else kind, 0
        if constant is not None:
            tensor.buffer = append_constant(self._model, constant)
        if affine is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([affine.scale], np.float32)
            tensor.quantization.zeroPoint = np.array([affine.zero_point], np.int64)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operator(self, name: str, version: int, inputs: list[int], output: int, options: Any) -> None:
        schema = self._schema
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        number = getattr(schema.BuiltinOperator, name)
        # Old readers only know the second, which is one byte (TFLite schema, version 3a).
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        operator.opcodeIndex = len(self._model.operatorCodes)
        self._model.operatorCodes.append(code)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._graph.operators.append(operator)

    def _pack(self, output: int) -> bytes:
        self._graph.outputs = np.array([output], np.int32)
        return pack(self._model)
