"""Read and edit TFLite files: tensors with their quantization and constants, operators with their options."""

from __future__ import annotations

import contextlib
import importlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import BundleError, RuntimeUnavailableError
from edgehar.model import macs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

# Modules with TFLite's schema in Python. tflite-runtime does not have one.
_SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")
IDENTIFIER = b"TFL3"
_DTYPES = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "INT64": np.int64,
    "INT32": np.int32,
    "INT16": np.int16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file.

    Attributes:
        index: number in the file.
        name: name given by the converter.
        shape: shape; () for a scalar.
        kind: type in TFLite's schema, for example "INT8".
        scales: quantization scales: one, one per channel, or none.
        zero_points: quantization zero points, like `scales`.
        axis: axis of the channels.
        buffer: number of the buffer with its constants; tensors may share one.
        data: constants, of `shape`; None for a computed tensor.
        variable: whether it keeps its values between runs.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    kind: str
    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    axis: int
    buffer: int
    data: npt.NDArray[Any] | None
    variable: bool

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.size * np.dtype(_DTYPES.get(self.kind, np.int8)).itemsize

    def real(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the real values of quantized values, float32 of their shape; unchanged if it is not quantized."""
        if not len(self.scales):
            return values.astype(np.float32)
        sides = [1] * values.ndim
        if len(self.scales) > 1:
            sides[self.axis] = len(self.scales)
        scales, zeros = self.scales.reshape(sides), self.zero_points.reshape(sides)
        return ((values.astype(np.float64) - zeros) * scales).astype(np.float32)


@dataclass(frozen=True)
class Operator:
    """One operator of a file, in the order they run.

    Attributes:
        index: number in the file.
        name: name in TFLite's schema, for example "CONV_2D"; for a custom operator, the author's name.
        version: version of the operator.
        custom: whether it is a custom operator.
        inputs: numbers of its input tensors; -1 for one that is left out.
        outputs: numbers of its output tensors.
        options: the schema's object with its options; None if it has none.
    """

    index: int
    name: str
    version: int
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any

    def option(self, name: str, default: int = 0) -> int:
        """Return an option by its name in the schema, or `default`."""
        return int(getattr(self.options, name, default))


@dataclass(frozen=True)
class Graph:
    """First subgraph of a file; files without loops and branches have only one.

    Attributes:
        content: the file.
        tensors: tensors by number.
        operators: operators in the order they run.
        inputs: numbers of the input tensors.
        outputs: numbers of the output tensors.
        signatures: names of the signatures.
        subgraphs: number of subgraphs.
    """

    content: bytes
    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: list[str]
    subgraphs: int

    @cached_property
    def parameters(self) -> int:
        """Number of trained values: constants that are quantized or float, each buffer once."""
        constants = {t.buffer: t.size for t in self.tensors if t.data is not None and is_trained(t)}
        return sum(constants.values())

    @cached_property
    def constant_bytes(self) -> int:
        """Size of all constants in bytes, each buffer once."""
        return sum({t.buffer: t.data.nbytes for t in self.tensors if t.data is not None}.values())

    def shapes(self, indices: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return shapes of tensors by number, `()` for one that is left out."""
        return [self.tensors[index].shape if index >= 0 else () for index in indices]

    def macs_of(self, operator: Operator) -> int | None:
        """Return the multiply-accumulates of an operator, or None if unknown."""
        return macs.of_operator(operator.name, self.shapes(operator.inputs), self.shapes(operator.outputs))

    @cached_property
    def macs(self) -> int | None:
        """Multiply-accumulates of one run, or None if unknown."""
        counts = [self.macs_of(operator) for operator in self.operators]
        return None if None in counts else sum(count for count in counts if count is not None)


def is_trained(tensor: Tensor) -> bool:
    """Return whether a constant is a weight or bias, and not a shape, axis or index."""
    return len(tensor.scales) > 0 or tensor.kind.startswith("FLOAT")


def load_schema() -> Any:
    """Return TFLite's schema as a Python module.

    Raises:
        RuntimeUnavailableError: no installed package contains it.
    """
    for name in _SCHEMAS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise RuntimeUnavailableError(
        "reading the operators of a TFLite file needs ai-edge-litert, because tflite-runtime lacks the schema; run: "
        "pip install ai-edge-litert (or inspect the bundle on another machine)"
    )


def parse(content: bytes, name: str = "TFLite file") -> Any:
    """Parse a TFLite file into the schema's objects, for editing; `pack` writes them back.

    Args:
        content: the file.
        name: how errors call it.

    Returns:
        A `ModelT` of the schema.

    Raises:
        RuntimeUnavailableError: no installed package contains the schema.
        BundleError: it is not a TFLite file, or it is damaged.
    """
    schema = load_schema()
    if content[4:8] != IDENTIFIER:
        raise BundleError(f"{name}: is not a TFLite file")
    with _damage_named(name):
        return schema.ModelT.InitFromPackedBuf(content, 0)


def pack(model: Any) -> bytes:
    """Return the TFLite file of a `ModelT`."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def builtin_code(model: Any, operator: Any) -> int:
    """Return the `BuiltinOperator` of an operator of a `ModelT`."""
    code = model.operatorCodes[operator.opcodeIndex]
    # Old readers know only the deprecated code, which is one byte (TFLite schema, version 3a).
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def append_constant(model: Any, values: npt.NDArray[Any]) -> int:
    """Append a buffer with these values to a `ModelT`; returns its number.

    Tensors with different scales may share a buffer, so an edited tensor gets a buffer of its own.
    """
    buffer = load_schema().BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def read_graph(content: bytes, name: str) -> Graph:
    """Read the first subgraph of a TFLite file: its tensors with their constants, and its operators.

    Args:
        content: the file.
        name: how errors call it.

    Raises:
        RuntimeUnavailableError: no installed package contains the schema.
        BundleError: it is not a TFLite file, or it is damaged.
    """
    model = parse(content, name)
    with _damage_named(name):
        return _graph(load_schema(), model, content)


@contextlib.contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Turn what a damaged file raises into a BundleError: index, type and value errors, and struct.error."""
    try:
        yield
    except Exception as error:
        raise BundleError(f"{name}: is damaged ({type(error).__name__}: {error}); copy or convert it again") from error


def _graph(schema: Any, model: Any, content: bytes) -> Graph:
    graph = model.subgraphs[0]
    kinds = _names(schema.TensorType)
    return Graph(
        content,
        [_tensor(index, tensor, kinds, model.buffers) for index, tensor in enumerate(graph.tensors)],
        [_operator(index, operator, model, schema) for index, operator in enumerate(graph.operators)],
        _indices(graph.inputs),
        _indices(graph.outputs),
        [(s.signatureKey or b"").decode(errors="replace") for s in model.signatureDefs or []],
        len(model.subgraphs),
    )


def _tensor(index: int, tensor: Any, kinds: dict[int, str], buffers: list[Any]) -> Tensor:
    kind, quantization = kinds[tensor.type], tensor.quantization
    shape = _indices(tensor.shape)
    raw = buffers[tensor.buffer].data
    data: npt.NDArray[Any] | None = None
    if raw is not None and len(raw) and kind in _DTYPES:
        data = np.frombuffer(np.asarray(raw, np.uint8).tobytes(), _DTYPES[kind]).reshape(shape)
    scales = None if quantization is None else quantization.scale
    zeros = None if quantization is None else quantization.zeroPoint
    count = 0 if scales is None else len(scales)
    return Tensor(
        index,
        (tensor.name or b"").decode(errors="replace"),
        shape,
        kind,
        np.asarray([] if scales is None else scales, np.float32),
        np.asarray(np.zeros(count) if zeros is None else zeros, np.int64),
        0 if quantization is None else int(quantization.quantizedDimension),
        int(tensor.buffer),
        data,
        bool(tensor.isVariable),
    )


def _operator(index: int, operator: Any, model: Any, schema: Any) -> Operator:
    code, number = model.operatorCodes[operator.opcodeIndex], builtin_code(model, operator)
    custom = number == schema.BuiltinOperator.CUSTOM
    name = (code.customCode or b"custom").decode(errors="replace") if custom else _names(schema.BuiltinOperator)[number]
    inputs, outputs = _indices(operator.inputs), _indices(operator.outputs)
    return Operator(index, name, int(code.version), custom, inputs, outputs, operator.builtinOptions)


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
