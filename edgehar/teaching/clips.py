"""Labeled clips to teach from: `<label>/<clip>` folders, and moments and recordings that a person has labeled."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import ConfigError
from edgehar.recording.sidecar import LABEL_SUFFIX, Sidecar
from edgehar.sources.address import VIDEO_SUFFIXES
from edgehar.teaching.inbox import Inbox, Item, day_of
from edgehar.teaching.labels import read_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GROUPS_FILE = "groups.csv"
# What is shown of a contradiction.
_MOST_SHOWN = 3


@dataclass(frozen=True)
class LabeledClip:
    """A clip with its label.

    Attributes:
        path: the video file; of a moment without a clip, its facts.
        label: the class that it shows.
        group: the camera, person or day it shares with other clips; its own path where nothing is known of that.
        item: the moment of the inbox that it is; None for a video file.
        span_s: the part of the video that the label is about, in seconds from its start; None for all of it.
        event: id of the event that it shows; None if unknown.
    """

    path: Path
    label: str
    group: str
    item: Item | None = None
    span_s: tuple[float, float] | None = None
    event: str | None = None


@dataclass(frozen=True)
class LabeledClips:
    """Clips with labels, and what else was found.

    Attributes:
        clips: all of them.
        held_out: what the groups are, for the protocol: "groups held out", "days held out" and so on.
        grouped: whether groups are known; if not, clips are held out at random.
        ordinary: moments that were chosen by chance and have no label: a fair sample of the time watched.
        events: moments of events without a label of their own.
        skipped: labels without a clip, with why.
    """

    clips: list[LabeledClip]
    held_out: str
    grouped: bool = True
    ordinary: list[Item] = field(default_factory=list)
    events: list[Item] = field(default_factory=list)
    skipped: Mapping[str, str] = field(default_factory=dict)


def read_clips(folder: Path) -> LabeledClips:
    """List the clips below `folder/<label>/`, however deep.

    `groups.csv` in the folder, if there is one, has the columns `clip` (path below the folder) and `group`.

    Raises:
        ConfigError: there is no such folder, no clip in it, the table cannot be used, or a clip has two labels.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; give a folder that holds <label>/<clip> files")
    groups = _read_groups(folder / GROUPS_FILE)
    clips = []
    for label in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(label.rglob("*")):
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
                name = path.relative_to(folder).as_posix()
                clips.append(LabeledClip(path, label.name, name if groups is None else groups.get(name, name)))
    if not clips:
        raise ConfigError(f"{folder}: holds no clip; put video files into {folder}/<label>/")
    what = "random by clip, without groups.csv" if groups is None else "groups held out"
    return LabeledClips(clips, what, groups is not None)


