"""Cost of a network: multiply-accumulates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def macs(network: keras.Model) -> int:
    """Return the multiply-accumulates of one pass of an encoder (one frame) or a head (one window).

    A convolution counts each kernel weight once for every output position, padding included; a recurrent layer counts
    its matrices once for every step, a convolutional one its kernels for every step and position. The products of two
    sequences in attention are counted too. An encoder of several looks counts once for each.
    """
    # Other networks with an input of this rank take steps, which `_places` counts.
    folded = len(network.input_shape) == 5 and any(type(layer).__name__ == "FoldTime" for layer in network.layers)
    looks = network.input_shape[1] if folded else 1
    return int(looks) * sum(_layer_macs(layer) for layer in network.layers)


def _layer_macs(layer: keras.layers.Layer) -> int:
    if type(layer).__name__ == "Dot":
        return int(max(math.prod(part.shape[1:]) for part in layer.input))
    weights = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
    return int(weights * _places(layer)) if weights else 0


def _places(layer: keras.layers.Layer) -> int:
    """Return how often a weight is used: pixels of the output of a convolution, steps of a recurrent layer."""
    places = {4: layer.output.shape[1:3], 5: layer.output.shape[1:4]}
    return math.prod(places.get(len(layer.output.shape), layer.input.shape[1:-1]))
