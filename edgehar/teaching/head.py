"""The head that teaching makes: the old head, corrected where the scene looks like what was taught.

The old head stays in the file and is computed as before. Beside it stand the mean, the maximum and the standard
deviation over time of every feature of the window, `x`. With the old logits `o`:

    d_k = |s * x - c_k|^2 (1 + w_k a)                        a: how sure the old head is of an action
    g = clip(3 - 2 min_k d_k / r_k, 0, 1)                    how near the window is to what was taught
    logits = [o, max(o) - F for each new label] + g * (x @ weights + biases + [0, F for each new label])

A softmax gives the scores. Far from everything taught (`g` = 0) the head answers as the old one did, and a new label
cannot win: nothing is forgotten there, and nothing unknown is given a new name. A new label (`w` > 0) must be nearer
where the old head sees an action, so that it does not take that action's place. A label that teaching leaves alone
keeps its logit everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import BundleError
from edgehar.model.manifest import Affine
from edgehar.model.tflite import append_constant, builtin_code, load_schema, pack, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

# Scores 0 to 255/256 in 256 steps, as TFLite's own int8 softmax gives them.
SCORES = Affine(1 / 256, -128)


# What a new label's logit lies below the old head's best, far from everything taught.
FAR = 8.0
# Scores of all actions together from which the old head begins to be sure of one, and is.
UNSURE, SURE = 0.3, 0.7
# Statistics over time that a correction reads.
STATISTICS = 3


@dataclass(frozen=True)
class Gate:
    """The region in which a correction applies.

    Attributes:
        scale: factors of the pooled features, float32 `(pooled,)`.
        centres: middles of what was taught, in scaled features, float32 `(centres, pooled)`.
        radii: squared distance from each centre up to which the correction applies in full, float32 `(centres,)`, above
            0; from there to half as much again it fades out.
        wary: what a sure action of the old head adds to the distance, as a factor, float32 `(centres,)`.
        actions: indices of the old labels that open events.
    """

    scale: npt.NDArray[np.float32]
    centres: npt.NDArray[np.float32]
    radii: npt.NDArray[np.float32]
    wary: npt.NDArray[np.float32]
    actions: tuple[int, ...]

    def share(self, old: npt.NDArray[Any], pooled: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return how much of a correction applies, float `(windows,)` from 0 to 1.

        Args:
            old: logits of the old head, float `(windows, old labels)`.
            pooled: float `(windows, pooled)`.
        """
        distances = squared_distances(pooled * self.scale, self.centres)
        distances *= 1.0 + sure_of_action(old, self.actions)[:, None] * self.wary
        return np.asarray(np.clip(3.0 - 2.0 * (distances / self.radii).min(axis=1), 0.0, 1.0))

    def shrunk(self, reach: float) -> Gate:
        """Return the region with radii multiplied by `reach`."""
        return replace(self, radii=self.radii * np.float32(reach))


def everywhere(pooled: int) -> Gate:
    """Return a gate that lets a correction of so many features apply to every window."""
    nothing = np.zeros((1, pooled), np.float32)
    return Gate(nothing[0], nothing, np.ones(1, np.float32), np.zeros(1, np.float32), ())


