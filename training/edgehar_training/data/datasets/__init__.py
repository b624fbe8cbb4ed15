"""Data sets: each layout is loaded as a list of `Clip`; no other code knows a layout."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, DatasetError
from edgehar.nearest import nearest
from edgehar.printable import printable, valid_unicode
from edgehar_training.data.datasets.clip import Clip, labels_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar_training.settings import DataSettings

# The loader of each layout, imported when it is used: a function of the folder (or table).
_LOADERS = {
    "folder": "folder:load_folder",
    "csv": "manifest:load_csv",
    "kth": "kth:load_kth",
    "ucf50": "ucf50:load_ucf50",
    "ucf101": "ucf101:load_ucf101",
    "hmdb51": "hmdb51:load_hmdb51",
    "weizmann": "weizmann:load_weizmann",
    "ut-interaction": "ut_interaction:load_ut_interaction",
    "rwf-2000": "rwf2000:load_rwf2000",
    "rlvs": "rlvs:load_rlvs",
    "hockey-fight": "hockey:load_hockey",
    "ucf-crime": "ucf_crime:load_ucf_crime",
    "ubi-fights": "ubi_fights:load_ubi_fights",
    "ubnormal": "ubnormal:load_ubnormal",
    "ur-fall": "ur_fall:load_ur_fall",
    "le2i": "le2i:load_le2i",
    "recordings": "recordings:load_recordings",
    "mixed": "mixed:load_mixed",
}
KINDS = (*_LOADERS, "synthetic")

__all__ = ["KINDS", "Clip", "describe_data", "labels_of", "load_dataset", "load_kind"]


def load_dataset(settings: DataSettings, *, training: bool = True) -> list[Clip]:
    """Return the clips of a data set, in a fixed order.

    Args:
        settings: `dataset` is one of `KINDS`; `folder` is not used by "synthetic", which is made by code; `classes`
            are the classes to keep.
        training: the clips are split for training, which takes two classes; clips of a folder or table that are only
            evaluated may be of one class.

    Raises:
        ConfigError: unknown kind or class, or no folder given.
        DatasetError: the folder has another layout, or its labels or clips cannot be used.
    """
    folder = None if settings.folder is None else Path(settings.folder)
    clips = load_kind(settings.dataset, folder, training=training)
    for label in labels_of(clips):
        if valid_unicode(label) != label:
            raise DatasetError(f"class {printable(label)!r}: its name is not UTF-8; rename the folder")
    return clips if settings.classes is None else _of_classes(clips, settings.classes, training=training)


def describe_data(kind: str, folder: Path | str | None) -> str:
    """Return a data set in words, as in manifests: `clips (folder)`, or the kind alone if it has no folder."""
    return kind if folder is None else f"{printable(Path(folder).resolve().name)} ({kind})"


def load_kind(kind: str, data_dir: Path | None, *, training: bool = True) -> list[Clip]:
    """Return the clips of a folder (or table) of a kind, in a fixed order; `training` as for `load_dataset`.

    Raises:
        ConfigError: unknown kind, or no folder given.
        DatasetError: the folder has another layout, or its labels or clips cannot be used.
    """
    if kind == "synthetic":
        from edgehar_training.data.datasets.synthetic import synthetic_clips

        return synthetic_clips()
    if kind not in _LOADERS:
        near = nearest(kind, KINDS)
        hint = f"; did you mean {near}?" if near else ""
        raise ConfigError(f"unknown data set kind {kind!r}; choose one of {', '.join(KINDS)}{hint}")
    if data_dir is None:
        what = "the table of the clips" if kind in ("csv", "mixed") else "the folder of the clips"
        raise ConfigError(f"--dataset {kind} needs --data DIR, {what}")
    module, _, name = _LOADERS[kind].partition(":")
    load: Callable[..., list[Clip]] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    # Data sets of research have all their classes; only the user's own clips may be of one class.
    return load(data_dir, training=training) if kind in ("folder", "csv") else load(data_dir)


def _of_classes(clips: list[Clip], classes: list[str], *, training: bool) -> list[Clip]:
    known = labels_of(clips)
    for name in classes:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"--classes: no class {name!r} in the data; {hint}")
    if len(set(classes)) < (2 if training else 1):
        raise ConfigError(f"--classes {classes[0] if classes else ''}: a network needs at least two classes")
    return [clip for clip in clips if clip.label in classes]
