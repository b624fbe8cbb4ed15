"""Preparation of the workstation commands before they import anything heavy."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import resource
from pathlib import Path

from edgehar.errors import ConfigError, EdgeharError
from edgehar_training.quiet import quiet_tensorflow

_NEEDED = ("keras", "sklearn", "matplotlib", "jinja2")
BACKENDS = ("tensorflow", "jax")


def prepare(backend: str | None = None) -> None:
    """Check that the training extra and Keras' backend are installed, and silence TensorFlow.

    Args:
        backend: the backend to use; None for the choice of the user.

    Raises:
        ConfigError: the chosen backend is not supported.
        EdgeharError: a library is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EdgeharError(
            f"{', '.join(missing)} not installed: training and conversion need the train extra; in a checkout of "
            "edgehar run: pip install '.[train]'"
        )
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend
    _check_backend(_chosen_backend())
    # TensorFlow logs usable CPU instructions at start, and JAX every compilation; only errors matter here.
    quiet_tensorflow()
    logging.getLogger("jax").setLevel(logging.WARNING)
    _allow_open_files()


def _allow_open_files() -> None:
    """Raise the limit of open files: each clip in use is an open file, and 1024 clips are a small data set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _check_backend(name: str) -> None:
    if name not in BACKENDS:
        raise ConfigError(f"Keras' backend is {name} (KERAS_BACKEND, or keras.json); use {' or '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        extra = "train" if name == "tensorflow" else "train-jax"
        other = "jax" if name == "tensorflow" else "tensorflow"
        raise EdgeharError(
            f"{name} not installed, the backend of Keras that is chosen; in a checkout of edgehar run: "
            f"pip install '.[{extra}]' (to train with {other}, set KERAS_BACKEND={other})"
        )


def _chosen_backend() -> str:
    """Return the backend that Keras will use: from the environment, its own file, or TensorFlow."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
