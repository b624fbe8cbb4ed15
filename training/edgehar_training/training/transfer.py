"""Start a network from the weights of a trained network, also with other labels, or with a part of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.models.layer_names import named_layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import keras
    import numpy.typing as npt

    Weights = list[npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Source:
    """A source of weights.

    Attributes:
        weights: of every layer that has some, by its name in `named_layers`.
        labels: labels in the order of the output; None if unknown.
    """

    weights: Mapping[str, Weights]
    labels: list[str] | None


@dataclasses.dataclass
class Taken:
    """The weights that were taken.

    Attributes:
        layers: names of the layers whose weights were all taken.
        labels: labels whose part of the last layer was taken, if not all of it was.
        left: the reason for every other layer.
    """

    layers: list[str] = dataclasses.field(default_factory=list)
    labels: list[str] = dataclasses.field(default_factory=list)
    left: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        text = f"took the weights of {len(self.layers)} of {len(self.layers) + len(self.left)} layers"
        left = [f"{name} ({reason})" for name, reason in self.left.items()]
        return f"{text}; not of {', '.join(left)}" if left else text


def init_from(model: keras.Model, path: Path | str, labels: Sequence[str]) -> Taken:
    """Copy the weights of a trained network into a fresh one.

    Layers are paired by name and must have the same shapes. Of the last layer, the weights of every label that both
    know are taken, whatever the order or number of labels.

    Args:
        model: the network, with layers "encoder" and "head".
        path: a run's folder, a `.keras` file or a bundle.
        labels: of `model`, in the order of its output.

    Returns:
        The weights that were taken.

    Raises:
        ConfigError: there is nothing at the path, or nothing of it fits.
        BundleError: a bundle cannot be read.
    """
    taken, layers = Taken(), named_layers(model)
    source = _open(Path(path), layers)
    answers = _answers(layers, len(labels))
    for name, layer in layers.items():
        old = source.weights.get(name)
        if old is None:
            taken.left[name] = "it has no such layer"
        elif name in answers and source.labels != list(labels):
            _take_labels(layer, old, source.labels, labels, name, taken)
        elif [w.shape for w in old] != [tuple(w.shape) for w in layer.weights]:
            taken.left[name] = f"shapes {_shapes(old)} there, {_shapes(layer.weights)} here"
        else:
            layer.set_weights(old)
            taken.layers.append(name)
    if not taken.layers:
        raise ConfigError(f"--init-from {path}: nothing of it fits this network; {taken}")
    return taken


def _answers(layers: Mapping[str, keras.layers.Layer], classes: int) -> set[str]:
    """Return the names of the layers with one value per label: the last layer, and others that end in a softmax."""
    softmax = {
        name
        for name, layer in layers.items()
        if getattr(getattr(layer, "activation", None), "__name__", "") == "softmax"
        and getattr(layer, "units", None) == classes
    }
    return softmax | {list(layers)[-1]}


def _take_labels(
    layer: keras.layers.Layer,
    old: Weights,
    old_labels: list[str] | None,
    labels: Sequence[str],
    name: str,
    taken: Taken,
) -> None:
    """Take the weights of labels of the same name: columns of the kernel, and elements of the bias."""
    new = layer.get_weights()
    if old_labels is None:
        if [w.shape for w in old] == [w.shape for w in new]:
            # The file holds no labels, so they must be the current ones.
            layer.set_weights(old)
            taken.layers.append(name)
        else:
            taken.left[name] = f"{old[0].shape[-1]} labels there, {len(labels)} here, and which is not known"
        return
    fits = len(old) == len(new) and all(
        a.shape[:-1] == b.shape[:-1] and a.shape[-1:] == (len(old_labels),) and b.shape[-1:] == (len(labels),)
        for a, b in zip(old, new, strict=True)
    )
    if not fits:
        taken.left[name] = f"shapes {_shapes(old)} there, {_shapes(new)} here"
        return
    same = [label for label in labels if label in old_labels]
    here, there = [labels.index(label) for label in same], [old_labels.index(label) for label in same]
    for a, b in zip(old, new, strict=True):
        b[..., here] = a[..., there]
    layer.set_weights(new)
    taken.labels += same
    if len(same) == len(labels):
        taken.layers.append(name)
    else:
        fresh = ", ".join(label for label in labels if label not in same)
        taken.left[name] = f"new are {fresh}; kept are {', '.join(same) or 'none'}"


def _shapes(weights: Sequence[Any]) -> str:
    return " ".join("x".join(map(str, weight.shape)) for weight in weights)


def _open(path: Path, layers: Mapping[str, keras.layers.Layer]) -> Source:
    if path.is_dir():
        return _of_run(path)
    if not path.exists():
        raise ConfigError(f"--init-from {path}: no such file or folder")
    if path.suffix == ".keras":
        return _of_file(path)
    if path.suffix == ".edgehar":
        from edgehar_training.models.bundle_weights import read_bundle

        return Source(*read_bundle(path, layers))
    raise ConfigError(f"--init-from {path}: is neither the folder of a run, nor a .keras file, nor an .edgehar bundle")


def _of_run(path: Path) -> Source:
    from edgehar_training.runs.run import load_run

    try:
        run = load_run(path)
        return Source(_weights(run.model()), list(run.config.labels))
    except DatasetError as error:
        raise ConfigError(f"--init-from {error}") from error


def _of_file(path: Path) -> Source:
    from edgehar_training.runs.run import load_network

    try:
        network = load_network(path)
    except DatasetError as error:
        raise ConfigError(f"--init-from {error}") from error
    names = path.with_name("labels.txt")
    labels = names.read_text(encoding="utf-8").splitlines() if names.exists() else None
    return Source(_weights(network), labels)


def _weights(network: keras.Model) -> dict[str, Weights]:
    return {name: [np.asarray(w) for w in layer.get_weights()] for name, layer in named_layers(network).items()}
