"""What a network costs: parameters and multiply-accumulates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def macs(network: keras.Model) -> int:
    """Multiply-accumulates of one pass of an encoder (one frame) or a head (one window), of layers with weights.

    A convolution counts each kernel weight once for every output position, padding included; an LSTM counts its
    matrices once for every step.
    """
    return sum(_layer_macs(layer) for layer in network.layers if layer.weights)


def _layer_macs(layer: keras.layers.Layer) -> int:
    weights = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
    # Places a weight is used at: rows and columns of a convolution's output, or steps of a recurrent layer's input.
    if len(layer.output.shape) == 4:
        return int(weights * math.prod(layer.output.shape[1:3]))
    return int(weights * math.prod(layer.input.shape[1:-1]))
