"""Scale the features of several networks to one size, so that one int8 scale fits all.

Where the end of an encoder is positively homogeneous (ReLU without a cap, pooling, and a convolution before them), its
last weights times s and the first weights of its head divided by s leave the scores as they are: cross-layer
equalization (Nagel et al., Data-Free Quantization, ICCV 2019, section 4.1), here with one s for a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar_training.quantize.graph import nodes_of
from edgehar_training.quantize.steps import SHAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    import numpy.typing as npt

    from edgehar_training.quantize.graph import Node

PERCENTILE = 99.9
_POOLS = ("MaxPooling2D", "AveragePooling2D", "GlobalMaxPooling2D", "GlobalAveragePooling2D", "GlobalAveragePooling1D")
_HOMOGENEOUS = (
    *SHAPES, *_POOLS, "Concatenate", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "ZeroPadding2D", "Add",
)  # fmt: skip
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "Dense")
# They multiply their input by their first weight, and do nothing else with it.
_MATRICES = (*_CONVOLUTIONS, "LSTM", "GRU", "SimpleRNN", "ConvLSTM2D")


def size_of(features: npt.NDArray[np.float32]) -> float:
    """Return the size of features: the 99.9th percentile of their absolute values."""
    return float(np.percentile(np.abs(features), PERCENTILE))


def equalize(parts: Sequence[keras.Model], sizes: Sequence[float]) -> list[float]:
    """Scale features to the size of the largest part that cannot be scaled, or of the largest part.

    Args:
        parts: networks with layers "encoder" and "head"; their weights are changed, their scores are not.
        sizes: how large the features of each are.

    Returns:
        The factor of the features of each network; 1 if they cannot be scaled.
    """
    links = [_links(part) for part in parts]
    fixed = [size for size, link in zip(sizes, links, strict=True) if link is None and size > 0]
    largest = max(fixed or sizes)
    factors = []
    for size, link in zip(sizes, links, strict=True):
        factor = largest / size if link is not None and size > 0 else 1.0
        if link is not None and factor != 1:
            ends, firsts = link
            for layer in ends:
                _multiply(layer, factor)
            for layer in firsts:
                _read_multiplied(layer, factor)
        factors.append(factor)
    return factors


def _links(part: keras.Model) -> tuple[list[keras.layers.Layer], list[keras.layers.Layer]] | None:
    """Return the layers that make the features and the layers that read them. Returns None if they cannot be scaled."""
    ends = _ends(nodes_of(part.get_layer("encoder")))
    firsts = _firsts(nodes_of(part.get_layer("head")))
    return None if ends is None or firsts is None else (ends, firsts)


def _ends(nodes: Sequence[Node]) -> list[keras.layers.Layer] | None:
    """Return the last layers of an encoder whose weights can scale its output, and that no other layer reads."""
    ends, through, waiting = set(), set(), [len(nodes) - 1]
    while waiting:
        index = waiting.pop()
        if index < 0:
            return None
        if _scalable(nodes[index]):
            ends.add(index)
        elif nodes[index].kind in _HOMOGENEOUS or _is_uncapped_relu(nodes[index]):
            through.add(index)
            waiting += nodes[index].inputs
        else:
            return None
    readers = {at for at, node in enumerate(nodes) if {*node.inputs} & (ends | through)}
    return None if readers - through else [nodes[index].layer for index in sorted(ends)]


def _firsts(nodes: Sequence[Node]) -> list[keras.layers.Layer] | None:
    """Return the first layers of a head that can read scaled features and give the same output."""
    scaled, firsts = {-1}, []
    for index, node in enumerate(nodes):
        if not {*node.inputs} & scaled:
            continue
        if node.kind in _HOMOGENEOUS and {*node.inputs} <= scaled:
            scaled.add(index)
        elif node.kind in _MATRICES or (node.kind == "BatchNormalization" and node.layer.scale):
            firsts.append(node.layer)
        else:
            return None
    return None if len(nodes) - 1 in scaled else firsts


def _scalable(node: Node) -> bool:
    if node.kind == "BatchNormalization":
        return bool(node.layer.scale)
    return node.kind in _CONVOLUTIONS and node.layer.activation.__name__ in ("linear", "relu")


def _is_uncapped_relu(node: Node) -> bool:
    if node.kind == "Activation":
        return node.layer.activation.__name__ in ("linear", "relu")
    return node.kind == "ReLU" and node.layer.max_value is None and not node.layer.threshold


def _multiply(layer: keras.layers.Layer, factor: float) -> None:
    """Multiply the output of a layer: kernel and bias, or gamma and beta of a normalization."""
    count = int(layer.scale) + int(layer.center) if type(layer).__name__ == "BatchNormalization" else 2
    weights = layer.get_weights()
    layer.set_weights([weight * factor for weight in weights[:count]] + weights[count:])


def _read_multiplied(layer: keras.layers.Layer, factor: float) -> None:
    """Adapt a layer to multiplied input, so that its output does not change."""
    first, *others = layer.get_weights()
    if type(layer).__name__ == "BatchNormalization":
        # gamma (x - mean) / deviation + beta: the variance stays, gamma takes the factor.
        others[-2] = others[-2] * factor
    layer.set_weights([first / factor, *others])
