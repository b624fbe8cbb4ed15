"""Data sets: every layout becomes a list of `Clip`, and nothing else knows a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.errors import ConfigError
from edgehar_training.datasets.clip import Clip, labels_of

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("folder", "ut-interaction", "synthetic")

__all__ = ["KINDS", "Clip", "labels_of", "load_dataset"]


def load_dataset(kind: str, data_dir: Path | None) -> list[Clip]:
    """The clips of a data set, in a fixed order.

    Args:
        kind: one of `KINDS`.
        data_dir: folder of the data; not used by "synthetic", which is made by code.

    Raises:
        ConfigError: no such kind, or no folder where one is needed.
        DatasetError: the folder's layout, labels or clips cannot be used.
    """
    if kind == "synthetic":
        from edgehar_training.datasets.synthetic import synthetic_clips

        return synthetic_clips()
    if data_dir is None:
        raise ConfigError(f"--dataset {kind} needs --data DIR, the folder of the clips")
    if kind == "folder":
        from edgehar_training.datasets.folder import load_folder

        return load_folder(data_dir)
    if kind == "ut-interaction":
        from edgehar_training.datasets.ut_interaction import load_ut_interaction

        return load_ut_interaction(data_dir)
    raise ConfigError(f"no data set kind {kind!r}; there are {', '.join(KINDS)}")
