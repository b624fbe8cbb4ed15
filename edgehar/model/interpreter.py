"""TFLite models in the runtime: one int8 input and output, or the states of a one-step network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar.errors import BundleError, RuntimeUnavailableError
from edgehar.model.edgetpu import why_not_prepared
from edgehar.model.manifest import Affine
from edgehar.model.runtime import load_runtime, without_notices

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def make_interpreter(content: bytes, *, name: str, threads: int = 1, delegate: Any = None) -> Any:
    """Return an interpreter of a model, with its tensors allocated.

    Args:
        content: the TFLite file.
        name: how errors call it.
        threads: CPU threads.
        delegate: result of `edgehar.model.edgetpu.load_edge_tpu`; None for the CPU.

    Raises:
        RuntimeUnavailableError: no TFLite runtime is installed, or the delegate refuses the model.
        BundleError: the runtime cannot load the model.
    """
    runtime = load_runtime()
    delegates = None if delegate is None else [delegate]
    try:
        with without_notices():
            interpreter = runtime.interpreter(
                model_content=content, num_threads=threads, experimental_delegates=delegates
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if delegate is not None:
            raise RuntimeUnavailableError(f"{name}: {why_not_prepared(error)}") from error
        raise BundleError(f"{name}: {runtime.package} {runtime.version} cannot load it: {error}") from error
    return interpreter


STATEFUL_OPERATIONS = frozenset(
    {
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "LSTM",
        "RNN",
        "SVDF",
    }
)


class TfliteModel:
    """One int8 TFLite model with one input and one output.

    Attributes:
        name: how errors call it.
        input_shape: shape of the input tensor.
        output_shape: shape of the output tensor.
        input_quantization: scale and zero point of the input.
        output_quantization: scale and zero point of the output.
    """

    def __init__(self, content: bytes, *, name: str, threads: int = 1, delegate: Any = None) -> None:
        """Load a model; see `make_interpreter` for the arguments.

        Raises:
            RuntimeUnavailableError: no TFLite runtime is installed, or the delegate refuses the model.
            BundleError: the runtime cannot load the model, or it is not int8 with one input and one output.
        """
        self.name = name
        self._interpreter = make_interpreter(content, name=name, threads=threads, delegate=delegate)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleError(f"{name}: has {len(inputs)} inputs and {len(outputs)} outputs, but one of each is needed")
        self.input_shape, self.input_quantization = _describe(inputs[0], name)
        self.output_shape, self.output_quantization = _describe(outputs[0], name)
        self._input = self._interpreter.tensor(inputs[0]["index"])
        self._output = self._interpreter.tensor(outputs[0]["index"])
        self._forgets = keeps_state(self._interpreter)

    def input_view(self) -> npt.NDArray[np.int8]:
        """Return the input tensor, not a copy: int8, `input_shape`. Release the view before `invoke`."""
        view: npt.NDArray[np.int8] = self._input()
        return view

    def invoke(self) -> None:
        """Run the model on its input tensor, without state of earlier runs."""
        if self._forgets:
            self._interpreter.reset_all_variables()
        self._interpreter.invoke()

    def output_view(self) -> npt.NDArray[np.int8]:
        """Return the output tensor, not a copy: int8, `output_shape`. Release the view before `invoke`."""
        view: npt.NDArray[np.int8] = self._output()
        return view

    def run(self, values: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return a copy of the output, int8 `output_shape`, for an int8 input of the size of `input_shape`."""
        self.input_view()[...] = values.reshape(self.input_shape)
        self.invoke()
        return self.output_view().copy()

    def close(self) -> None:
        """Free the memory of the model."""
        del self._input, self._output, self._interpreter


def keeps_state(interpreter: Any) -> bool:
    """Return whether a model has operations that keep state between calls, such as a fused LSTM."""
    return any(details["op_name"] in STATEFUL_OPERATIONS for details in interpreter._get_ops_details())  # noqa: SLF001


class StepModel:
    """One int8 TFLite model with several inputs and outputs, each of one row.

    Attributes:
        name: how errors call it.
        inputs: shape and quantization of each input, in the order of the file.
        outputs: the same for each output.
    """

    def __init__(self, content: bytes, *, name: str, threads: int = 1) -> None:
        """Load a model; raises as `TfliteModel` does."""
        self.name = name
        self._interpreter = make_interpreter(content, name=name, threads=threads)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.inputs = [_describe(details, name) for details in inputs]
        self.outputs = [_describe(details, name) for details in outputs]
        self._inputs = [self._interpreter.tensor(details["index"]) for details in inputs]
        self._outputs = [self._interpreter.tensor(details["index"]) for details in outputs]

    def run(self, *values: npt.NDArray[np.int8]) -> list[npt.NDArray[np.int8]]:
        """Return copies of all outputs for int8 inputs of the sizes of `inputs`."""
        for view, (shape, _), given in zip(self._inputs, self.inputs, values, strict=True):
            view()[...] = given.reshape(shape)
        self._interpreter.invoke()
        return [view().copy() for view in self._outputs]

    def close(self) -> None:
        """Free the memory of the model."""
        del self._inputs, self._outputs, self._interpreter


def _describe(details: dict[str, Any], name: str) -> tuple[tuple[int, ...], Affine]:
    if details["dtype"].__name__ != "int8":
        raise BundleError(f"{name}: tensor {details['name']} is {details['dtype'].__name__}, but int8 is needed")
    scale, zero_point = details["quantization"]
    return tuple(int(size) for size in details["shape"]), Affine(scale=float(scale), zero_point=int(zero_point))
