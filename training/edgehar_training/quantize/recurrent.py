"""Recurrent layers, unrolled over the window.

All operators are then plain int8 operators that XNNPACK runs, and the head keeps no state between calls. The fused LSTM
of TFLite is ten times slower in int8 (it has no XNNPACK kernel) and keeps its state, and the loop that Keras writes
crashes the converter.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import keras

    from edgehar_training.quantize.quantizer import Quantizer, Step

# Beyond this, int8 sigmoid (steps of 1/256, up to 255/256) and tanh (steps of 1/128, up to 127/128) are constant.
GATE_BOUND = math.log(511)
# Steps of 1/256 and 1/128, which TFLite prescribes for the int8 output of these functions.
SIGMOID_LIMITS, TANH_LIMITS = (0.0, 255 / 256), (-1.0, 127 / 128)


def lstm(layer: keras.layers.LSTM, place: str) -> Step:
    """Unroll an LSTM with forget gate (Gers et al., 2000), in the gate order of Keras: i, f, c, o."""
    _check(layer, place)
    _check_gates(layer, place)

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        cell = _LstmCell(layer.cell, place, quantizer)
        return _over_time(layer, inputs[0], cell, place, quantizer)

    return step


def gru(layer: keras.layers.GRU, place: str) -> Step:
    """Unroll a GRU (Cho et al., 2014) with its reset gate after the product, in the gate order of Keras: z, r, h."""
    _check(layer, place)
    _check_gates(layer, place)
    if not layer.reset_after:
        raise ConversionError(f"{place}: a GRU is exported with reset_after=True, Keras' default")

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        cell = _GruCell(layer.cell, place, quantizer)
        return _over_time(layer, inputs[0], cell, place, quantizer)

    return step


def simple_rnn(layer: keras.layers.SimpleRNN, place: str) -> Step:
    """Unroll a simple recurrent layer (Elman, 1990) with tanh or ReLU."""
    _check(layer, place)
    if _name(layer.activation) not in ("tanh", "relu"):
        raise ConversionError(f"{place}: activation {_name(layer.activation)} cannot be exported; use tanh or relu")

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        cell = _SimpleCell(layer.cell, place, quantizer, bounded=_name(layer.activation) == "tanh")
        return _over_time(layer, inputs[0], cell, place, quantizer)

    return step


def conv_lstm(layer: keras.layers.ConvLSTM2D, place: str) -> Step:
    """Unroll a convolutional LSTM (Shi et al., 2015), in the gate order of Keras: i, f, c, o."""
    _check(layer, place)
    _check_gates(layer, place)
    if layer.cell.data_format != "channels_last":
        raise ConversionError(f"{place}: is exported with channels last only")

    def step(inputs: Sequence[Any], quantizer: Quantizer) -> Any:
        cell = _ConvLstmCell(layer.cell, place, quantizer)
        return _over_time(layer, inputs[0], cell, place, quantizer)

    return step


def _over_time(layer: keras.layers.Layer, values: Any, cell: Any, place: str, quantizer: Quantizer) -> Any:
    """Return the last state, or all states, for `(batch, window, ...)`."""
    window = values.shape[1]
    # The contribution of the input is one product for all steps, with rows sorted by step.
    from_input = quantizer(f"{place}/input", cell.from_input(quantizer.arrange(_sorted_by_step, values)))
    states = []
    for step in range(window):
        rows = quantizer.arrange(functools.partial(_rows_of_step, step=step, window=window), from_input)
        cell.advance(rows, f"{place}/{step}")
        states.append(cell.hidden)
    if not layer.return_sequences:
        return states[-1]
    # One scale for all steps; the next step also reads each state but the last.
    return quantizer.join(f"{place}/sequence", _stacked, states, [*[False] * (window - 1), True])


def _sorted_by_step(values: Any) -> Any:
    """Reorder `(batch, window, ...)` to `(window * batch, ...)`."""
    from keras import ops

    axes = list(range(len(values.shape)))
    return ops.reshape(ops.transpose(values, [1, 0, *axes[2:]]), (-1, *values.shape[2:]))


def _rows_of_step(rows: Any, step: int, window: int) -> Any:
    from keras import ops

    batch = ops.shape(rows)[0] // window
    return rows[step * batch : (step + 1) * batch]


def _stacked(states: list[Any]) -> Any:
    from keras import ops

    return ops.stack(states, axis=1)


class _Cell:
    """Weights and state of a recurrent cell."""

    def __init__(self, cell: Any, place: str, quantizer: Quantizer) -> None:
        self._place, self._quantizer = place, quantizer
        self._kernel = quantizer.weight(cell.kernel)
        self._recurrent = quantizer.weight(cell.recurrent_kernel, often=True)
        self._bias, self._units = quantizer.bias(cell.bias), cell.recurrent_kernel.shape[-2]
        self._recurrent_bias: Any = None
        self.hidden: Any = None

    @property
    def state(self) -> dict[str, Any]:
        """The state passed to the next step, by the last part of the name of its place."""
        return {"hidden": self.hidden}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.hidden = state["hidden"]

    def from_input(self, rows: Any) -> Any:
        """Compute the contribution of the input to the gates, for all steps."""
        from keras import ops

        return self._quantizer.linear(ops.matmul, rows, self._kernel, self._bias)

    def from_hidden(self) -> Any:
        """Compute the contribution of the previous step to the gates."""
        from keras import ops

        return self._quantizer.linear(ops.matmul, self.hidden, self._recurrent, self._recurrent_bias)

    def gate(self, gates: Any, number: int) -> Any:
        """Slice one gate. The converter leaves a split in float if one of its outputs is unused."""
        return gates[..., number * self._units : (number + 1) * self._units]

    def sigmoid(self, values: Any) -> Any:
        """Compute a sigmoid, in steps of 1/256."""
        from keras import ops

        return self._quantizer.curve(ops.sigmoid, values, SIGMOID_LIMITS)

    def tanh(self, values: Any) -> Any:
        """Compute a tanh, in steps of 1/128."""
        from keras import ops

        return self._quantizer.curve(ops.tanh, values, TANH_LIMITS)


class _LstmCell(_Cell):
    """Long short-term memory."""

    def __init__(self, cell: Any, place: str, quantizer: Quantizer) -> None:
        super().__init__(cell, place, quantizer)
        self._cell: Any = None

    @property
    def state(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "cell": self._cell}

    def resume(self, state: Mapping[str, Any]) -> None:
        self.hidden, self._cell = state["hidden"], state["cell"]

    def advance(self, gates: Any, at: str) -> None:
        """Take a step."""
        q = self._quantizer
        if self.hidden is not None:
            gates = gates + q(f"{at}/recurrent", self.from_hidden())
        gates = q(f"{at}/gates", gates, bound=GATE_BOUND)
        write, forget, content, read = (self.gate(gates, number) for number in range(4))
        added = q(f"{at}/added", self.sigmoid(write) * self.tanh(content))
        kept = None if self._cell is None else q(f"{at}/kept", self.sigmoid(forget) * self._cell)
        self._cell = added if kept is None else q(f"{at}/cell", kept + added)
        self.hidden = q(f"{at}/hidden", self.sigmoid(read) * self.tanh(self._cell))


class _ConvLstmCell(_LstmCell):
    """Long short-term memory whose products are convolutions."""

    def __init__(self, cell: Any, place: str, quantizer: Quantizer) -> None:
        super().__init__(cell, place, quantizer)
        self._layer, self._units = cell, cell.filters

    def from_input(self, rows: Any) -> Any:
        from keras import ops

        cell = self._layer
        options = {"strides": cell.strides, "padding": cell.padding, "dilation_rate": cell.dilation_rate}
        convolve = functools.partial(ops.conv, **options)
        return self._quantizer.linear(convolve, rows, self._kernel, self._bias)

    def from_hidden(self) -> Any:
        from keras import ops

        convolve = functools.partial(ops.conv, strides=1, padding="same")
        return self._quantizer.linear(convolve, self.hidden, self._recurrent)


class _GruCell(_Cell):
    """Gated recurrent unit: z, r and the candidate h."""

    def __init__(self, cell: Any, place: str, quantizer: Quantizer) -> None:
        super().__init__(cell, place, quantizer)
        self._bias, self._recurrent_bias = self._bias[0], self._bias[1]

    def advance(self, gates: Any, at: str) -> None:
        """Take a step: h = c + z (h - c), with c = tanh(x + r (U h + b))."""
        q, units = self._quantizer, self._units
        if self.hidden is None:
            self.hidden = q.zeros_like(gates[:, :units])
        recurrent = q(f"{at}/recurrent", self.from_hidden())
        # Ranges are repeated for slices, because the converter would choose another range for a slice, or leave it in
        # float.
        from_input = q(f"{self._place}/input", gates[:, : 2 * units])
        from_hidden = q(f"{at}/recurrent", recurrent[:, : 2 * units])
        both = q(f"{at}/gates", from_input + from_hidden, bound=GATE_BOUND)
        update, reset = self.sigmoid(self.gate(both, 0)), self.sigmoid(self.gate(both, 1))
        candidate = q(f"{at}/recurrent", self.gate(recurrent, 2))
        remembered = q(f"{at}/remembered", reset * candidate)
        fresh = q(f"{self._place}/input", self.gate(gates, 2))
        content = self.tanh(q(f"{at}/content", fresh + remembered, bound=GATE_BOUND))
        change = q(f"{at}/change", self.hidden - content)
        self.hidden = q(f"{at}/hidden", content + q(f"{at}/kept", update * change))


class _SimpleCell(_Cell):
    """One layer of tanh or ReLU."""

    def __init__(self, cell: Any, place: str, quantizer: Quantizer, *, bounded: bool) -> None:
        super().__init__(cell, place, quantizer)
        self._bounded = bounded

    def advance(self, gates: Any, at: str) -> None:
        """Take a step."""
        from keras import ops

        q = self._quantizer
        if self.hidden is not None:
            gates = gates + q(f"{at}/recurrent", self.from_hidden())
        if self._bounded:
            self.hidden = self.tanh(q(f"{at}/gates", gates, bound=GATE_BOUND))
        else:
            self.hidden = q(f"{at}/hidden", q.activate(ops.relu, gates, (0.0, math.inf)))


def cell_of(layer: keras.layers.Layer, place: str, quantizer: Quantizer) -> Any:
    """Return the cell of a checked recurrent layer, to take single steps. Returns None for another layer."""
    kind = type(layer).__name__
    if kind == "SimpleRNN":
        return _SimpleCell(layer.cell, place, quantizer, bounded=_name(layer.activation) == "tanh")
    made = {"LSTM": _LstmCell, "GRU": _GruCell}.get(kind)
    return None if made is None else made(layer.cell, place, quantizer)


def _check(layer: keras.layers.Layer, place: str) -> None:
    if layer.go_backwards or layer.stateful or not layer.use_bias or getattr(layer, "return_state", False):
        raise ConversionError(
            f"{place}: a recurrent layer is exported that reads forwards, keeps no state between windows, gives no "
            "state, and has a bias"
        )


def _check_gates(layer: keras.layers.Layer, place: str) -> None:
    if _name(layer.activation) != "tanh" or _name(layer.recurrent_activation) != "sigmoid":
        raise ConversionError(f"{place}: is exported with the activations tanh and sigmoid, Keras' defaults")


def _name(function: Any) -> str:
    return str(function.__name__)