def read_inbox(folder: Path) -> LabeledClips:
    """List what has a label below a folder: moments of an inbox, and recordings of `edgehar-run --record`.

    A group is one camera on one day, or in one hour if there is only one such day.

    Raises:
        ConfigError: there is no such folder, nothing in it has a label, or a moment has two.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; set enabled = true under [inbox] and let edgehar-run watch")
    items = {item.base: item for item in Inbox(folder).items()}
    clips, skipped = [], {}
    for path in sorted(folder.rglob(f"*{LABEL_SUFFIX}")):
        base = path.with_name(path.name.removesuffix(LABEL_SUFFIX))
        try:
            clips.append(_labeled(base, items.get(base)))
        except ConfigError as error:
            skipped[str(path)] = str(error)
    if not clips:
        raise ConfigError(_why_nothing(folder, items, skipped))
    unlabeled = [item for item in items.values() if not item.labeled]
    ordinary = [item for item in unlabeled if item.facts.why == "random"]
    events = [item for item in unlabeled if item.facts.event is not None]
    what = "days held out"
    if len({clip.group for clip in clips}) == 1:
        clips, what = [_by_hour(clip) for clip in clips], "hours held out"
    return LabeledClips(clips, what, ordinary=ordinary, events=events, skipped=skipped)


def combined(parts: Sequence[LabeledClips]) -> LabeledClips:
    """Return the clips of several folders.

    A labeled recording is taken from the inbox if that holds the same event, because features of live frames are
    better than those of a clip.

    Raises:
        ConfigError: a clip has two labels.
    """
    kept = {item.facts.event: item for part in parts for item in part.events}
    clips = [_as_kept(clip, kept) for part in parts for clip in part.clips]
    _check_contradictions(clips)
    return LabeledClips(
        clips,
        "; ".join(dict.fromkeys(part.held_out for part in parts)),
        all(part.grouped for part in parts),
        [item for part in parts for item in part.ordinary],
        skipped={path: why for part in parts for path, why in part.skipped.items()},
    )


def _as_kept(clip: LabeledClip, kept: Mapping[str | None, Item]) -> LabeledClip:
    item = None if clip.event is None or clip.item is not None else kept.get(clip.event)
    return clip if item is None else replace(clip, item=item, path=item.clip or item.base)


def _labeled(base: Path, item: Item | None) -> LabeledClip:
    label = read_label(base)
    # Read a moment ago; someone may have withdrawn it since.
    if label is None:
        raise ConfigError(f"{base}: the label was withdrawn")
    if item is not None:
        group = f"{item.base.parent.name}/{day_of(item.facts)}"
        return LabeledClip(item.clip or item.base, label.label, group, item, event=item.facts.event)
    clip = base.with_name(f"{base.name}.mp4")
    if not clip.is_file():
        raise ConfigError(f"{base}: has a label, but the clip is gone; delete the label")
    span_s, group, event = _of_recording(base)
    return LabeledClip(clip, label.label, group or base.parent.as_posix(), span_s=span_s, event=event)


def _of_recording(base: Path) -> tuple[tuple[float, float] | None, str, str | None]:
    """Return the part of a recording that its event spans, its camera and day, and the id of the event."""
    path = base.with_name(f"{base.name}.json")
    try:
        sidecar = msgspec.json.decode(path.read_bytes(), type=Sidecar)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None, "", None
    if not sidecar.events:
        return None, "", sidecar.id
    started = sidecar.events[0]
    group = f"{sidecar.source}/{started.time[:10]}"
    if sidecar.clip is None or sidecar.clip.start_s is None:
        return None, group, sidecar.id
    end_s = next((event.end_s for event in sidecar.events if event.end_s is not None), None)
    last_s = sidecar.clip.end_s if end_s is None else end_s
    begin_s = sidecar.clip.start_s
    # The first window of an event reaches back before its start by the time of a window, about two seconds.
    span_s = (max(0.0, started.start_s - 2.0 - begin_s), (last_s or started.start_s) - begin_s)
    return span_s, group, sidecar.id


def _by_hour(clip: LabeledClip) -> LabeledClip:
    if clip.item is None:
        return clip
    facts = clip.item.facts
    return replace(clip, group=f"{clip.group}T{facts.time[11:13]}")


def _why_nothing(folder: Path, items: Mapping[Path, Item], skipped: Mapping[str, str]) -> str:
    if skipped:
        return f"{folder}: {len(skipped)} labels, but no clip can be used: {next(iter(skipped.values()))}"
    if items:
        return f"{folder}: {len(items)} moments, none has a label; label them with: edgehar label {folder}"
    return f"{folder}: holds nothing with a label; give the folder of [inbox], or of edgehar-run --record"


def _check_contradictions(clips: Sequence[LabeledClip]) -> None:
    """Raise ConfigError if the same clip, or the same event, has two labels."""
    seen: dict[str, LabeledClip] = {}
    contradictions = []
    for clip in clips:
        for key in _identities(clip):
            other = seen.setdefault(key, clip)
            if other.label != clip.label:
                contradictions.append(f"{other.path} is {other.label!r}, {clip.path} is {clip.label!r}")
    if contradictions:
        shown, more = contradictions[:_MOST_SHOWN], len(contradictions) - _MOST_SHOWN
        raise ConfigError(
            f"contradicting labels of the same clip: {'; '.join(shown)}{f' and {more} more' if more > 0 else ''}; "
            "keep one label of each"
        )


def _identities(clip: LabeledClip) -> Iterator[str]:
    if clip.event is not None:
        yield clip.event
    if clip.item is not None:
        yield clip.item.facts.sha256
        return
    with clip.path.open("rb") as file:
        yield hashlib.file_digest(file, "sha256").hexdigest()


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
