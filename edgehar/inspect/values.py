"""Values inside a running network: histograms, and the difference between int8 and float, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import BundleError, RuntimeUnavailableError
from edgehar.model.runtime import load_runtime

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.model.tflite import Graph, Operator

BINS = 64


@dataclass
class Histogram:
    """A histogram of values.

    Attributes:
        low: real value of the left edge.
        high: real value of the right edge.
        counts: int64 `(BINS,)`.
    """

    low: float
    high: float
    counts: npt.NDArray[np.int64]


@dataclass
class Values:
    """Values at the output of one operator, over all runs.

    Attributes:
        operator: the operator.
        histogram: histogram of the int8 values over the whole range of int8.
        used: share of the 256 levels of int8 that occurred.
        low_share: share of values at the lowest level.
        high_share: share of values at the highest level; a large share means clipping.
        signal: root mean square of the float values; None without a float copy.
        error: root mean square of int8 minus float.
        largest: largest difference between int8 and float.
    """

    operator: Operator
    histogram: Histogram
    used: float
    low_share: float
    high_share: float
    signal: float | None
    error: float | None
    largest: float | None

    @property
    def ratio_db(self) -> float | None:
        """Ratio of signal to error in decibels; None if unknown, or if there is no error."""
        if self.signal is None or not self.error or not self.signal:
            return None
        return float(20 * np.log10(self.signal / self.error))


class Watched:
    """An interpreter whose tensors can all be read after a run: plain kernels, without delegates."""

    def __init__(self, content: bytes, name: str) -> None:
        """Load a model.

        Raises:
            RuntimeUnavailableError: the runtime is too old for this.
            BundleError: it cannot load the model.
        """
        runtime = load_runtime()
        kernels = getattr(runtime.module, "OpResolverType", None)
        if kernels is None:
            raise RuntimeUnavailableError(f"{runtime.package} {runtime.version} cannot read the tensors of a network")
        try:
            self._interpreter: Any = runtime.interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=kernels.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{name}: {runtime.package} {runtime.version} cannot load it: {error}") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self.shape = tuple(self._interpreter.get_input_details()[0]["shape"])

    def run(self, values: npt.NDArray[Any]) -> None:
        """Run the model on one input, without the state of earlier runs."""
        self._interpreter.reset_all_variables()
        self._interpreter.set_tensor(self._input, values.reshape(self.shape))
        self._interpreter.invoke()

    def read(self, index: int) -> npt.NDArray[Any]:
        """Return a copy of a tensor by its number."""
        values: npt.NDArray[Any] = self._interpreter.get_tensor(index)
        return values


def watch(
    graph: Graph, int8: Watched, inputs: npt.NDArray[np.int8], real: tuple[Watched, npt.NDArray[np.float32]] | None
) -> list[Values]:
    """Run a network on many inputs and collect the outputs of each operator.

    Args:
        graph: the int8 file.
        int8: the loaded int8 file.
        inputs: one input per run.
        real: the loaded float copy with its inputs; None if there is none.

    Returns:
        One entry for each operator whose output is int8.
    """
    gathered = {o.index: _Gathered(graph, o) for o in graph.operators if graph.tensors[o.outputs[0]].kind == "INT8"}
    for number, given in enumerate(inputs):
        int8.run(given)
        if real is not None:
            real[0].run(real[1][number])
        for one in gathered.values():
            index = one.tensor.index
            one.add(int8.read(index), None if real is None else real[0].read(index))
    return [one.values() for one in gathered.values()]


class _Gathered:
    """Running sums of the output of one operator."""

    def __init__(self, graph: Graph, operator: Operator) -> None:
        self.tensor, self._operator = graph.tensors[operator.outputs[0]], operator
        self._levels = np.zeros(256, np.int64)
        self._count, self._signal, self._error, self._largest = 0, 0.0, 0.0, 0.0
        self._compared = False

    def add(self, levels: npt.NDArray[np.int8], exact: npt.NDArray[np.float32] | None) -> None:
        self._levels += np.bincount(levels.reshape(-1).astype(np.int16) + 128, minlength=256)
        self._count += levels.size
        if exact is not None:
            difference = self.tensor.real(levels).astype(np.float64) - exact
            self._compared = True
            self._signal += float(np.square(exact, dtype=np.float64).sum())
            self._error += float(np.square(difference).sum())
            self._largest = max(self._largest, float(np.abs(difference).max()))

    def values(self) -> Values:
        low, high = self.tensor.real(np.array([[-128]], np.int8)), self.tensor.real(np.array([[127]], np.int8))
        histogram = Histogram(low.item(), high.item(), self._levels.reshape(BINS, -1).sum(axis=1))
        count = max(1, self._count)
        mean = (np.sqrt(self._signal / count), np.sqrt(self._error / count)) if self._compared else (None, None)
        return Values(
            self._operator,
            histogram,
            float((self._levels > 0).mean()),
            float(self._levels[0] / count),
            float(self._levels[-1] / count),
            None if mean[0] is None else float(mean[0]),
            None if mean[1] is None else float(mean[1]),
            self._largest if self._compared else None,
        )
