"""A network of Keras layers as a list of nodes in the order they are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConversionError

if TYPE_CHECKING:
    import keras

# Layers that do nothing outside training.
TRAINING_ONLY = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout")


@dataclass(frozen=True)
class Node:
    """One layer and the nodes it reads.

    Attributes:
        layer: the Keras layer.
        inputs: positions of the nodes that it reads, in the order it takes them; -1 is the network's input.
    """

    layer: keras.layers.Layer
    inputs: tuple[int, ...]

    @property
    def kind(self) -> str:
        """Name of the layer's class."""
        return type(self.layer).__name__


def nodes_of(network: keras.Model, *, training: bool = False) -> list[Node]:
    """Return the layers of a network, including those of nested networks.

    Args:
        network: a functional network with one input and one output, whose layers are each used once.
        training: with the layers that only do something in training.

    Returns:
        The nodes, each after its inputs; the last node gives the output of the network.

    Raises:
        ConversionError: the network is of another kind, or a weight is not finite.
    """
    nodes: list[Node] = []
    last = _append(network, -1, nodes, training)
    if last != len(nodes) - 1:
        raise ConversionError(f"{network.name}: its output is not the last of its layers; give it one output")
    return nodes


def _append(network: keras.Model, entry: int, nodes: list[Node], training: bool) -> int:
    """Append the nodes of `network`, which reads node `entry`. Returns the position of its output."""
    if len(_tensors(network.inputs)) != 1 or len(_tensors(network.outputs)) != 1:
        raise ConversionError(f"{network.name}: has several inputs or outputs; one of each is needed")
    made = {id(network.inputs[0]): entry}
    for layer in network.layers:
        if type(layer).__name__ == "InputLayer":
            made[id(layer.output)] = entry
            continue
        _check_finite(layer)
        taken, given = _ends(layer, made)
        inputs = tuple(made[id(tensor)] for tensor in taken)
        if type(layer).__name__ in TRAINING_ONLY and not training:
            made[id(given)] = inputs[0]
        elif type(layer).__name__ in ("Functional", "Sequential"):
            made[id(given)] = _append(layer, inputs[0], nodes, training)
        else:
            nodes.append(Node(layer, inputs))
            made[id(given)] = len(nodes) - 1
    if id(network.outputs[0]) not in made:
        raise ConversionError(
            f"{network.name}: its output is not the output of a layer; use only layers, each of them once"
        )
    return made[id(network.outputs[0])]


def _tensors(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _ends(layer: keras.layers.Layer, made: dict[int, int]) -> tuple[list[Any], Any]:
    """Return the inputs and outputs of a layer in this network; it may be a part of others too."""
    # Keras tells only the first use of a layer by public names.
    calls = [node for node in layer._inbound_nodes if all(id(tensor) in made for tensor in node.input_tensors)]  # noqa: SLF001
    if not calls:
        raise ConversionError(
            f"layer {layer.name} reads a value that no layer outputs (an operation of keras.ops); put it into a layer"
        )
    if len(calls) > 1:
        raise ConversionError(f"layer {layer.name} is used more than once; use every layer once")
    return list(calls[0].input_tensors), calls[0].output_tensors[0]


def _check_finite(layer: keras.layers.Layer) -> None:
    import keras

    for weight in layer.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ConversionError(f"weight {weight.path} holds values that are not finite; train the network again")
