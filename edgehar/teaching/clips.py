"""Labelled clips to teach from: `<label>/<clip>` folders, with an optional table of groups."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from edgehar.errors import ConfigError
from edgehar.sources.address import VIDEO_SUFFIXES

GROUPS_FILE = "groups.csv"


@dataclass(frozen=True)
class LabelledClip:
    """A clip with its label.

    Attributes:
        path: the video file.
        label: the name of its folder.
        group: the camera, person or day it shares with other clips; its own path where no table names one.
    """

    path: Path
    label: str
    group: str


@dataclass(frozen=True)
class LabelledClips:
    """The clips of a folder, in the order of their paths.

    Attributes:
        clips: all of them.
        grouped: whether a table names the groups.
    """

    clips: list[LabelledClip]
    grouped: bool


def read_clips(folder: Path) -> LabelledClips:
    """List the clips below `folder/<label>/`, however deep.

    `groups.csv` in the folder, if there is one, has the columns `clip` (path below the folder) and `group`.

    Raises:
        ConfigError: there is no such folder, no clip in it, or the table cannot be used.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give a folder that holds <label>/<clip> files")
    groups = _read_groups(folder / GROUPS_FILE)
    clips = []
    for label in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(label.rglob("*")):
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
                name = path.relative_to(folder).as_posix()
                clips.append(LabelledClip(path, label.name, name if groups is None else groups.get(name, name)))
    if not clips:
        raise ConfigError(f"{folder}: holds no clip; put video files into {folder}/<label>/")
    return LabelledClips(clips, groups is not None)


def _read_groups(path: Path) -> dict[str, str] | None:
    if not path.exists():
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as table:
            rows = list(csv.DictReader(table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; save it as UTF-8 text") from error
    if not rows or not {"clip", "group"} <= set(rows[0]):
        raise ConfigError(f"{path}: needs a header line with the columns clip and group")
    return {row["clip"]: row["group"] for row in rows if row["clip"] and row["group"]}
