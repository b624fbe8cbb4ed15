"""The computation of a network with its int8 places: one description for training and export."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from edgehar_training.quantize.graph import TRAINING_ONLY, nodes_of
from edgehar_training.quantize.steps import KEEPING, SHAPES, is_relu, is_softmax, step_of, takes_relu

if TYPE_CHECKING:
    import keras

    from edgehar_training.quantize.graph import Node
    from edgehar_training.quantize.quantizer import Quantizer, Step


class Plan:
    """A network as a function of its input and of a quantizer.

    Args:
        network: a functional network of layers that `steps` knows.
        entry: the place of the input.
        training: keep layers that only act in training.

    Raises:
        ConversionError: a layer cannot be exported, or a weight is not finite.
    """

    def __init__(self, network: keras.Model, entry: str, *, training: bool = False) -> None:
        self._nodes = nodes_of(network, training=training)
        joined = _joined(self._nodes)
        readers = Counter(source for node in self._nodes for source in node.inputs)
        # The place with the range of each node; a node that only reorders or averages has the range of its input.
        ranges = {-1: entry}
        self._steps = []
        # The place of the output of the network, at most reordered.
        self.last_place = entry
        for index, node in enumerate(self._nodes):
            place = f"{network.name}/{node.layer.name}"
            ranges[index] = ranges[node.inputs[0]] if node.kind in KEEPING else place
            alone = [readers[source] == 1 for source in node.inputs]
            self._steps.append(step_of(node, ranges[index], quiet=index in joined, alone=alone))
            self.last_place = ranges[index]

    @property
    def steps(self) -> list[tuple[Node, Step]]:
        """The nodes in order of computation, each with its function."""
        return list(zip(self._nodes, self._steps, strict=True))

    @property
    def computes(self) -> bool:
        """Whether the network changes more than shapes."""
        return any(node.kind not in (*SHAPES, *TRAINING_ONLY) for node in self._nodes)

    @property
    def ends_in_softmax(self) -> bool:
        """Whether the output has the int8 steps of a softmax."""
        last = self._nodes[-1]
        return last.kind == "Softmax" or (last.kind in ("Dense", "Activation") and is_softmax(last.layer))

    def __call__(self, values: Any, quantizer: Quantizer) -> Any:
        """Compute the network's output, float32 tensors in and out."""
        made = {-1: values}
        for index, (node, step) in enumerate(zip(self._nodes, self._steps, strict=True)):
            made[index] = step([made[source] for source in node.inputs], quantizer)
        return made[len(self._nodes) - 1]


def _joined(nodes: list[Node]) -> set[int]:
    """Return nodes followed only by a ReLU; the converter merges both into one operator, so they are not places."""
    readers: dict[int, list[Node]] = {}
    for node in nodes:
        for source in node.inputs:
            readers.setdefault(source, []).append(node)
    return {
        index
        for index, node in enumerate(nodes)
        if takes_relu(node) and len(readers.get(index, ())) == 1 and is_relu(readers[index][0])
    }
