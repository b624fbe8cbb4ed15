"""Recordings to judge a detector by: folders of videos, with the tables of cameras and incidents beside them."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, DatasetError
from edgehar.sources.address import VIDEO_SUFFIXES
from edgehar_training.data.datasets.folder import GROUPS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EVENTS_FILE = "events.csv"


@dataclasses.dataclass(frozen=True)
class Recording:
    """A video and what happens in it.

    Attributes:
        path: of the video.
        name: its place below its data set, with the data set's folder: `cctv/ordinary/so01.mp4`.
        camera: group of recordings that are not independent.
        incidents: start and end in seconds of each; None is the end of the video.
        ordinary: whether it is from a folder of ordinary footage.
        folder: name of that folder, with its data set's in front if tables lie there: `cctv/ordinary`.
    """

    path: str
    name: str
    camera: str
    incidents: tuple[tuple[float, float | None], ...]
    ordinary: bool
    folder: str = ""


@dataclasses.dataclass(frozen=True)
class _Row:
    label: str
    start_s: float
    end_s: float | None


def find_recordings(
    ordinary: Sequence[Path], incident: Sequence[Path], labels: Sequence[str]
) -> tuple[list[Recording], list[str]]:
    """Return every video below some folders, and warnings.

    Tables are looked for in the folder of a video, in those above it, and last in the folder above the one that was
    given. `groups.csv` (columns `clip`, `group`) names the camera of each clip: a name with a colon is taken as it is,
    any other gets the name of its data set in front. `events.csv` (columns `clip`, `label`, `start_s`, `end_s`; an
    empty end is the end of the clip) says when something happens. A clip of an incident folder without a row in it
    is an incident from its first second to its last.

    Args:
        ordinary: folders of footage in which nothing happens but what `events.csv` says.
        incident: folders of incidents.
        labels: what the detector reports; events of other labels are not its incidents.

    Raises:
        ConfigError: a folder is missing, holds no video, or is given as both kinds.
        DatasetError: a table cannot be read, or names a clip that is not there.
    """
    tables = _Tables()
    found: dict[str, Recording] = {}
    warnings: list[str] = []
    for folders, is_ordinary in ((ordinary, True), (incident, False)):
        for folder in folders:
            for video in _videos(folder):
                recording = _recording(tables, folder, video, labels, ordinary=is_ordinary)
                before = found.setdefault(recording.path, recording)
                if before.ordinary != is_ordinary:
                    raise ConfigError(f"{video}: is in --ordinary and in --incident; give it once")
                if not is_ordinary and not recording.incidents:
                    warnings.append(f"{recording.name}: {EVENTS_FILE} names no {' or '.join(labels)} in it")
    return list(found.values()), warnings


def _videos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give a folder of videos")
    below = (path for path in folder.resolve().rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    videos = sorted(path for path in below if path.is_file() and not path.name.startswith("."))
    if not videos:
        raise ConfigError(f"{folder}: holds no video")
    return videos


def _recording(tables: _Tables, folder: Path, video: Path, labels: Sequence[str], *, ordinary: bool) -> Recording:
    places = list(_places(folder, video))
    root = next((place for place in places if tables.has(place)), places[-1])
    name = video.relative_to(root).as_posix()
    group = next(filter(None, (tables.group(place, video) for place in places)), name)
    rows = next(filter(None, (tables.rows(place, video) for place in places)), [])
    incidents = [(row.start_s, row.end_s) for row in rows if row.label in labels]
    if not ordinary and not rows:
        incidents = [(0.0, None)]
    camera = group if ":" in group else f"{root.name}:{group}"
    top = folder.resolve()
    given = f"{root.name}/{top.relative_to(root).as_posix()}" if top != root and top.is_relative_to(root) else top.name
    return Recording(str(video), f"{root.name}/{name}", camera, tuple(incidents), ordinary, given)


def _places(folder: Path, video: Path) -> Iterator[Path]:
    """The folders in which a table about a video may be, the nearest first; the last one is the folder given."""
    top = folder.resolve()
    inside = [place for place in video.parents if place.is_relative_to(top)]
    above = top.parent
    yield from inside[:-1]
    if any((above / name).exists() for name in (GROUPS_FILE, EVENTS_FILE)):
        yield from (top, above)
    else:
        yield top


class _Tables:
    """The tables of each folder, read once."""

    def __init__(self) -> None:
        self._groups: dict[Path, dict[str, str]] = {}
        self._rows: dict[Path, dict[str, list[_Row]]] = {}

    def has(self, place: Path) -> bool:
        """Whether a folder holds a table."""
        return any((place / name).exists() for name in (GROUPS_FILE, EVENTS_FILE))

    def group(self, place: Path, video: Path) -> str | None:
        """The camera of a video by a folder's `groups.csv`; None without a row."""
        if place not in self._groups:
            self._groups[place] = {row["clip"]: row["group"] for row in _read(place / GROUPS_FILE, ("clip", "group"))}
        return self._groups[place].get(video.relative_to(place).as_posix()) or None

    def rows(self, place: Path, video: Path) -> list[_Row]:
        """The events of a video in a folder's `events.csv`."""
        if place not in self._rows:
            self._rows[place] = _read_events(place)
        return self._rows[place].get(video.relative_to(place).as_posix(), [])


def _read_events(place: Path) -> dict[str, list[_Row]]:
    path = place / EVENTS_FILE
    rows: dict[str, list[_Row]] = {}
    for number, row in enumerate(_read(path, ("clip", "label", "start_s", "end_s")), start=2):
        try:
            start_s, end_s = float(row["start_s"] or 0), float(row["end_s"]) if row["end_s"] else None
        except ValueError as error:
            raise DatasetError(f"{path}: line {number}: start_s and end_s must be seconds ({error})") from error
        if not (0 <= start_s < (math.inf if end_s is None else end_s)):
            raise DatasetError(f"{path}: line {number}: start_s must be 0 or more, and less than end_s")
        if not (place / row["clip"]).is_file():
            raise DatasetError(f"{path}: line {number}: {row['clip']}: no such clip; correct the table")
        rows.setdefault(row["clip"], []).append(_Row(row["label"], start_s, end_s))
    return rows


def _read(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table; none where there is no table."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise DatasetError(f"{path}: has no column {missing[0]}; its header must hold {','.join(columns)}")
            return [{name: row[name] or "" for name in columns} for row in reader]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as CSV in UTF-8: {error}") from error
