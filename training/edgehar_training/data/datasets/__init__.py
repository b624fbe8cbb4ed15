"""Data sets: every layout becomes a list of `Clip`, and nothing else knows a layout."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.config.words import meant
from edgehar.errors import ConfigError
from edgehar_training.data.datasets.clip import Clip, labels_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar_training.settings import DataSettings

# Where the loader of each layout is: a function of the folder (or table), imported when it is used.
_LOADERS = {
    "folder": "folder:load_folder",
    "csv": "manifest:load_csv",
    "mixed": "mixed:load_mixed",
    "recordings": "recordings:load_recordings",
    "kth": "kth:load_kth",
    "ucf50": "ucf50:load_ucf50",
    "ucf101": "ucf101:load_ucf101",
    "hmdb51": "hmdb51:load_hmdb51",
    "weizmann": "weizmann:load_weizmann",
    "ut-interaction": "ut_interaction:load_ut_interaction",
}
KINDS = (*_LOADERS, "synthetic")

__all__ = ["KINDS", "Clip", "labels_of", "load_dataset", "load_kind"]


def load_dataset(settings: DataSettings) -> list[Clip]:
    """The clips of a data set, in a fixed order.

    Args:
        settings: `dataset` is one of `KINDS`; `folder` is not used by "synthetic", which is made by code; `classes`
            are those to keep.

    Raises:
        ConfigError: no such kind or class, or no folder where one is needed.
        DatasetError: the folder's layout, labels or clips cannot be used.
    """
    clips = load_kind(settings.dataset, None if settings.folder is None else Path(settings.folder))
    return clips if settings.classes is None else _of_classes(clips, settings.classes)


def load_kind(kind: str, data_dir: Path | None) -> list[Clip]:
    """The clips of a folder (or table) of a kind, in a fixed order.

    Raises:
        ConfigError: no such kind, or no folder where one is needed.
        DatasetError: the folder's layout, labels or clips cannot be used.
    """
    if kind == "synthetic":
        from edgehar_training.data.datasets.synthetic import synthetic_clips

        return synthetic_clips()
    if kind not in _LOADERS:
        nearest = meant(kind, KINDS)
        hint = f"; did you mean {nearest}?" if nearest else ""
        raise ConfigError(f"no data set kind {kind!r}; there are {', '.join(KINDS)}{hint}")
    if data_dir is None:
        what = "the table of the clips" if kind in ("csv", "mixed") else "the folder of the clips"
        raise ConfigError(f"--dataset {kind} needs --data DIR, {what}")
    module, _, name = _LOADERS[kind].partition(":")
    load: Callable[[Path], list[Clip]] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return load(data_dir)


def _of_classes(clips: list[Clip], classes: list[str]) -> list[Clip]:
    known = labels_of(clips)
    for name in classes:
        if name not in known:
            nearest = meant(name, known)
            hint = f"did you mean {nearest!r}?" if nearest else f"there are {', '.join(known)}"
            raise ConfigError(f"--classes: no class {name!r} in the data; {hint}")
    if len(set(classes)) < 2:
        raise ConfigError(f"--classes {classes[0] if classes else ''}: a network tells at least two classes apart")
    return [clip for clip in clips if clip.label in classes]
