"""The recordings of a folder as a list: newest first, filtered, a page at a time."""

from __future__ import annotations

import datetime
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError
from edgehar.recording.seal import SUFFIX
from edgehar.recording.store import Archive, safe_name
from edgehar.teaching.labels import read_label
from edgehar.web.answers import EventInfo, EventPage, LabelInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgehar.recording.chain import Line
    from edgehar.recording.sidecar import Sidecar

# The name of a recording: time, label unless it is sealed, id of the event, part if there are several.
_NAME = re.compile(r"(\d{6})Z-(?:(.*)-)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(-\d+)?")
# A sidecar holds every answer of its event: some 10 kB.
_MOST_CACHED = 200
MOST_LISTED = 200


@dataclass(frozen=True)
class Filters:
    """A filter of events.

    Attributes:
        camera: name of the camera in paths; "" for all.
        label: the action; "" for all.
        since: events that began at this time or later; None from the first on.
        until: events that began before this time; None up to the last.
        least_score: peak that is needed.
        judged: only recordings that a person has labeled, or only the others; None for all.
    """

    camera: str = ""
    label: str = ""
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    least_score: float = 0.0
    judged: bool | None = None

    def fit(self, info: EventInfo) -> bool:
        """Return whether an event is wanted."""
        began = datetime.datetime.fromisoformat(info.time)
        return (
            self.camera in ("", info.camera)
            and self.label in ("", info.label)
            and (self.since is None or began >= self.since)
            and (self.until is None or began < self.until)
            and (info.peak_score or 0.0) >= self.least_score
            and (self.judged is None or self.judged == (info.verdict is not None))
        )


