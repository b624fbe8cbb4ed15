"""Count the multiply-accumulates of a TFLite model from its operators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Shape: TypeAlias = tuple[int, ...]
    Shapes: TypeAlias = Sequence[Shape]
    Count: TypeAlias = Callable[[Shapes, Shapes], int]


def count(interpreter: Any) -> int | None:
    """Return the multiply-accumulates of one run, for operators with weights or matrices; None if unknown.

    Each weight of a convolution counts once for every output position, padding included. Operators that run on a
    delegate count as the original operators.

    Args:
        interpreter: with its tensors allocated.
    """
    try:
        # All runtimes have it, but not in their public API.
        operators = interpreter._get_ops_details()  # noqa: SLF001
    except AttributeError:
        return None
    shapes = {int(t["index"]): tuple(int(side) for side in t["shape"]) for t in interpreter.get_tensor_details()}
    total = 0
    for operator in operators:
        inputs, outputs = ([shapes.get(int(i), ()) for i in operator[side]] for side in ("inputs", "outputs"))
        macs = of_operator(operator["op_name"], inputs, outputs)
        if macs is None:
            return None
        total += macs
    return total


def of_operator(name: str, inputs: Shapes, outputs: Shapes) -> int | None:
    """Return the multiply-accumulates of one operator, 0 if it has no weights or matrices; None if unknown.

    Args:
        name: name of the operator in TFLite's schema.
        inputs: shapes of its inputs, in order; `()` for one that is left out.
        outputs: shapes of its outputs.
    """
    if name in _UNKNOWABLE or _is_custom(name):
        return None
    return _COUNTS[name](inputs, outputs) if name in _COUNTS else 0


def _is_custom(name: str) -> bool:
    """Return whether an operator is custom. TFLite's own are in capitals; delegates do not count."""
    return not name.isupper() and "delegate" not in name.lower()


def _convolution(inputs: Shapes, outputs: Shapes) -> int:
    """Weights are (out, height, width, in / groups)."""
    return math.prod(outputs[0]) * math.prod(inputs[1][1:])


def _depthwise(inputs: Shapes, outputs: Shapes) -> int:
    """Weights are (1, height, width, out)."""
    return math.prod(outputs[0]) * math.prod(inputs[1][1:3])


def _transposed(inputs: Shapes, _outputs: Shapes) -> int:
    """Weights are (out, height, width, in); the first input is the size of the output, the third the picture."""
    return math.prod(inputs[2]) * math.prod(inputs[1][:3])


def _convolution_3d(inputs: Shapes, outputs: Shapes) -> int:
    """Weights are (depth, height, width, in, out)."""
    return math.prod(outputs[0]) * math.prod(inputs[1][:4])


def _fully_connected(inputs: Shapes, outputs: Shapes) -> int:
    """Weights are (out, in)."""
    return math.prod(outputs[0]) * inputs[1][-1]


def _batch_matmul(inputs: Shapes, outputs: Shapes) -> int:
    """Batches of (m, k) times (k, n), either of which may be stored transposed."""
    left, right, out = (math.prod(shape) for shape in (inputs[0], inputs[1], outputs[0]))
    batch = math.prod(outputs[0][:-2])
    # The sizes are b m k, b k n and b m n: their product over b is the square of b m k n.
    return math.isqrt(left * right * out // batch)


def _sequence_lstm(inputs: Shapes, _outputs: Shapes) -> int:
    """Inputs 1 to 8 and 16 are the matrices of the gates and the projection, used once a step of each sequence."""
    matrices = [inputs[n] for n in (*range(1, 9), 16) if n < len(inputs) and len(inputs[n]) == 2]
    a_step: int = sum(map(math.prod, matrices))
    return math.prod(inputs[0][:2]) * a_step


_COUNTS: dict[str, Count] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "CONV_3D": _convolution_3d,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence_lstm,
}
# Loops and branches run other subgraphs as often as the data require.
_UNKNOWABLE = frozenset({"WHILE", "IF", "BIDIRECTIONAL_SEQUENCE_LSTM", "LSTM", "RNN", "SVDF"})
