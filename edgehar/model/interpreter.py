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
    """An interpreter of a model, with its tensors allocated.

    Args:
        content: the TFLite file.
        name: what errors call it.
        threads: CPU threads.
        delegate: what `edgehar.model.edgetpu.load_edge_tpu` gave; None for the CPU.

    Raises:
        RuntimeUnavailableError: there is no TFLite runtime, or the delegate does not take the model.
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
        name: what errors call it.
        input_shape: shape of the input tensor.
        output_shape: shape of the output tensor.
        input_quantization: scale and zero point of the input.
        output_quantization: scale and zero point of the output.
    """

    def __init__(self, content: bytes, *, name: str, threads: int = 1, delegate: Any = None) -> None:
        """Load a model; see `make_interpreter` for the arguments.

        Raises:
            RuntimeUnavailableError: there is no TFLite runtime, or the delegate does not take the model.
            BundleError: the runtime cannot load the model, or it is not int8 with one input and one output.
        """
        self.name = name
        self._interpreter = make_interpreter(content, name=name, threads=threads, delegate=delegate)
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleError(f"{name}: has {len(inputs)} inputs and {len(outputs)} outputs, one of each is needed")
        self.input_shape, self.input_quantization = _describe(inputs[0], name)
        self.output_shape, self.output_quantization = _describe(outputs[0], name)
        self._input = self._interpreter.tensor(inputs[0]["index"])
        self._output = self._interpreter.tensor(outputs[0]["index"])
        self._forgets = keeps_state(self._interpreter)

    def input_view(self) -> npt.NDArray[np.int8]:
        """The input tensor itself: int8, `input_shape`. Write into it and let go of it before `invoke`."""
        view: npt.NDArray[np.int8] = self._input()
        return view

    def invoke(self) -> None:
        """Run the model on what the input tensor holds, and on nothing that it saw before."""
        if self._forgets:
            self._interpreter.reset_all_variables()
        self._interpreter.invoke()

    def output_view(self) -> npt.NDArray[np.int8]:
        """The output tensor itself: int8, `output_shape`. Copy what is needed and let go of it before `invoke`."""
        view: npt.NDArray[np.int8] = self._output()
        return view

    def run(self, values: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """A copy of the output, int8 of `output_shape`, for an int8 input of `input_shape`'s size."""
        self.input_view()[...] = values.reshape(self.input_shape)
        self.invoke()
        return self.output_view().copy()

    def close(self) -> None:
        """Let go of the model's memory."""
        del self._input, self._output, self._interpreter


def keeps_state(interpreter: Any) -> bool:
    """Whether a model has operations that remember what they saw from one call to the next (a fused LSTM)."""
    return any(details["op_name"] in STATEFUL_OPERATIONS for details in interpreter._get_ops_details())  # noqa: SLF001


class StepModel:
    """One int8 TFLite model with several inputs and outputs, each of one row.

    Attributes:
        name: what errors call it.
        inputs: shape and quantization of each input, in the file's order.
        outputs: the same of each output.
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
        """Copies of all outputs for int8 inputs of the inputs' sizes."""
        for view, (shape, _), given in zip(self._inputs, self.inputs, values, strict=True):
            view()[...] = given.reshape(shape)
        self._interpreter.invoke()
        return [view().copy() for view in self._outputs]

    def close(self) -> None:
        """Let go of the model's memory."""
        del self._inputs, self._outputs, self._interpreter


def _describe(details: dict[str, Any], name: str) -> tuple[tuple[int, ...], Affine]:
    if details["dtype"].__name__ != "int8":
        raise BundleError(f"{name}: tensor {details['name']} is {details['dtype'].__name__}, int8 is needed")
    scale, zero_point = details["quantization"]
    return tuple(int(size) for size in details["shape"]), Affine(scale=float(scale), zero_point=int(zero_point))
