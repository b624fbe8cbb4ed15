"""The contact sheet of a data set: some clips of every class, to see whether the labels are right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgehar import open_source
from edgehar.errors import SourceError
from edgehar.pictures import as_bgr
from edgehar_training.data.contact_sheets import SheetRow, fitted, missing, write_sheet
from edgehar_training.data.datasets.clip import labels_of
from edgehar_training.data.datasets.probe import in_threads, length_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from edgehar_training.data.datasets.clip import Clip
    from edgehar_training.data.datasets.probe import Probe

WIDTH, HEIGHT = 160, 120
PER_CLASS = 6
# The frame at this time represents a clip of unknown length.
_LATEST_S = 1.0


def write_contact_sheet(
    path: Path,
    clips: Sequence[Clip],
    probes: dict[str, Probe],
    *,
    title: str,
    workers: int = 1,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Write a PNG with a row for each class: the middle frames of a few clips, from as many groups as possible.

    Args:
        path: the file.
        clips: the clips.
        probes: the probe of each of their videos, by its path.
        title: the words at the top.
        workers: number of videos read at the same time.
        progress: called after each clip.

    Raises:
        OSError: the file cannot be written.
    """
    chosen = _chosen(clips)
    everything = [clip for some in chosen.values() for clip in some]
    tiles = dict(
        zip(
            everything,
            in_threads(lambda clip: _tile(clip, length_s(clip, probes[clip.path])), everything, workers, progress),
            strict=True,
        )
    )
    rows = []
    for label, some in chosen.items():
        count = sum(clip.label == label for clip in clips)
        captions = [f"{clip.group}: {Path(clip.path).name}" for clip in some]
        rows.append(SheetRow(f"{label} ({count} clips)", [tiles[clip] for clip in some], captions))
    write_sheet(path, title, rows, width=WIDTH, height=HEIGHT)


def shown_count(clips: Sequence[Clip]) -> int:
    """Return the number of clips on a contact sheet."""
    return sum(map(len, _chosen(clips).values()))


def _chosen(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    return {label: shown_clips([clip for clip in clips if clip.label == label]) for label in labels_of(list(clips))}


def shown_clips(clips: Sequence[Clip], count: int = PER_CLASS) -> list[Clip]:
    """Return some clips of a class, evenly spread over their order, from different groups if possible."""
    first_of_group = list({clip.group: clip for clip in reversed(clips)}.values())[::-1]
    known = set(first_of_group)
    pool = first_of_group if len(first_of_group) >= count else [*first_of_group, *(c for c in clips if c not in known)]
    if len(first_of_group) < count:
        return pool[:count]
    return [pool[round(n * (len(pool) - 1) / max(1, count - 1))] for n in range(count)]


def _tile(clip: Clip, length_s: float) -> npt.NDArray[np.uint8]:
    """Return the frame in the middle of a clip, as a tile."""
    wanted_s = (clip.start_s or 0.0) + (length_s / 2 or _LATEST_S)
    try:
        with open_source(clip.path) as source:
            first_s = shown = None
            for frame in source:
                first_s = frame.captured_s if first_s is None else first_s
                shown = frame
                if frame.captured_s - first_s >= wanted_s:
                    break
            if shown is None:
                return missing("no frame", WIDTH, HEIGHT)
            return fitted(as_bgr(shown), WIDTH, HEIGHT)
    except (SourceError, OSError, ValueError):
        return missing("cannot be read", WIDTH, HEIGHT)
