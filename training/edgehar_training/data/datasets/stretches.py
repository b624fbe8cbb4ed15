"""Clips of a video whose annotation says from which frame to which something happens."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgehar_training.data.datasets.clip import Clip

# A shorter stretch than this holds no window worth learning from.
SHORTEST_S = 1.0


def spans_of(flags: Iterable[bool], rate_hz: float) -> list[tuple[float, float]]:
    """Return start and end in seconds of every run of true flags, one flag for each frame."""
    spans: list[tuple[float, float]] = []
    begin = None
    frame = -1
    for frame, flag in enumerate(flags):
        if flag and begin is None:
            begin = frame
        elif not flag and begin is not None:
            spans.append((begin / rate_hz, frame / rate_hz))
            begin = None
    if begin is not None:
        spans.append((begin / rate_hz, (frame + 1) / rate_hz))
    return spans


def length_s(path: Path) -> float | None:
    """Return the length of a video in seconds by its header. Returns None if that does not say, or cannot be read."""
    import av

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if stream.duration is not None and stream.time_base is not None:
                return float(stream.duration * stream.time_base)
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError, IndexError):
        return None


def stretches(
    whole: Clip, spans: Sequence[tuple[float, float]], other: str, video_s: float | None = None
) -> list[Clip]:
    """Return the clips of a video: its spans, and the stretches between them.

    Args:
        whole: the video as one clip, with the label of the spans.
        spans: start and end in seconds, in any order. They may overlap, as those of several persons do.
        other: label of the rest.
        video_s: length of the video in seconds. Without it, what follows the last span is left out.
    """
    if not spans:
        return [dataclasses.replace(whole, label=other)]
    clips = []
    now_s = 0.0
    for start_s, end_s in _merged(spans):
        clips += [
            dataclasses.replace(whole, label=label, start_s=low_s, end_s=high_s)
            for label, low_s, high_s in ((other, now_s, start_s), (whole.label, start_s, end_s))
            if high_s - low_s >= SHORTEST_S
        ]
        now_s = end_s
    if video_s is not None and video_s - now_s >= SHORTEST_S:
        clips.append(dataclasses.replace(whole, label=other, start_s=now_s))
    return clips


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((start_s, end_s))
    return merged
