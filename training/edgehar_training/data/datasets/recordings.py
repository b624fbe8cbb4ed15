"""Long recordings in which something happens: `<label>/<clip>` with `groups.csv`, and `events.csv` for when.

A whole-clip label is wrong for a recording of a minute with ten seconds of a fight. A row of `events.csv` (header
`clip,label,start_s,end_s`; an empty end is the end of the recording) says when; the time around it is another clip.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.folder import class_folders, read_groups

if TYPE_CHECKING:
    from pathlib import Path

EVENTS_FILE = "events.csv"
# The label of the time around the events of a recording.
OUTSIDE = "outside"
# A shorter stretch beside an event is left out: it may hold no whole window.
SHORTEST_S = 2.5
# Nobody knows to the frame when an event starts and ends: so much before and after it is left out.
BORDER_S = 0.2


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A labeled part of a recording; None is its beginning or end, in seconds."""

    label: str
    start_s: float | None
    end_s: float | None


def load_recordings(data_dir: Path, *, events: Path | None = None, window_s: float = 0.0) -> list[Clip]:
    """Return the events of the recordings, the time around them as `outside`, and recordings without events whole.

    A recording without a group in `groups.csv` is a group of its own.

    Args:
        data_dir: the folder.
        events: the table of events, if it is not `events.csv` of the folder.
        window_s: for events that are shorter than a window of so many seconds, such as a fall: an event is widened to
            from so long before its end to so long after its start, so that every window in it holds the event.

    Raises:
        DatasetError: the folder has another layout, or a table does not fit it.
    """
    files = class_folders(data_dir, fewest=1, fewest_classes=1)
    table = data_dir / EVENTS_FILE if events is None else events
    groups, known = read_groups(data_dir), {} if events is None and not table.exists() else _read_events(table)
    names = {name for name, _, _ in files}
    if missing := sorted(set(known) - names):
        raise DatasetError(f"{table}: names {missing[0]!r}, which is not there; correct the table or bring the clip")
    clips = []
    for name, label, path in files:
        stretches = [Stretch(label, None, None)]
        if name in known:
            stretches = _stretches([_widened(event, window_s) for event in known[name]], _length_s(path))
        clips += [Clip(str(path), one.label, groups.get(name, name), one.start_s, one.end_s) for one in stretches]
    return clips


def _widened(event: Stretch, window_s: float) -> Stretch:
    start_s = event.start_s or 0.0
    if event.end_s is None or event.end_s - start_s >= window_s:
        return event
    return Stretch(event.label, max(0.0, event.end_s - window_s), start_s + window_s)


def _stretches(events: list[Stretch], length_s: float) -> list[Stretch]:
    """Events and the time around them, in order."""
    stretches: list[Stretch] = []
    quiet_s = 0.0
    for event in sorted(events, key=lambda one: one.start_s or 0.0):
        start_s = event.start_s or 0.0
        if start_s - BORDER_S - quiet_s >= SHORTEST_S:
            stretches.append(Stretch(OUTSIDE, quiet_s or None, round(start_s - BORDER_S, 3)))
        stretches.append(Stretch(event.label, start_s or None, event.end_s))
        quiet_s = max(quiet_s, math.inf if event.end_s is None else round(event.end_s + BORDER_S, 3))
    if length_s - quiet_s >= SHORTEST_S:
        stretches.append(Stretch(OUTSIDE, quiet_s, None))
    return stretches


def _length_s(path: Path) -> float:
    """Length of a recording by its header; 0 if that does not say, so that nothing after the last event is used."""
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return 0.0 if container.duration is None else container.duration / av.time_base
    except (OSError, ValueError):  # the decoder reports the cause
        return 0.0


def _read_events(path: Path) -> dict[str, list[Stretch]]:
    events: dict[str, list[Stretch]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"clip", "label", "start_s", "end_s"} <= set(reader.fieldnames or ()):
                found = ",".join(reader.fieldnames or ()) or "nothing"
                raise DatasetError(f"{path}: the header must be clip,label,start_s,end_s, it is {found}")
            for row in reader:
                events.setdefault(row["clip"], []).append(_event(path, reader.line_num, row))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: is not CSV in UTF-8 ({error}); save it as one") from error
    return events


def _event(path: Path, line: int, row: dict[str, str]) -> Stretch:
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
    return Stretch(row["label"], start_s, end_s)
