"""Labeled moments and recordings of devices as a data set: copies of the clips, and a table with spans and groups."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, DatasetError
from edgehar.files import whole_file
from edgehar.teaching.clips import combined, read_inbox
from edgehar.teaching.labels import ORDINARY
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.manifest import write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgehar.teaching.clips import LabeledClip

TABLE = "clips.csv"


@dataclass(frozen=True)
class Imported:
    """What an import wrote.

    Attributes:
        clips: clips of the table.
        without_clip: labeled moments of which only features were kept.
        twice: moments that several inboxes hold.
        skipped: labels that could not be used, with why.
    """

    clips: list[Clip]
    without_clip: int
    twice: int
    skipped: Mapping[str, str]


def import_inboxes(
    inboxes: Mapping[str, Path],
    out: Path,
    *,
    ordinary: str = ORDINARY,
    on_clip: Callable[[], None] = lambda: None,
) -> Imported:
    """Copy the labeled clips of several devices into one folder, and write the table `clips.csv`.

    A group is a device, a camera and a day. The table is written last, so that it never names a clip that is not there.

    Args:
        inboxes: folders by the name of their device.
        out: the new folder; it must be missing or empty.
        ordinary: the class that "nothing to report" becomes.
        on_clip: called after each clip.

    Raises:
        ConfigError: an inbox cannot be used, or a clip has two labels.
        DatasetError: the folder is not empty, or no label has a clip.
    """
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out}: is not empty; give a new folder")
    parts = {device: read_inbox(folder) for device, folder in inboxes.items()}
    everything = combined(list(parts.values()))
    clips, seen, without_clip, twice = [], set(), 0, 0
    for device, part in parts.items():
        for clip in part.clips:
            source = clip.path if clip.item is None else clip.item.clip
            if source is None:
                without_clip += 1
            elif (identity := _identity(clip)) in seen:
                twice += 1
            else:
                seen.add(identity)
                clips.append(_copied(clip, source, device, out, ordinary))
            on_clip()
    if not clips:
        raise DatasetError(
            f"{', '.join(map(str, inboxes.values()))}: {without_clip} labeled moments, none with a clip; set "
            'keep = "clips" under [inbox]'
        )
    with whole_file(out / TABLE) as temporary, temporary.open("w", encoding="utf-8", newline="") as table:
        write_csv(clips, table)
    return Imported(clips, without_clip, twice, everything.skipped)


def device_folders(arguments: Sequence[str]) -> dict[str, Path]:
    """Return folders by device from arguments `NAME=DIR` or `DIR`; the name is then that of the folder.

    Raises:
        ConfigError: two have the same name.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        name, _, folder = argument.rpartition("=")
        path = Path(folder)
        name = name or path.resolve().name
        if name in found:
            raise ConfigError(f"two inboxes are named {name!r}; give each device a name: NAME=DIR")
        found[name] = path
    return found


def _copied(clip: LabeledClip, source: Path, device: str, out: Path, ordinary: str) -> Clip:
    label = ordinary if clip.label == ORDINARY else clip.label
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{device}-{source.parent.name}-{source.name}").strip("-")
    folder = out / re.sub(r"[^\w.-]+", "-", label)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)
    span_s = clip.span_s
    if clip.item is not None:
        facts = clip.item.facts
        span_s = (facts.clip_offset_s, facts.clip_offset_s + facts.end_s - facts.start_s)
    begin_s, end_s = (None, None) if span_s is None else span_s
    return Clip(target.relative_to(out).as_posix(), label, f"{device}/{clip.group}", begin_s, end_s)


def _identity(clip: LabeledClip) -> str:
    return str(clip.path) if clip.item is None else clip.item.facts.sha256