def sure_of_action(old: npt.NDArray[Any], actions: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return how sure the old head is of any action, float `(windows,)`: from 0 at `UNSURE` or less to 1 at `SURE`.

    Args:
        old: logits of the old head, float `(windows, old labels)`.
        actions: indices of the labels that are actions.
    """
    likely = np.exp(old - old.max(axis=1, keepdims=True)).astype(np.float64)
    score = likely[:, list(actions)].sum(axis=1) / likely.sum(axis=1)
    return np.asarray(np.clip((score - UNSURE) / (SURE - UNSURE), 0.0, 1.0))


@dataclass(frozen=True)
class Correction:
    """The correction that is added to the old head.

    Attributes:
        weights: float32 `(pooled, labels)`: of the features' means, maxima and deviations, in this order.
        biases: float32 `(labels,)`.
        gate: where it applies.
    """

    weights: npt.NDArray[np.float32]
    biases: npt.NDArray[np.float32]
    gate: Gate

    def logits(self, old: npt.NDArray[Any], pooled: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the corrected logits, float `(windows, labels)`, as the head computes them.

        Args:
            old: logits of the old head, float `(windows, old labels)`.
            pooled: statistics of the features, float `(windows, pooled)`.
        """
        far = np.zeros(len(self.biases))
        far[old.shape[1] :] = FAR
        added = pooled @ self.weights.astype(np.float64) + self.biases + far
        return np.asarray(with_new_labels(old, len(far)) - far + self.gate.share(old, pooled)[:, None] * added)


def with_new_labels(old: npt.NDArray[Any], labels: int) -> npt.NDArray[np.float64]:
    """Return logits in which each new label equals the best old one, float `(windows, labels)`."""
    new = np.repeat(old.max(axis=1, keepdims=True), labels - old.shape[1], axis=1)
    return np.concatenate([old, new], axis=1).astype(np.float64)


def squared_distances(rows: npt.NDArray[Any], centres: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the squared distance of every row to every centre, float `(rows, centres)`."""
    squares = (rows**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None]
    return np.asarray(np.maximum(squares - 2.0 * (rows @ centres.T), 0.0), dtype=np.float64)


def probe_head(head: bytes, name: str) -> bytes:
    """Make a head that gives what a correction is fitted to.

    Args:
        head: TFLite file, int8 `(1, window, features)` to `(1, labels)`, which ends in a softmax.
        name: what errors call it.

    Returns:
        A TFLite file from the same input to float32 `(1, labels + 3 * features)`: old logits, means, maxima, and
        deviations.

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
        self._old = self._as_float(logits, (1, self._labels))
        self._pooled = self._joined(self._statistics(int(self._graph.inputs[0])))
        # Signatures and metadata describe the old outputs.
        self._model.signatureDefs = self._model.metadata = self._model.metadataBuffer = None

    def finish_probe(self) -> bytes:
        return self._pack(self._joined([self._old, self._pooled]))

    def finish_corrected(self, correction: Correction) -> bytes:
        schema, labels = self._schema, correction.biases.shape[0]
        far = np.zeros((1, labels), np.float32)
        far[:, self._labels :] = FAR
        logits = self._with_new_labels(labels)
        # The share is six times too large, as RELU6 gives it, so the rest is six times too small.
        added = self._dense(self._pooled, correction.weights / 6.0, (correction.biases + far[0]) / 6.0)
        gated = self._binary("MUL", added, self._share(correction.gate), (1, labels))
        near = self._binary("ADD", logits, gated, (1, labels))
        final = self._binary("SUB", near, self._constant("far", far), (1, labels))
        scores = self._softmax("shares", final, (1, labels))
        output = self._tensor("scores", (1, labels), kind=schema.TensorType.INT8, affine=SCORES)
        self._operator("QUANTIZE", 1, [scores], output, schema.QuantizeOptionsT())
        return self._pack(output)

    def _with_new_labels(self, labels: int) -> int:
        new = labels - self._labels
        if not new:
            return self._old
        best = self._reduced("REDUCE_MAX", self._old, (1, 1))
        return self._joined([self._old, *[best] * new])

    def _share(self, gate: Gate) -> int:
        """Return six times the share of the correction, `(1, 1)`."""
        pooled, centres = gate.scale.shape[0], gate.centres.astype(np.float32)
        scaled = self._binary("MUL", self._pooled, self._constant("scale", gate.scale[None]), (1, pooled))
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2
        products = self._dense(scaled, -2.0 * centres.T, (centres**2).sum(axis=1))
        squares = self._reduced("SUM", self._binary("MUL", scaled, scaled, (1, pooled)), (1, 1))
        count = (1, len(centres))
        distances = self._binary("ADD", products, squares, count)
        factors = self._constant("radii", (-12.0 / gate.radii[None]).astype(np.float32))
        steep = self._binary("MUL", self._binary("MUL", distances, factors, count), self._wariness(gate), count)
        nearest = self._reduced("REDUCE_MAX", steep, (1, 1))
        shifted = self._binary("ADD", nearest, self._constant("eighteen", np.full((1, 1), 18.0, np.float32)), (1, 1))
        share = self._tensor("share", (1, 1))
        self._operator("RELU6", 1, [shifted], share)
        return share

    def _wariness(self, gate: Gate) -> int:
        """Return the factor of every distance, `(1, centres)`."""
        likely = self._softmax("likely", self._old, (1, self._labels))
        steep = np.zeros((self._labels, 1), np.float32)
        steep[list(gate.actions)] = 6.0 / (SURE - UNSURE)
        sure = self._tensor("sure", (1, 1))
        shifted = self._dense(likely, steep, np.full(1, -6.0 * UNSURE / (SURE - UNSURE), np.float32))
        self._operator("RELU6", 1, [shifted], sure)
        return self._dense(sure, gate.wary[None] / 6.0, np.ones(len(gate.wary), np.float32))

    def _cut_softmax(self, name: str) -> int:
        """Drop the last softmax and all behind it; return the tensor of the logits."""
        for index in range(len(self._graph.operators) - 1, -1, -1):
            operator = self._graph.operators[index]
            if builtin_code(self._model, operator) == self._schema.BuiltinOperator.SOFTMAX:
                self._graph.operators = self._graph.operators[:index]
                return int(operator.inputs[0])
        raise BundleError(f"{name}: does not end in a softmax, so it cannot be taught; convert the model again")

    def _statistics(self, source: int) -> list[int]:
        """Return mean, maximum and standard deviation of the input over time, each `(1, features)`."""
        _, window, count = (int(side) for side in self._graph.tensors[source].shape)
        real, shape = self._as_float(source, (1, window, count)), (1, count)
        mean, peak = (self._reduced(name, real, shape, keep=False) for name in ("MEAN", "REDUCE_MAX"))
        squared = self._tensor("squared_difference", (1, window, count))
        self._operator("SQUARED_DIFFERENCE", 1, [real, mean], squared, self._schema.SquaredDifferenceOptionsT())
        deviation = self._tensor("deviation", shape)
        self._operator("SQRT", 1, [self._reduced("MEAN", squared, shape, keep=False)], deviation)
        return [mean, peak, deviation]

    def _as_float(self, source: int, shape: tuple[int, ...]) -> int:
        if self._graph.tensors[source].type == self._schema.TensorType.FLOAT32:
            return source
        output = self._tensor("real", shape)
        self._operator("DEQUANTIZE", 2, [source], output, self._schema.DequantizeOptionsT())
        return output

    def _joined(self, parts: list[int]) -> int:
        size = sum(int(self._graph.tensors[part].shape[-1]) for part in parts)
        output = self._tensor("joined", (1, size))
        options = self._schema.ConcatenationOptionsT()
        options.axis = 1
        self._operator("CONCATENATION", 1, parts, output, options)
        return output

    def _reduced(self, name: str, source: int, shape: tuple[int, ...], *, keep: bool = True) -> int:
        """Reduce axis 1."""
        options = self._schema.ReducerOptionsT()
        options.keepDims = keep
        output = self._tensor(name.lower(), shape)
        self._operator(name, 1, [source, self._constant("axis", np.array([1], np.int32))], output, options)
        return output

    def _softmax(self, name: str, logits: int, shape: tuple[int, ...]) -> int:
        output, options = self._tensor(name, shape), self._schema.SoftmaxOptionsT()
        options.beta = 1.0
        self._operator("SOFTMAX", 1, [logits], output, options)
        return output

    def _dense(self, source: int, weights: npt.NDArray[Any], biases: npt.NDArray[Any]) -> int:
        """Multiply by weights `(inputs, outputs)` and add biases `(outputs,)`."""
        table = self._constant("weights", np.ascontiguousarray(weights.T, np.float32))
        output = self._tensor("dense", (1, weights.shape[1]))
        inputs = [source, table, self._constant("biases", biases.astype(np.float32))]
        self._operator("FULLY_CONNECTED", 1, inputs, output, self._schema.FullyConnectedOptionsT())
        return output

    def _binary(self, name: str, left: int, right: int, shape: tuple[int, ...]) -> int:
        output = self._tensor(name.lower(), shape)
        options = getattr(self._schema, f"{name.capitalize()}OptionsT")()
        self._operator(name, 1, [left, right], output, options)
        return output

    def _constant(self, name: str, values: npt.NDArray[Any]) -> int:
        kind = self._schema.TensorType.INT32 if values.dtype == np.int32 else None
        return self._tensor(name, values.shape, values, kind)

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        constant: npt.NDArray[Any] | None = None,
        kind: int | None = None,
        affine: Affine | None = None,
    ) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = f"taught_{name}".encode(), np.array(shape, np.int32)
        tensor.type, tensor.buffer = self._schema.TensorType.FLOAT32 if kind is None else kind, 0
        if constant is not None:
            tensor.buffer = append_constant(self._model, constant)
        if affine is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([affine.scale], np.float32)
            tensor.quantization.zeroPoint = np.array([affine.zero_point], np.int64)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operator(self, name: str, version: int, inputs: list[int], output: int, options: Any = None) -> None:
        schema = self._schema
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        number = getattr(schema.BuiltinOperator, name)
        # Old readers only know the second, which is one byte (TFLite schema, version 3a).
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        operator.opcodeIndex = len(self._model.operatorCodes)
        self._model.operatorCodes.append(code)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._graph.operators.append(operator)

    def _pack(self, output: int) -> bytes:
        self._graph.outputs = np.array([output], np.int32)
        return pack(self._model)
