"""Operators of a network that run on a delegate, as reported by the interpreter on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgehar.model.interpreter import make_interpreter
from edgehar.model.runtime import load_runtime

if TYPE_CHECKING:
    from edgehar.model.tflite import Graph

# Name of operators that stand for delegated ones.
_DELEGATE = "delegate"


@dataclass(frozen=True)
class Placement:
    """The placement of a file's operators on this machine.

    Attributes:
        runtime: package and version of the TFLite runtime.
        delegate: what runs the delegated operators.
        delegated: numbers of the delegated operators; None if the runtime does not report them.
        parts: number of groups of operators that the delegate runs at once.
    """

    runtime: str
    delegate: str
    delegated: frozenset[int] | None
    parts: int

    def of(self, index: int) -> str:
        """Return where an operator runs."""
        if self.delegated is None:
            return "?"
        return self.delegate if index in self.delegated else "CPU"


def place(graph: Graph, name: str) -> Placement:
    """Load a file as a device does, and see what its delegate takes.

    Raises:
        RuntimeUnavailableError: there is no TFLite runtime.
        BundleError: it cannot load the file.
    """
    runtime = load_runtime()
    interpreter = make_interpreter(graph.content, name=name)
    known = f"{runtime.package} {runtime.version}"
    try:
        # All runtimes have it, none of them in its public face.
        steps = interpreter._get_ops_details()  # noqa: SLF001
    except AttributeError:
        return Placement(known, "XNNPACK", None, 0)
    takers = [step for step in steps[len(graph.operators) :] if _DELEGATE in step["op_name"].lower()]
    delegated: set[int] = set()
    for taker in takers:
        delegated |= _behind(graph, _numbers(taker["outputs"]), _numbers(taker["inputs"]))
    return Placement(known, "XNNPACK", frozenset(delegated), len(takers))


def _numbers(values: Any) -> set[int]:
    return {int(value) for value in values}


def _behind(graph: Graph, outputs: set[int], inputs: set[int]) -> set[int]:
    """The operators that make `outputs` of `inputs`."""
    makers = {index: operator for operator in graph.operators for index in operator.outputs}
    found: set[int] = set()
    waiting = list(outputs)
    while waiting:
        index = waiting.pop()
        if index in inputs or index not in makers or makers[index].index in found:
            continue
        found.add(makers[index].index)
        waiting += [i for i in makers[index].inputs if i >= 0]
    return found
