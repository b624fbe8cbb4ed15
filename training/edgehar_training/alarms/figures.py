"""Figures of judged recordings: alarms per hour, share of incidents found, delay, and the same for each camera."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.events.poisson import rate
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar_training.alarms.counting import Find
    from edgehar_training.alarms.decisions import Rule
    from edgehar_training.alarms.judging import Judged, Viewing

# So many of the loudest false alarms and of the best hidden misses are listed.
LISTED = 20


def point(judged: Sequence[Judged], seeds: int = 1) -> dict[str, Any]:
    """Return the figures of one threshold.

    Args:
        judged: every recording, once for each seed.
        seeds: how many networks watched each recording.

    Returns:
        `false_alarms` of ordinary recordings, `outside_incidents` of the others, `found` with delays, and
        `found_from_quiet`; None for what there is nothing to measure on.
    """
    ordinary = [one for one in judged if one.viewing.recording.ordinary]
    others = [one for one in judged if not one.viewing.recording.ordinary]
    with_incidents = [one for one in judged if one.tally.finds]
    long = [one for one in with_incidents if one.from_quiet is not None]
    return {
        "false_alarms": _false_alarms(ordinary, seeds),
        "outside_incidents": _false_alarms(others, seeds),
        "found": _found([(one, one.tally.finds) for one in with_incidents]),
        "found_from_quiet": _found([(one, one.from_quiet or []) for one in long]),
    }


def per_camera(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return minutes, false alarms and finds of each camera, the one with most false alarms first."""
    rows = [{"camera": camera, **row} for camera, row in _by(judged, "camera")]
    return sorted(rows, key=lambda row: (-row["false_alarms"], -(row["per_hour"] or 0.0), row["camera"]))


def per_folder(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the same for each folder that was given, in order."""
    return [{"folder": folder, **row} for folder, row in _by(judged, "folder")]


def _by(judged: Sequence[Judged], attribute: str) -> list[tuple[str, dict[str, Any]]]:
    """Count recordings, alarms and finds of recordings that share an attribute."""
    parts: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        parts[getattr(one.viewing.recording, attribute)].append(one)
    rows = []
    for name, own in parts.items():
        seconds, alarms = sum(one.tally.seconds for one in own), sum(one.tally.false_alarms for one in own)
        finds = [find for one in own for find in one.tally.finds]
        row = {
            "recordings": len({one.viewing.recording.path for one in own}),
            "with_false_alarms": len({one.viewing.recording.path for one in own if one.tally.false_alarms}),
            "minutes": seconds / 60,
            "false_alarms": alarms,
            "per_hour": 3600 * alarms / seconds if seconds else None,
            "incidents": len(finds),
            "found": sum(find.found for find in finds),
        }
        rows.append((name, row))
    return rows


def per_recording(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the alarms of every recording, each with its start and end in seconds, and its finds."""
    return [
        {
            "recording": one.viewing.recording.name,
            "camera": one.viewing.recording.camera,
            "run": one.viewing.run,
            "ordinary": one.viewing.recording.ordinary,
            "ordinary_s": one.tally.seconds,
            "false_alarms": one.tally.false_alarms,
            "alarms": one.spans,
            "incidents": [
                {"start_s": incident.start_s, "end_s": incident.end_s, "found": find.found, "delay_s": find.delay_s}
                for incident, find in zip(one.viewing.incidents, one.tally.finds, strict=True)
            ],
        }
        for one in judged
    ]


def loudest(judged: Sequence[Judged], rule: Rule) -> list[dict[str, Any]]:
    """Return the false alarms of ordinary recordings with the highest scores, the highest first."""
    rows = []
    for one in judged:
        if one.viewing.recording.ordinary:
            rows += [_row(one.viewing, rule, start_s, end_s) for start_s, end_s in one.spans]
    return sorted(rows, key=lambda row: -row["score"])[:LISTED]


def missed(judged: Sequence[Judged], rule: Rule) -> list[dict[str, Any]]:
    """Return the incidents that were not found, those with the lowest scores first."""
    rows = []
    for one in judged:
        for incident, find in zip(one.viewing.incidents, one.tally.finds, strict=True):
            if not find.found:
                rows.append(_row(one.viewing, rule, incident.start_s, incident.end_s))
    return sorted(rows, key=lambda row: row["score"])[:LISTED]


def envelope(rows: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points of a curve that never falls: at each threshold, the most at it or at any higher one.

    One long alarm may split into several as the threshold rises, so that the points themselves may fold back.

    Args:
        rows: alarms per hour and share found, by rising threshold.
    """
    points, rate_so_far, share_so_far = [], 0.0, 0.0
    for per_hour, share in reversed(rows):
        rate_so_far, share_so_far = max(rate_so_far, per_hour), max(share_so_far, share)
        points.append((rate_so_far, share_so_far))
    return points


def _false_alarms(judged: Sequence[Judged], seeds: int) -> dict[str, Any] | None:
    judged = [one for one in judged if one.tally.seconds > 0]
    seconds = sum(one.tally.seconds for one in judged)
    if not seconds:
        return None
    found = rate(sum(one.tally.false_alarms for one in judged), seconds / 3600, seeds)
    cameras = [one.viewing.recording.camera for one in judged]
    alarms, hours = [one.tally.false_alarms for one in judged], [one.tally.seconds / 3600 for one in judged]
    return {
        "alarms": found.events,
        "hours": found.hours,
        "per_hour": found.per_hour,
        "interval_95": found.interval_95,
        "interval_95_by_camera": group_bootstrap(alarms, cameras, sizes=hours),
        "share_of_time": sum(one.tally.ringing_s for one in judged) / seconds,
        "recordings": len({one.viewing.recording.path for one in judged}),
        "cameras": len(set(cameras)),
    }


def _found(judged: Sequence[tuple[Judged, Sequence[Find]]]) -> dict[str, Any] | None:
    rows = [(find, one.viewing.recording.camera) for one, finds in judged for find in finds]
    if not rows:
        return None
    delays = [find.delay_s for find, _ in rows if find.delay_s is not None]
    hits = [float(find.found) for find, _ in rows]
    return {
        "incidents": len(rows),
        "found": int(sum(hits)),
        "share": float(np.mean(hits)),
        "interval_95": group_bootstrap(hits, [camera for _, camera in rows]),
        "rang_before": sum(find.found and find.delay_s is None for find, _ in rows),
        "delay_s": {
            "median": float(np.median(delays)) if delays else None,
            "p90": float(np.percentile(delays, 90)) if delays else None,
        },
        "cameras": len({camera for _, camera in rows}),
    }


def _row(viewing: Viewing, rule: Rule, start_s: float, end_s: float) -> dict[str, Any]:
    recording = viewing.recording
    return {
        "recording": recording.name,
        "camera": recording.camera,
        "run": viewing.run,
        "start_s": start_s,
        "end_s": end_s,
        "score": _peak(viewing, rule, start_s, end_s),
    }


def _peak(viewing: Viewing, rule: Rule, start_s: float, end_s: float) -> float:
    """The highest score of an alarm's label in a stretch, without smoothing."""
    columns = [rule.labels.index(label) for label in rule.positive]
    inside = (viewing.watched.end_s >= start_s - 1e-6) & (viewing.watched.end_s <= end_s + 1e-6)
    scores = viewing.watched.scores[inside][:, columns]
    return float(scores.max()) if scores.size else 0.0
