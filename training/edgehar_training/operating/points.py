"""What a threshold gives on test clips, pooled over folds and seeds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.events import poisson
from edgehar_training.alarms import decisions
from edgehar_training.alarms.counting import alarms_of
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgehar_training.alarms.decisions import Rule
    from edgehar_training.operating.answers import ClipAnswers, RunAnswers
    from edgehar_training.operating.streams import Splice, Stream

# How a clip within background came out, where no event began in time.
OPEN_BEFORE, MISSED = "open before", "missed"


def alarms(stream: Stream, rule: Rule, threshold: float) -> tuple[int, float]:
    """False alarms of a stream of background, and the share of its time that is in one."""
    spans = decisions.alarm_spans(stream.predictions, rule.at(threshold))
    seconds = sum(end_s - start_s for start_s, end_s in spans)
    return sum(map(alarms_of, spans)), min(1.0, seconds / max(stream.hours * 3600, 1e-9))


def chosen_threshold(run: RunAnswers, rule: Rule, most_per_hour: float) -> float:
    """The lowest threshold at which a run's validation clips of background give so few false alarms."""
    hours = max(run.val_background.hours, 1e-9)
    return decisions.lowest_threshold(
        lambda threshold: alarms(run.val_background, rule, threshold)[0] / hours, most_per_hour
    )


def latency(splice: Splice, rule: Rule, threshold: float) -> float | str:
    """Seconds from the first frame of the clip until an event begins, or `OPEN_BEFORE` or `MISSED`.

    An event that begins after the last window with a frame of the clip is none of the clip's.
    """
    for start_s, end_s in decisions.alarm_spans(splice.predictions, rule.at(threshold)):
        if splice.begin_s <= start_s <= splice.end_s + 1e-6:
            return start_s - splice.begin_s
        if start_s < splice.begin_s <= end_s:
            return OPEN_BEFORE
    return MISSED


def point(
    runs: Sequence[RunAnswers], rule: Rule, threshold_of: Callable[[RunAnswers], float], seeds: int
) -> dict[str, Any]:
    """All figures at one threshold, or at one of each run's own.

    Args:
        runs: folds and seeds.
        rule: how is decided.
        threshold_of: the threshold of a run.
        seeds: how many seeds there are.

    Returns:
        False alarms, share of time in one, shares of clips of events that raise one alone and within background with
        intervals by groups, latencies, and what unknown clips come to.
    """
    events, hours, quiet_s = 0, 0.0, 0.0
    alone: list[tuple[float, str]] = []
    within: list[tuple[float | str, str]] = []
    for run in runs:
        threshold, stream = threshold_of(run), run.test_background
        count, share = alarms(stream, rule, threshold)
        events, hours, quiet_s = events + count, hours + stream.hours, quiet_s + share * stream.hours
        for clip in run.test:
            if clip.splice is not None:
                raised = decisions.alarm_spans(clip.predictions, rule.at(threshold))
                alone.append((float(bool(raised)), clip.group))
                within.append((latency(clip.splice, rule, threshold), clip.group))
    delays = [delay for delay, _ in within if not isinstance(delay, str)]
    ends = Counter(delay for delay, _ in within if isinstance(delay, str))
    rate = poisson.rate(events, max(hours, 1e-9), seeds)
    return {
        "false_alarms": {
            "events": rate.events, "hours": rate.hours, "per_hour": rate.per_hour, "interval_95": rate.interval_95,
        },
        "share_of_time": quiet_s / max(hours, 1e-9),
        "alone": _share([raised for raised, _ in alone], [group for _, group in alone]),
        "within": _share([float(not isinstance(delay, str)) for delay, _ in within], [group for _, group in within]),
        "open_before": ends[OPEN_BEFORE] / len(within),
        "missed": ends[MISSED] / len(within),
        "latency_s": _latencies(delays),
        "unknown": _unknown(runs, rule, threshold_of),
    }  # fmt: skip


def latencies(runs: Sequence[RunAnswers], rule: Rule, threshold_of: Callable[[RunAnswers], float]) -> list[float]:
    """The latency of every clip of an event that is detected, pooled, in seconds."""
    found = [
        latency(clip.splice, rule, threshold_of(run)) for run in runs for clip in run.test if clip.splice is not None
    ]
    return [delay for delay in found if not isinstance(delay, str)]


def _share(values: Sequence[float], groups: Sequence[str]) -> dict[str, Any]:
    return {"share": float(np.mean(values)), "rows": len(values), "interval_95": group_bootstrap(values, groups)}


def _latencies(delays: Sequence[float]) -> dict[str, Any]:
    if not delays:
        return {"median": None, "p90": None}
    return {"median": float(np.median(delays)), "p90": float(np.percentile(delays, 90))}


def _unknown(
    runs: Sequence[RunAnswers], rule: Rule, threshold_of: Callable[[RunAnswers], float]
) -> dict[str, Any] | None:
    rows: list[tuple[float, str, str]] = []
    for run in runs:
        threshold = threshold_of(run)
        rows += [_one_unknown(clip, rule, threshold) for clip in run.unknown]
    if not rows:
        return None
    kinds = Counter(kind for _, kind, _ in rows)
    return {
        "events": _share([raised for raised, _, _ in rows], [group for *_, group in rows]),
        "answers": {kind: kinds[kind] / len(rows) for kind in ("event", "background", "unknown")},
    }


def _one_unknown(clip: ClipAnswers, rule: Rule, threshold: float) -> tuple[float, str, str]:
    raised = float(bool(decisions.alarm_spans(clip.predictions, rule.at(threshold))))
    kind = decisions.kind_of_answer(decisions.answer(clip.predictions, rule.at(threshold)), rule)
    return raised, kind, clip.group
