"""Weights of a bundle: the int8 weights of its files, converted to float32.

They are exact to half an int8 step, 1/254 of the largest weight of their channel. Only networks of convolutions, dense
layers and LSTMs are supported, because in other networks the converter has merged layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConfigError
from edgehar.model.tflite import read_graph
from edgehar_training.models.tflite_weights import real_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import keras
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def read_bundle(path: Path, layers: Mapping[str, keras.layers.Layer]) -> tuple[dict[str, list[Array]], list[str]]:
    """Read the weights and labels of a bundle.

    Args:
        path: the bundle.
        layers: layers of a network of the same kind by name, in order; their shapes may differ.

    Returns:
        Weights for each layer, in Keras' order, and the labels.

    Raises:
        BundleError: the bundle cannot be read.
        ConfigError: the bundle holds another network, or one that is not supported.
    """
    from edgehar.model.bundle import ModelBundle

    bundle = ModelBundle.open(path)
    weights: dict[str, list[Array]] = {}
    for part in ("encoder", "head"):
        found = _constants(bundle.read(f"{part}.tflite"), f"{path}: {part}.tflite")
        own = {name: layer for name, layer in layers.items() if name.startswith(f"{part}/")}
        try:
            for name, layer in own.items():
                weights[name] = _taken(layer, found)
            if next(found, None) is not None:
                raise ValueError("it has more layers")
        except (ValueError, StopIteration) as error:
            why = str(error) or "it has fewer layers"
            raise ConfigError(
                f"--init-from {path}: its {part} does not fit this network ({why}); give the folder of the run or "
                "the .keras file it was made from"
            ) from error
    return weights, list(bundle.manifest.labels)


def _taken(layer: keras.layers.Layer, found: Iterator[tuple[Array, Array | None]]) -> list[Array]:
    """Take the next constants as the weights of a layer."""
    kind = type(layer).__name__
    if kind not in ("Conv2D", "Dense", "LSTM"):
        raise ValueError(f"layer {kind} is not supported")
    kernel, bias = next(found)
    if kind == "Conv2D":
        if kernel.ndim != 4:
            raise ValueError("expected a convolution")
        return [kernel.transpose(1, 2, 3, 0), *_bias(layer, bias, len(kernel))]
    if kernel.ndim != 2:
        raise ValueError("expected a dense layer")
    if kind == "Dense":
        return [kernel.T, *_bias(layer, bias, len(kernel))]
    recurrent, _ = next(found)
    if recurrent.ndim != 2 or len(recurrent) != len(kernel) or len(recurrent) != 4 * recurrent.shape[1]:
        raise ValueError("expected an LSTM")
    return [kernel.T, recurrent.T, *_bias(layer, bias, len(kernel))]


def _bias(layer: keras.layers.Layer, bias: Array | None, count: int) -> list[Array]:
    if not layer.use_bias:
        return []
    # The converter omits a bias of zeros.
    return [np.zeros(count, np.float32) if bias is None else bias.reshape(count)]


def _constants(content: bytes, name: str) -> Iterator[tuple[Array, Array | None]]:
    """Yield kernel and bias of every convolution and dense operator in order, each kernel once."""
    graph, seen = read_graph(content, name), set()
    for operator in graph.operators:
        if operator.name not in ("CONV_2D", "FULLY_CONNECTED"):
            continue
        kernel = graph.tensors[operator.inputs[1]]
        if kernel.data is None or (identity := (kernel.shape, kernel.data.tobytes())) in seen:
            continue
        seen.add(identity)
        bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
        yield real_values(kernel), None if bias < 0 else real_values(graph.tensors[bias])
