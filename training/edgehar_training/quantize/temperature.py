"""Put a temperature into the weights of a network: scores become softmax(logits / temperature) at no cost.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2. In int8, the steps of the logits shrink by
the same factor, so that their integers do not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.errors import ConversionError
from edgehar_training.quantize.graph import nodes_of
from edgehar_training.quantize.simplify import simplified
from edgehar_training.quantize.steps import is_softmax

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras

    from edgehar_training.quantize.ranges import Limits


def tempered(model: keras.Model, temperature: float) -> keras.Model:
    """Return the network with its logits divided by `temperature`; `model` is unchanged.

    Args:
        model: a network with layers "encoder" and "head"; the last layer is a `Dense` with softmax.
        temperature: above 0; 1 changes nothing.

    Raises:
        ConversionError: the last layer is another one.
    """
    if temperature == 1:
        return model
    import keras

    from edgehar_training.models.layers import whole

    head = model.get_layer("head")
    _last_dense(head)
    copy = keras.models.clone_model(head)
    copy.set_weights(head.get_weights())
    dense = _last_dense(copy)
    dense.set_weights([weights / temperature for weights in dense.get_weights()])
    return whole(model.get_layer("encoder"), copy, model.name)


def tempered_ranges(
    head: keras.Model, limits: Mapping[str, Limits] | None, temperature: float
) -> dict[str, Limits] | None:
    """Return the learned ranges of a network after `tempered`: the range of the logits is divided too.

    Args:
        head: of the network.
        limits: ranges by place; None if none were learned.
        temperature: temperature of the network.
    """
    if limits is None or temperature == 1:
        return None if limits is None else dict(limits)
    place = f"{head.name}/{_last_dense(simplified(head)).name}"
    if place not in limits:  # the head is float
        return dict(limits)
    low, high = limits[place]
    return {**limits, place: (low / temperature, high / temperature)}


def _last_dense(head: keras.Model) -> keras.layers.Dense:
    node = nodes_of(head)[-1]
    if node.kind != "Dense" or not is_softmax(node.layer):
        raise ConversionError(
            f"--temperature: the last layer, {node.layer.name}, is a {node.kind}"
            + (f" with {node.layer.activation.__name__}" if node.kind == "Dense" else "")
            + "; a temperature goes into the weights of a Dense with softmax only: convert without it"
        )
    return node.layer
