"""Networks by name. Each has a layer "encoder" (one frame to features) and a layer "head" (features to scores)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.errors import ConfigError
from edgehar.nearest import nearest
from edgehar_training.settings.network import FUSED

if TYPE_CHECKING:
    import keras

    from edgehar_training.settings import NetworkSettings

# The module of a network holds `OPTIONS`, the struct of its options; `check(settings, options)`, which raises
# ConfigError if the network does not support the settings; and `build(settings, options, classes)`. Only `build`
# imports Keras. A network that takes two looks sets `TWO_LOOKS`.
_HOMES = {
    "lrcn": "edgehar_training.models.lrcn",
    "mobile": "edgehar_training.models.mobile",
    "convlstm": "edgehar_training.models.convlstm",
    "attention_lrcn": "edgehar_training.models.attention_lrcn",
    "compact": "edgehar_training.models.compact",
    "cnn_rnn": "edgehar_training.models.cnn_rnn",
    "two_stream": "edgehar_training.models.two_stream",
}
NAMES = tuple(_HOMES)

__all__ = ["NAMES", "build", "check", "feature_parts", "prepare"]


def check(settings: NetworkSettings) -> Any:
    """Check the name, the options and the settings of a network. Imports nothing heavy.

    Returns:
        Its options, a struct of its own type.

    Raises:
        ConfigError: unknown network or option, or the network does not support the settings.
    """
    if settings.model == FUSED:
        raise ConfigError(
            f"model {FUSED} is made from trained networks by edgehar fuse and cannot be trained; train its parts"
        )
    if settings.model not in _HOMES:
        raise ConfigError(f"unknown model {settings.model!r}; choose one of {', '.join(NAMES)}")
    home = importlib.import_module(_HOMES[settings.model])
    try:
        options = msgspec.convert(settings.options, home.OPTIONS, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(home.OPTIONS.__struct_fields__)
        raise ConfigError(
            f"model {settings.model}: {error}; its options are {known or 'none'}{_hint(settings, home)}"
        ) from error
    if settings.scaling != "unit" and not settings.input.startswith("rgb"):
        raise ConfigError(
            f"scaling {settings.scaling} is for colors, but the input is {settings.input}; use --input rgb or "
            "--scaling unit"
        )
    _check_looks(settings, home)
    home.check(settings, options)
    return options


def _check_looks(settings: NetworkSettings, home: Any) -> None:
    if not settings.two_looks:
        if settings.stabilize:
            raise ConfigError(
                "--stabilize moves a picture of 320x240, of which only --looks whole+crop is made; use that, or "
                "leave it out"
            )
        if settings.steady_light:
            raise ConfigError(
                "--steady-light changes a picture of 320x240, of which only --looks whole+crop is made; use that, or "
                "leave it out"
            )
        return
    if not getattr(home, "TWO_LOOKS", False):
        raise ConfigError(f"{settings.model} takes the whole frame alone; use --looks whole, or --model mobile")
    if settings.input != "motion":
        raise ConfigError(f"--looks whole+crop is for --input motion, not {settings.input}")
    if settings.sampling != "consecutive":
        raise ConfigError(
            f"--looks whole+crop follows the movement from frame to frame; --sampling {settings.sampling} "
            "leaves frames out, use --sampling consecutive"
        )


def _hint(settings: NetworkSettings, home: Any) -> str:
    known = home.OPTIONS.__struct_fields__
    near = [name for unknown in settings.options if unknown not in known if (name := nearest(unknown, known))]
    return f"; did you mean {near[0]}?" if near else ""


def prepare(settings: NetworkSettings) -> None:
    """Fetch what the network needs, such as pretrained weights, before anything that takes long.

    Raises:
        ConfigError: it cannot be fetched, or the network does not support the settings.
    """
    options = check(settings)
    home = importlib.import_module(_HOMES[settings.model])
    if hasattr(home, "prepare"):
        home.prepare(settings, options)


def build(settings: NetworkSettings, classes: int) -> keras.Model:
    """Build a network with fresh weights.

    Args:
        settings: the kind and shape of the network.
        classes: number of actions.

    Returns:
        A model of float32 `(batch, window, size, size, channels)`, or `(batch, window, 2, size, size, channels)` with
        two looks, to float32 `(batch, classes)`, softmax scores.

    Raises:
        ConfigError: unknown network, or it does not support the settings.
    """
    options = check(settings)
    model: keras.Model = importlib.import_module(_HOMES[settings.model]).build(settings, options, classes)
    return model


def feature_parts(settings: NetworkSettings, features: int, *, pools: bool = False) -> list[int]:
    """The number of the encoder's features that belong together, in their order; all of them by default.

    Args:
        settings: of the network.
        features: how many there are.
        pools: count the poolings of a map apart.
    """
    home = importlib.import_module(_HOMES[settings.model])
    if not hasattr(home, "feature_parts"):
        return [features]
    return list(home.feature_parts(settings, check(settings), pools=pools))
