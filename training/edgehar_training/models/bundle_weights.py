"""Weights of a bundle: the int8 ones of its files, turned back into float32.

They are exact to half a step of int8, 1/254 of the largest weight of their channel. Only networks of convolutions,
dense layers and LSTMs are turned back: in others the converter has folded layers into each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConfigError
from edgehar_training.models.tflite_weights import parse, real_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import keras
    import numpy.typing as npt

    Array = npt.NDArray[Any]


def read_bundle(path: Path, layers: Mapping[str, keras.layers.Layer]) -> tuple[dict[str, list[Array]], list[str]]:
    """The weights and labels of a bundle.

    Args:
        path: the bundle.
        layers: of a network of the same kind, by name, in its order; their shapes may differ.

    Returns:
        Weights for each layer, in Keras' order, and the labels.

    Raises:
        BundleError: the bundle cannot be read.
        ConfigError: it is not of such a network, or one that cannot be turned back.
    """
    from edgehar.model.bundle import ModelBundle

    bundle = ModelBundle.open(path)
    weights: dict[str, list[Array]] = {}
    for part in ("encoder", "head"):
        found = _constants(bundle.read(f"{part}.tflite"))
        own = {name: layer for name, layer in layers.items() if name.startswith(f"{part}/")}
        try:
            for name, layer in own.items():
                weights[name] = _taken(layer, found)
            if next(found, None) is not None:
                raise ValueError("it has more layers")
        except (ValueError, StopIteration) as error:
            why = str(error) or "it has fewer layers"
            raise ConfigError(
                f"--init-from {path}: its {part} cannot be turned back into this network ({why}); give the run's "
                "folder or the .keras file that it was made of"
            ) from error
    return weights, list(bundle.manifest.labels)


def _taken(layer: keras.layers.Layer, found: Iterator[tuple[Array, Array | None]]) -> list[Array]:
    """The next constants as the weights of a layer."""
    kind = type(layer).__name__
    if kind not in ("Conv2D", "Dense", "LSTM"):
        raise ValueError(f"a {kind} is not turned back")
    kernel, bias = next(found)
    if kind == "Conv2D":
        if kernel.ndim != 4:
            raise ValueError("a convolution is not where it should be")
        return [kernel.transpose(1, 2, 3, 0), *_bias(layer, bias, len(kernel))]
    if kernel.ndim != 2:
        raise ValueError("a dense layer is not where it should be")
    if kind == "Dense":
        return [kernel.T, *_bias(layer, bias, len(kernel))]
    recurrent, _ = next(found)
    if recurrent.ndim != 2 or len(recurrent) != len(kernel) or len(recurrent) != 4 * recurrent.shape[1]:
        raise ValueError("an LSTM is not where it should be")
    return [kernel.T, recurrent.T, *_bias(layer, bias, len(kernel))]


def _bias(layer: keras.layers.Layer, bias: Array | None, count: int) -> list[Array]:
    if not layer.use_bias:
        return []
    # The converter leaves out a bias of zeros.
    return [np.zeros(count, np.float32) if bias is None else bias.reshape(count)]


def _constants(content: bytes) -> Iterator[tuple[Array, Array | None]]:
    """Kernel and bias of every convolution and dense operation, each kernel once, in order."""
    from ai_edge_litert import schema_py_generated as schema

    model = parse(content)
    graph, seen = model.subgraphs[0], set()
    wanted = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED)
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) not in wanted:
            continue
        kernel = graph.tensors[operator.inputs[1]]
        data = model.buffers[kernel.buffer].data
        if data is None or (identity := (tuple(kernel.shape), bytes(data))) in seen:
            continue
        seen.add(identity)
        bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
        yield real_values(model, kernel), None if bias < 0 else real_values(model, graph.tensors[bias])
