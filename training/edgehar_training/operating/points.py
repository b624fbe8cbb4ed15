"""Figures of a threshold on test clips, pooled over folds and seeds."""

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
    from edgehar_training.operating.streams import AnswerStream, Splice

# Results for a clip between background clips if no event starts in time.
OPEN_BEFORE, MISSED = "open before", "missed"


def alarms(stream: AnswerStream, rule: Rule, threshold: float) -> tuple[int, float]:
    """Return the false alarms of a stream of background, and the share of its time in alarm."""
    spans = decisions.alarm_spans(stream.predictions, rule.at(threshold))
    seconds = sum(end_s - start_s for start_s, end_s in spans)
    return sum(map(alarms_of, spans)), min(1.0, seconds / max(stream.hours * 3600, 1e-9))


def chosen_threshold(run: RunAnswers, rule: Rule, most_per_hour: float) -> float:
    """Return the lowest threshold with at most so many false alarms on a run's validation clips of background."""
    hours = max(run.val_background.hours, 1e-9)
    return decisions.lowest_threshold(
        lambda threshold: alarms(run.val_background, rule, threshold)[0] / hours, most_per_hour
    )


def latency(splice: Splice, rule: Rule, threshold: float) -> float | str:
    """Return the seconds from the first frame of the clip until an event starts, or `OPEN_BEFORE` or `MISSED`.

    An event that starts after the last window with a frame of the clip does not count.
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
    """Return all figures at one threshold, or at one threshold for each run.

    Args:
        runs: folds and seeds.
        threshold_of: the threshold of a run.
        seeds: number of seeds.

    Returns:
        False alarms and the share of time in alarm; the shares of clips of events that raise an event, alone and
        between background clips, with intervals over groups; latencies; and the results for clips of other actions.
    """
    return {
        **_false_alarms(runs, rule, threshold_of, seeds),
        **_found(runs, rule, threshold_of),
        "unknown": _unknown(runs, rule, threshold_of),
    }


def _false_alarms(
    runs: Sequence[RunAnswers], rule: Rule, threshold_of: Callable[[RunAnswers], float], seeds: int
) -> dict[str, Any]:
    count, hours, ringing_hours = 0, 0.0, 0.0
    for run in runs:
        stream = run.test_background
        own, share = alarms(stream, rule, threshold_of(run))
        count, hours, ringing_hours = count + own, hours + stream.hours, ringing_hours + share * stream.hours
    rate = poisson.rate(count, max(hours, 1e-9), seeds)
    return {
        "false_alarms": {
            "events": rate.events, "hours": rate.hours, "per_hour": rate.per_hour, "interval_95": rate.interval_95,
        },
        "share_of_time": ringing_hours / max(hours, 1e-9),
    }  # fmt: skip


def _found(runs: Sequence[RunAnswers], rule: Rule, threshold_of: Callable[[RunAnswers], float]) -> dict[str, Any]:
    alone: list[float] = []
    within: list[float | str] = []
    groups: list[str] = []
    for run in runs:
        threshold = threshold_of(run)
        for clip in run.test:
            if clip.splice is not None:
                alone.append(float(bool(decisions.alarm_spans(clip.predictions, rule.at(threshold)))))
                within.append(latency(clip.splice, rule, threshold))
                groups.append(clip.group)
    delays = [delay for delay in within if not isinstance(delay, str)]
    return {
        "alone": _share(alone, groups),
        "within": _share([float(not isinstance(delay, str)) for delay in within], groups),
        "open_before": within.count(OPEN_BEFORE) / len(within),
        "missed": within.count(MISSED) / len(within),
        "latency_s": _latencies(delays),
    }


def latencies(runs: Sequence[RunAnswers], rule: Rule, threshold_of: Callable[[RunAnswers], float]) -> list[float]:
    """Return the latency of every detected clip of an event, pooled, in seconds."""
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
