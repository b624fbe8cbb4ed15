"""Long recordings in which something happens: `<label>/<clip>` with `groups.csv`, and `events.csv` for when.

A whole-clip label is wrong for a recording of a minute with ten seconds of a fight. A row of `events.csv` (header
`clip,label,start_s,end_s`; an empty end is the end of the recording) says when; what is around it is a clip of its own.
"""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders, read_groups

if TYPE_CHECKING:
    from pathlib import Path

EVENTS_FILE = "events.csv"
# What is around the events of a recording, unless its folder's name says something else by a renamed label.
OUTSIDE = "outside"
# A shorter stretch between events is left out: it holds no window that is sure to be ordinary.
SHORTEST_S = 2.5
# Before and after an event nobody knows to the frame whether it has begun: left out.
BORDER_S = 0.2

Event = tuple[str, float, float | None]


def load_recordings(data_dir: Path) -> list[Clip]:
    """Return the events of the recordings, what is around them as `outside`, and recordings without events whole.

    A recording without a group in `groups.csv` is a group of its own.

    Raises:
        DatasetError: the folder is not laid out so, or a table does not fit it.
    """
    files = class_folders(data_dir, fewest=1, fewest_classes=1)
    groups, events = read_groups(data_dir), _read_events(data_dir)
    names = {name for name, _, _ in files}
    if missing := sorted(set(events) - names):
        raise DatasetError(
            f"{data_dir / EVENTS_FILE}: names {missing[0]!r}, which is not there; correct the table or bring the clip"
        )
    clips = []
    for name, label, path in files:
        group = groups.get(name, name)
        stretches = _stretches(events[name], path) if name in events else [(label, None, None)]
        clips += [Clip(str(path), what, group, start_s, end_s) for what, start_s, end_s in stretches]
    return clips


def _stretches(events: list[Event], path: Path) -> list[tuple[str, float | None, float | None]]:
    """Events and what is around them, in order of time."""
    stretches: list[tuple[str, float | None, float | None]] = []
    quiet_from: float | None = 0.0
    for label, start_s, end_s in sorted(events, key=lambda event: event[1]):
        if quiet_from is not None and start_s - BORDER_S - quiet_from >= SHORTEST_S:
            stretches.append((OUTSIDE, quiet_from or None, start_s - BORDER_S))
        stretches.append((label, start_s or None, end_s))
        quiet_from = None if end_s is None or quiet_from is None else max(quiet_from, end_s + BORDER_S)
    if quiet_from is not None and _length_s(path) - quiet_from >= SHORTEST_S:
        stretches.append((OUTSIDE, quiet_from, None))
    return stretches


def _length_s(path: Path) -> float:
    """Length of a recording by its header; infinite where that does not say."""
    import av

    try:
        with av.open(str(path)) as container:
            return math.inf if container.duration is None else container.duration / av.time_base
    except (OSError, ValueError):  # whoever decodes it says what is wrong
        return math.inf


def _read_events(data_dir: Path) -> dict[str, list[Event]]:
    path = data_dir / EVENTS_FILE
    events: dict[str, list[Event]] = {}
    if not path.exists():
        return events
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"clip", "label", "start_s", "end_s"} <= set(reader.fieldnames or ()):
                found = ",".join(reader.fieldnames or ()) or "nothing"
                raise DatasetError(f"{path}: the header must be clip,label,start_s,end_s, it is {found}")
            for row in reader:
                events.setdefault(row["clip"], []).append(_event(path, reader.line_num, row))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: is no CSV in UTF-8 ({error}); save it as one") from error
    return events


def _event(path: Path, line: int, row: dict[str, str]) -> Event:
    try:
        start_s = float(row["start_s"] or 0)
        end_s = float(row["end_s"]) if row["end_s"] else None
        usable = math.isfinite(start_s) and start_s >= 0 and (end_s is None or start_s < end_s < math.inf)
    except (TypeError, ValueError):
        usable = False
    if not usable or not row["label"]:
        raise DatasetError(
            f"{path}, line {line}: an event needs a label, start_s of 0 or more, and end_s after it or empty"
        )
    return row["label"], start_s, end_s
