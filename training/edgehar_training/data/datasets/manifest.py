"""Clips named one by one in a table: CSV with the columns `path,label,group,start_s,end_s`."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from edgehar.errors import DatasetError
from edgehar.printable import printable
from edgehar_training.data.datasets.clip import Clip, is_file_path
from edgehar_training.data.datasets.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable

COLUMNS = ("path", "label", "group", "start_s", "end_s", "fold", "official")
NEEDED = ("path", "label")
PARTS = ("train", "val", "test")
# Marks a clip that is in no part of an official split; an empty cell means there is no official split.
NO_PART = "-"


def load_csv(table: Path, *, training: bool = True) -> list[Clip]:
    """Return the clips of a table, in its order.

    `path` is a video, relative to the folder of the table, or another source of frames. `label` is required too; the
    other columns may be missing or empty. Clips without a group form a group with all others of the same path.
    `start_s` and `end_s` are seconds from the first frame. `fold` and `official` are as in `Clip`; the parts of several
    official splits are separated by semicolons, and `-` stands for no part (`train;test;-`).

    Args:
        table: the table.
        training: the clips are split for training, which takes two labels; evaluation takes any clip.

    Raises:
        DatasetError: no such table, or a row is invalid.
    """
    if not table.is_file():
        what = "is a folder" if table.is_dir() else "no such file"
        raise DatasetError(f"{table}: {what}; --dataset csv needs a table with the columns {','.join(COLUMNS[:5])}")
    header, rows = read_table(table)
    _check_header(table, header)
    clips = [_clip(table, line, row) for line, row in rows]
    if training and len({clip.label for clip in clips}) < 2:
        raise DatasetError(f"{table}: expected clips of at least two labels; found {len(clips)} clips of fewer")
    if len({len(clip.official) for clip in clips}) > 1:
        raise DatasetError(f"{table}: official must name as many parts in every row, such as train;test;train")
    return clips


def write_csv(clips: Iterable[Clip], file: TextIO) -> None:
    """Write clips as a table that `load_csv` reads; paths are written as they are."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in clips:
        times = ["" if time_s is None else repr(time_s) for time_s in (clip.start_s, clip.end_s)]
        fold = "" if clip.fold is None else clip.fold
        writer.writerow(
            [clip.path, clip.label, clip.group, *times, fold, ";".join(part or NO_PART for part in clip.official)]
        )


def _check_header(table: Path, header: list[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if missing or unknown:
        found = ",".join(header) or "nothing"
        raise DatasetError(f"{table}: expected the header {','.join(COLUMNS[:5])}; found {found}")


def _clip(table: Path, line: int, row: dict[str, str | None]) -> Clip:
    where = f"{table}, line {line}"
    path, label = (row.get("path") or "").strip(), (row.get("label") or "").strip()
    if not path or not label:
        raise DatasetError(f"{where}: a clip needs a path and a label")
    if None in row:
        raise DatasetError(f"{where}: more values than columns; put a path with a comma in quotes")
    start_s, end_s = _seconds(where, "start_s", row), _seconds(where, "end_s", row)
    if end_s is not None and end_s <= (start_s or 0.0):
        raise DatasetError(f"{where}: the clip ends at {end_s:g} s, not after its start at {start_s or 0.0:g} s")
    if is_file_path(path):
        path = path if path.startswith("/") else str(table.parent / path)
        _check_kind(where, Path(path))
    group = row.get("group") or printable(path)
    return Clip(path, label, group, start_s, end_s, _fold(where, row), _official(where, row))


def _check_kind(where: str, path: Path) -> None:
    """Refuse a FIFO, socket or device: reading it could wait forever, and its frames are gone after one reading."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DatasetError(f"{where}: {path} is a FIFO, socket or device; give a video file")


def _seconds(where: str, name: str, row: dict[str, str | None]) -> float | None:
    text = row.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise DatasetError(f"{where}: {name} is {text!r}, must be seconds, 0 or more")
    return value


def _fold(where: str, row: dict[str, str | None]) -> int | None:
    text = row.get("fold")
    if text and not text.isdecimal():
        raise DatasetError(f"{where}: fold is {text!r}, must be a whole number")
    return int(text) if text else None


def _official(where: str, row: dict[str, str | None]) -> tuple[str, ...]:
    text = row.get("official")
    parts = tuple(part.strip() for part in text.split(";")) if text else ()
    if wrong := [part for part in parts if part not in (*PARTS, NO_PART)]:
        raise DatasetError(f"{where}: official is {wrong[0]!r}, must be {', '.join(PARTS)}, or {NO_PART} for none")
    return tuple("" if part == NO_PART else part for part in parts)