def day_span(day: str, zone: str) -> tuple[datetime.datetime, datetime.datetime]:
    """Return when a day of the calendar begins and ends; it has 23 or 25 hours when the clocks change.

    Args:
        day: as 2026-03-29.
        zone: name of the time zone, for example "Europe/Berlin".

    Raises:
        ConfigError: there is no such day or zone.
    """
    # Only a filter by day needs it, and it takes memory.
    import zoneinfo

    try:
        midnight = datetime.datetime.combine(datetime.date.fromisoformat(day), datetime.time.min)
        place = zoneinfo.ZoneInfo(zone)
        after = midnight + datetime.timedelta(days=1)
        return tuple(moment.replace(tzinfo=place).astimezone(datetime.UTC) for moment in (midnight, after))  # type: ignore[return-value]
    except (ValueError, OverflowError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ConfigError(f"{day} in {zone}: not a day in a time zone; write 2026-03-29 and Europe/Berlin") from None


@dataclass(frozen=True)
class _Found:
    """A recording by its name alone.

    Attributes:
        id: of the event, with the part if there are several.
        line: on the chain.
        began: when it began, by its name.
        label: in its name; "" if it is sealed.
    """

    id: str
    line: Line
    began: datetime.datetime
    label: str


@dataclass(frozen=True)
class LabelPeaks:
    """Peak scores of the events with one label.

    Attributes:
        day: of the last 24 hours.
        week: of the last 7 days.
    """

    day: list[float] = field(default_factory=list)
    week: list[float] = field(default_factory=list)


class Recordings:
    """A folder of recordings. Not thread-safe; reads files, so call it outside the event loop."""

    def __init__(self, folder: Path) -> None:
        """Use a folder that somebody records into, or not."""
        self._archive = Archive(folder)
        self._sidecars: OrderedDict[str, Sidecar] = OrderedDict()
        # By the path of the recording, because a folder may hold many thousands; None is a name that is not ours.
        self._named: dict[str, _Found | None] = {}
        self._bytes: dict[str, int] = {}

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._archive.folder

    def page(self, filters: Filters, before: str, limit: int) -> EventPage:
        """Return some events, newest first.

        Args:
            filters: which.
            before: the id after which the page begins; "" for the newest.
            limit: most events.
        """
        events: list[EventInfo] = []
        for found in self._after(before):
            if not _may_fit(found, filters):
                continue
            info = self._info(found)
            if filters.fit(info):
                if len(events) == limit:
                    return EventPage(events, events[-1].id)
                events.append(info)
        return EventPage(events, None)

    def ids(self) -> set[str]:
        """Return the ids of all events."""
        return {found.id[:36] for found in self._all()}

    def labels(self) -> list[str]:
        """Return the labels in the names of all recordings."""
        return sorted({found.label for found in self._all()} - {""})

    def find(self, event_id: str) -> tuple[EventInfo, Sidecar | None] | None:
        """Return an event and its sidecar; None if there is none of this id. A sealed sidecar is None."""
        found = self._found(event_id)
        return None if found is None else (self._info(found), self._sidecar(found.line))

    def file(self, event_id: str, suffix: str) -> Path | None:
        """Return the path of a file of a recording that is on the chain and not sealed; None if there is none."""
        found = self._found(event_id)
        if found is None or suffix not in found.line.files:
            return None
        return self.folder / (found.line.path + suffix)

    def base(self, event_id: str) -> Path | None:
        """Return the path of a recording without suffix; None if there is none of this id."""
        found = self._found(event_id)
        return None if found is None else self.folder / found.line.path

    def counts(self) -> tuple[int, int, int]:
        """Return how many recordings there are, their bytes, and the bytes that are free on the disk."""
        lines = [found.line for found in self._all()]
        for line in lines:
            if line.path not in self._bytes:
                self._bytes[line.path] = self._archive.size_of(line)
        return len(lines), sum(self._bytes[line.path] for line in lines), self._archive.free_bytes()

    def uploaded(self) -> int:
        """Return how many of the recordings a server has."""
        there = self._archive.chain.recordings()
        return len(self._archive.chain.uploaded() & set(there))

    def peaks(self, camera: str, now: datetime.datetime) -> dict[str, LabelPeaks]:
        """Return the peak scores of a camera's events of the last day and week, by label."""
        week, day = now - datetime.timedelta(days=7), now - datetime.timedelta(days=1)
        peaks: dict[str, LabelPeaks] = {}
        for found in self._all():
            if found.began < week:
                break
            if found.line.path.partition("/")[0] == camera and found.id == found.id[:36]:
                info = self._info(found)
                of_label = peaks.setdefault(info.label, LabelPeaks())
                of_label.week.append(info.peak_score or 0.0)
                if found.began >= day:
                    of_label.day.append(info.peak_score or 0.0)
        return peaks

    def _all(self) -> Iterator[_Found]:
        """Give all recordings, newest first."""
        there = self._archive.chain.recordings()
        for path in self._named.keys() - there.keys():
            del self._named[path]
            self._bytes.pop(path, None)
        for path in there.keys() - self._named.keys():
            self._named[path] = _named(there[path])
        found = [one for one in self._named.values() if one is not None]
        yield from sorted(found, key=lambda one: (one.began, one.id), reverse=True)

    def _after(self, event_id: str) -> Iterator[_Found]:
        reached = not event_id
        for found in self._all():
            if reached:
                yield found
            reached = reached or found.id == event_id

    def _found(self, event_id: str) -> _Found | None:
        return next((found for found in self._all() if found.id == event_id), None)

    def _sidecar(self, line: Line) -> Sidecar | None:
        if line.path in self._sidecars:
            self._sidecars.move_to_end(line.path)
            return self._sidecars[line.path]
        sidecar = self._archive.sidecar_of(line)
        if sidecar is None:
            return None
        self._sidecars[line.path] = sidecar
        while len(self._sidecars) > _MOST_CACHED:
            self._sidecars.popitem(last=False)
        return sidecar

    def _info(self, found: _Found) -> EventInfo:
        line, sidecar = found.line, self._sidecar(found.line)
        event = sidecar.events[-1] if sidecar is not None and sidecar.events else None
        clip = None if sidecar is None else sidecar.clip
        whole = clip is not None and clip.start_s is not None and clip.end_s is not None
        return EventInfo(
            id=found.id,
            camera=line.path.partition("/")[0],
            camera_name=line.path.partition("/")[0] if sidecar is None else sidecar.source,
            label=found.label if event is None else event.label,
            time=found.began.strftime("%Y-%m-%dT%H:%M:%SZ"),
            duration_s=None if event is None or event.end_s is None else round(event.end_s - event.start_s, 2),
            peak_score=None if event is None else round(event.peak_score, 3),
            going_on=False,
            picture=".jpg" in line.files,
            clip=".mp4" in line.files,
            clip_s=round(clip.end_s - clip.start_s, 2) if whole else None,  # type: ignore[union-attr, operator]
            codec="" if clip is None else clip.codec,
            sealed=any(suffix.endswith(SUFFIX) for suffix in line.files),
            uploaded=line.path in self._archive.chain.uploaded(),
            note="" if sidecar is None else sidecar.note,
            verdict=_label_info(self.folder / line.path),
        )


def _label_info(base: Path) -> LabelInfo | None:
    try:
        label = read_label(base)
    except ConfigError:
        return None
    return None if label is None else LabelInfo(label.verdict, label.label, label.time)


def _named(line: Line) -> _Found | None:
    """Return what the name of a recording says; None if it is not one of ours."""
    _, day, name = line.path.split("/")[:3] if line.path.count("/") == 2 else ("", "", "")
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        began = datetime.datetime.fromisoformat(f"{day}T{found[1]}Z")
    except ValueError:
        return None
    return _Found(f"{found[3]}{found[4] or ''}", line, began, found[2] or "")


def _may_fit(found: _Found, filters: Filters) -> bool:
    """Return whether a recording may be wanted, by its name alone, because reading every sidecar takes long."""
    folder = found.line.path.partition("/")[0]
    return (
        filters.camera in ("", folder)
        and (not filters.label or not found.label or found.label == safe_name(filters.label))
        and (filters.since is None or found.began >= filters.since)
        and (filters.until is None or found.began < filters.until)
    )
