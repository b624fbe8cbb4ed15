"""Checkpoint of a training in one file, from which it continues exactly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConfigError
from edgehar.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras
    import numpy.typing as npt

    Arrays = list[npt.NDArray[Any]]


def arrays_of(variables: Sequence[keras.Variable]) -> Arrays:
    """Copy the values of variables."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[keras.Variable], arrays: Arrays) -> None:
    """Give variables the values that `arrays_of` took of them."""
    for variable, value in zip(variables, arrays, strict=True):
        variable.assign(value)


def write_checkpoint(path: Path, state: Sequence[keras.Variable], best: Arrays, progress: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        state: every variable that the next step depends on.
        best: weights of the best epoch.
        progress: how far the training is; anything that JSON holds.
    """
    arrays: dict[str, Any] = {f"state_{i}": value for i, value in enumerate(arrays_of(state))}
    arrays |= {f"best_{i}": value for i, value in enumerate(best)}
    with whole_file(path) as temporary:
        np.savez(temporary, progress=np.array(json.dumps(progress)), **arrays)


def read_checkpoint(path: Path, state: Sequence[keras.Variable], best: Arrays) -> tuple[Arrays, dict[str, Any]]:
    """Put a checkpoint back.

    Args:
        path: the file.
        state: the variables, which get the values that they had.
        best: weights with the shapes of the best weights.

    Returns:
        The weights of the best epoch, and how far the training is.

    Raises:
        ConfigError: it cannot be read, or is of another network.
    """
    try:
        with np.load(path) as arrays:
            if len(arrays.files) != 1 + len(state) + len(best):
                raise ValueError(f"it holds {len(arrays.files) - 1} arrays, not {len(state) + len(best)}")
            assign(state, [arrays[f"state_{index}"] for index in range(len(state))])
            kept = [arrays[f"best_{index}"] for index in range(len(best))]
            return kept, json.loads(str(arrays["progress"]))
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: no checkpoint of this network ({error}); train into another --out") from error
