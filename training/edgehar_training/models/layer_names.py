"""Layers of a network by names that are the same in every process, and layers that do not learn."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import keras


def named_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Return the layers with weights by name, such as "encoder/conv2d_1" and "head/lstm", in order.

    Keras counts unnamed layers over the whole process (conv2d_7); here they are counted within encoder and head, as
    Keras does in a fresh process.

    Args:
        model: a network with layers "encoder" and "head".
    """
    named: dict[str, keras.layers.Layer] = {}
    for part in model.layers:
        counts: Counter[str] = Counter()
        for layer in _leaves(part):
            kind = _snake(type(layer).__name__)
            name = layer.name
            if re.fullmatch(rf"{kind}(_\d+)?", name):
                name = f"{kind}_{counts[kind]}" if counts[kind] else kind
                counts[kind] += 1
            if layer.weights:
                named[_unused(f"{part.name}/{name}", named)] = layer
    return named


def freeze(model: keras.Model, patterns: Sequence[str]) -> list[str]:
    """Keep layers from learning.

    Args:
        model: a network with layers "encoder" and "head".
        patterns: "encoder", "head", or names or patterns of their layers, such as "conv*" or "encoder/conv2d_1".

    Returns:
        The names of the frozen layers.

    Raises:
        ConfigError: a pattern matches no layer, or all layers would be frozen.
    """
    layers, frozen = named_layers(model), set()
    for pattern in patterns:
        hit = {name for name in layers if _fits(name, pattern)}
        if not hit:
            raise ConfigError(
                f"--freeze {pattern}: no such layer; there are {', '.join(_parts(layers))}, {', '.join(layers)}"
            )
        frozen |= hit
    for name in frozen:
        layers[name].trainable = False
    if not model.trainable_variables:
        raise ConfigError(f"--freeze {' '.join(patterns)}: no layer is left to learn; freeze fewer layers")
    return [name for name in layers if name in frozen]


def _fits(name: str, pattern: str) -> bool:
    part, own = name.split("/", 1)
    return any(fnmatch.fnmatchcase(text, pattern) for text in (name, part, own))


def _parts(names: dict[str, keras.layers.Layer]) -> list[str]:
    return list(dict.fromkeys(name.split("/", 1)[0] for name in names))


def _leaves(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    import keras

    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _leaves(inner)
    else:
        yield layer


def _snake(name: str) -> str:
    """Return the name that Keras gives an unnamed layer of a class."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _unused(name: str, used: dict[str, keras.layers.Layer]) -> str:
    number, free = 1, name
    while free in used:
        number, free = number + 1, f"{name}.{number}"
    return free
