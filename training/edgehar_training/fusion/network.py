"""Several networks of windows as one: their encoders side by side, their heads side by side, one softmax.

Late fusion as of two streams (Simonyan and Zisserman, NeurIPS 2014), of logits: the scores are the softmax of the mean
of the parts' logits, which is the normalized geometric mean of their scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConfigError
from edgehar_training.quantize.graph import nodes_of
from edgehar_training.quantize.steps import is_softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from edgehar_training.quantize.graph import Node


def fused(parts: Sequence[keras.Model], titles: Sequence[str]) -> keras.Model:
    """Return one network whose scores are the normalized geometric mean of the scores of several networks.

    Args:
        parts: networks with layers "encoder" and "head", of the same frames, window and classes; they stay as they are.
        titles: names of the networks, for errors.

    Returns:
        float32 `(batch, window, height, width, channels)` to `(batch, classes)`, named "fused"; the layers of the n-th
        part are named `partN_NAME`, the last one "scores".

    Raises:
        ConfigError: the head of a part does not end in a dense layer with softmax.
        ConversionError: a part is not a functional network whose layers are used once.
    """
    from edgehar_training.models.layers import whole

    for part, title in zip(parts, titles, strict=True):
        _check_softmax(part.get_layer("head"), title)
    encoder = _encoder([part.get_layer("encoder") for part in parts])
    return whole(encoder, _head([part.get_layer("head") for part in parts]), "fused")


def _check_softmax(head: keras.Model, title: str) -> None:
    last = nodes_of(head)[-1]
    if last.kind != "Dense" or not is_softmax(last.layer):
        raise ConfigError(
            f"{title}: ends in {last.layer.name} ({last.kind}); only networks that end in a Dense with softmax can be "
            "fused: leave it out"
        )


def _encoder(encoders: Sequence[keras.Model]) -> keras.Model:
    """Concatenate the features of all parts."""
    import keras

    frame = keras.Input(encoders[0].input_shape[1:], name="frame")
    ends = []
    for number, encoder in enumerate(encoders, 1):
        nodes = nodes_of(encoder, training=True)
        last = nodes[-1]
        # Features that are put together within a part are put together once only: in int8 that rounds once less.
        joined = last.kind == "Concatenate" and last.layer.axis in (-1, len(encoder.output_shape) - 1)
        values = _copied(nodes[:-1] if joined else nodes, frame, f"part{number}_")
        ends += [values[source] for source in last.inputs] if joined else [values[len(nodes) - 1]]
    return keras.Model(frame, keras.layers.Concatenate(name="features")(ends), name="encoder")


def _head(heads: Sequence[keras.Model]) -> keras.Model:
    import keras

    from edgehar_training.models.layers import LastAxisSlice

    sizes = [head.input_shape[-1] for head in heads]
    features = keras.Input((heads[0].input_shape[1], sum(sizes)), name="features")
    ends, kernels, biases = [], [], []
    for number, (head, size) in enumerate(zip(heads, sizes, strict=True), 1):
        start = sum(sizes[: number - 1])
        own = LastAxisSlice(start, start + size, name=f"part{number}_features")(features)
        *nodes, last = nodes_of(head, training=True)
        ends.append(_copied(nodes, own, f"part{number}_")[last.inputs[0]])
        kernel, *bias = last.layer.get_weights()
        kernels.append(kernel)
        biases.append(bias[0] if bias else np.zeros(kernel.shape[1], np.float32))
    scores = keras.layers.Dense(kernels[0].shape[1], activation="softmax", name="scores")
    model = keras.Model(features, scores(keras.layers.Concatenate(name="outputs")(ends)), name="head")
    scores.set_weights([np.concatenate(kernels) / len(heads), np.mean(biases, axis=0)])
    return model


def _copied(nodes: Sequence[Node], source: Any, prefix: str) -> dict[int, Any]:
    """Copy the layers of nodes, with their weights, onto `source`. Returns the output of each, by position."""
    values, used = {-1: source}, {f"{prefix}features"}
    for index, node in enumerate(nodes):
        name = f"{prefix}{node.layer.name}"
        while name in used:
            name += "_"
        used.add(name)
        # Training may have used half precision, but the weights are float32.
        layer = type(node.layer).from_config({**node.layer.get_config(), "name": name, "dtype": "float32"})
        taken = [values[i] for i in node.inputs]
        values[index] = layer(taken if len(taken) > 1 else taken[0])
        layer.set_weights(node.layer.get_weights())
    return values
