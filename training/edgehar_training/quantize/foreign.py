"""Write a network that was trained elsewhere as a run, so that it can be converted and measured.

It must be a `.keras` file of a network of windows, float32 `(window, side, side, 3)` RGB to softmax scores, that first
processes every frame separately: either a layer named "encoder" and a layer named "head", or a chain that starts with
`TimeDistributed` layers.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgehar.errors import ConfigError, ConversionError
from edgehar_training.data.datasets import load_dataset
from edgehar_training.data.datasets.splits import make_splits, write_splits
from edgehar_training.runs.run import BEST_FILE, SPLITS_FILE, RunConfig
from edgehar_training.settings import DataSettings, NetworkSettings

if TYPE_CHECKING:
    from pathlib import Path

    import keras

NAME = "external"
LEVELS = 255.0


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """A network that was trained elsewhere.

    Attributes:
        file: the `.keras` file.
        labels: a text file with one label per line, in the order of the output of the network.
        clips: folder of clips, `<label>/<clip>`, for ranges and for the comparison; preferably training clips.
        input: input of the network, "rgb" or "motion".
        rate_hz: frame rate of a window.
        pixels: largest pixel value of the input: 1 or 255.
        cache: folder of decoded frames.
    """

    file: Path
    labels: Path
    clips: Path
    input: Literal["rgb", "motion"] = "rgb"
    rate_hz: float = 12.5
    pixels: Literal[1, 255] = 1
    cache: str | None = None


def write_run(foreign: Foreign, folder: Path) -> None:
    """Write a network as a run in `folder`; its clips are split for ranges and for the comparison.

    Raises:
        ConfigError: an argument is wrong.
        ConversionError: the network is not supported, or there are no clips.
        DatasetError: the clips cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = _network(foreign)
    labels = _labels(foreign.labels, int(model.output_shape[-1]))
    window, size = int(model.input_shape[1]), int(model.input_shape[2])
    config = RunConfig(
        data=DataSettings(folder=str(foreign.clips.resolve()), cache=foreign.cache),
        network=NetworkSettings(model=NAME, input=foreign.input, window=window, size=size, rate_hz=foreign.rate_hz),
        labels=labels,
        protocol="trained elsewhere; the comparison may include training clips",
    )
    clips = load_dataset(config.data)
    if unknown := sorted({clip.label for clip in clips} - set(labels)):
        raise ConversionError(f"{foreign.clips}: has clips of {unknown[0]!r}, which is not in {foreign.labels}")
    part = make_splits(clips, protocol="group", folds=None, seed=0, test_fraction=0.0, val_fraction=0.5)[0]
    write_splits(folder / SPLITS_FILE, clips, part, foreign.clips.resolve())
    config.write(folder)
    model.save(folder / BEST_FILE)


def _labels(path: Path, classes: int) -> list[str]:
    try:
        labels = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels {path}: cannot be read as UTF-8 text: {error}") from error
    if len(labels) != classes or len(set(labels)) != classes:
        raise ConversionError(
            f"{path}: has {len(set(labels))} different labels, the network gives {classes} scores; it must hold one "
            "label a line, in the order of the scores"
        )
    return labels


def _network(foreign: Foreign) -> keras.Model:
    """Return the network as an encoder and a head over pixels from 0 to 1.

    Raises:
        ConversionError: see the module.
    """
    import keras

    import edgehar_training.models.layers  # noqa: F401 - they are registered by the import
    from edgehar_training.models.layers import whole

    if foreign.file.suffix != ".keras":
        raise ConversionError(
            f"{foreign.file}: only .keras files are converted: a .tflite file of a whole window cannot be split into "
            "an encoder of a frame and a head of a window; give the .keras file it was made from"
        )
    # Keras raises anything here.
    try:
        model = keras.saving.load_model(foreign.file, compile=False)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConversionError(f"{foreign.file}: cannot be loaded: {reason[:300]}") from error
    _check_shapes(model, foreign.file)
    names = {layer.name for layer in model.layers}
    encoder, head = (
        (model.get_layer("encoder"), model.get_layer("head"))
        if {"encoder", "head"} <= names
        else _parted(model, foreign.file)
    )
    return whole(_scaled(encoder, foreign.pixels), head, NAME)


def _check_shapes(model: Any, file: Path) -> None:
    taken, given = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not isinstance(taken, tuple) or len(taken) != 5 or taken[2] != taken[3] or taken[4] != 3 or None in taken[1:]:
        raise ConversionError(f"{file}: takes {taken}; it must take (batch, window, side, side, 3), all sides known")
    if not isinstance(given, tuple) or len(given) != 2 or not (given[1] or 0) >= 2:
        raise ConversionError(f"{file}: gives {given}; it must give (batch, classes), with two classes or more")


def _parted(model: keras.Model, file: Path) -> tuple[keras.Model, keras.Model]:
    """Split a chain that begins with `TimeDistributed` layers into encoder and head."""
    import keras

    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    for before, after in itertools.pairwise(layers):
        if not isinstance(model, keras.Sequential) and after.input is not before.output:
            raise ConversionError(f"{file}: layer {after.name} is not in one chain; name its parts encoder and head")
    count = next((n for n, layer in enumerate(layers) if type(layer).__name__ != "TimeDistributed"), len(layers))
    if count == 0 or count == len(layers):
        raise ConversionError(
            f"{file}: must have layers named encoder and head, or begin with TimeDistributed layers before others"
        )
    encoder = _chain([layer.layer for layer in layers[:count]], model.input_shape[2:], "encoder")
    if len(encoder.output_shape) != 2:
        encoder = keras.Model(encoder.input, keras.layers.Flatten()(encoder.output), name="encoder")
    head = _chain(layers[count:], (model.input_shape[1], encoder.output_shape[1]), "head")
    return encoder, head


def _chain(layers: list[Any], shape: tuple[int, ...], name: str) -> keras.Model:
    """Copy layers into a chain."""
    import keras

    values = inputs = keras.Input(shape)
    for layer in layers:
        copy = (
            keras.models.clone_model(layer) if hasattr(layer, "layers") else type(layer).from_config(layer.get_config())
        )
        values = copy(values)
        copy.set_weights(layer.get_weights())
    return keras.Model(inputs, values, name=name)


def _scaled(encoder: keras.Model, pixels: int) -> keras.Model:
    import keras

    if pixels == 1:
        return encoder
    frame = keras.Input(encoder.input_shape[1:], name="frame")
    return keras.Model(frame, encoder(keras.layers.Rescaling(LEVELS, name="levels")(frame)), name="encoder")
