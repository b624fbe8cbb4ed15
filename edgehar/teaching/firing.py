"""Count the events that each threshold would have started on a camera, from its history of scores.

The rules are those of `edgehar.events`, applied to whole arrays, because a week holds a million answers. The threshold
of one label varies; those of the others stay as they are. The counts equal those of a `Decider`, except that other
actions are not held back by an event that lasts its minimum duration, and that votes (`k-of-n`) are counted for each
label on its own.

`python -m edgehar.teaching.firing` answers one `Question` on standard input, in a process of its own, because counting
takes seconds.
"""

from __future__ import annotations

import datetime
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar.events.decider import TOLERANCE_S
from edgehar.events.smoothing import LONGEST_STEP_S, evidence_of
from edgehar.model.manifest import Decision
from edgehar.records import UNKNOWN
from edgehar.teaching.score_log import day_files, read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    import numpy.typing as npt

    from edgehar.teaching.score_log import Block

    Floats = npt.NDArray[np.float64]

# The thresholds that are counted: 0, 0.01 and so on to 1.
THRESHOLDS = tuple(step / 100 for step in range(101))
DAY_S, WEEK_S = 86_400.0, 7 * 86_400.0
_CHUNK = 16_384


class Question(msgspec.Struct, frozen=True):
    """The history to count, and its rules.

    Attributes:
        folder: history of one camera.
        head: first digits of the SHA-256 of the head; answers of others are left out.
        labels: classes of the model.
        rules: rules in force.
        now_s: seconds since 1970 UTC.
    """

    folder: str
    head: str
    labels: list[str]
    rules: Decision
    now_s: float


class Fired(msgspec.Struct, frozen=True):
    """Events that each threshold would have started: the first number is for threshold 0, the last for 1.

    Attributes:
        day: in the last 24 hours, for thresholds in steps of 0.01.
        week: in the last seven days.
    """

    day: list[int]
    week: list[int]


class Firings(msgspec.Struct, frozen=True):
    """The counts of all labels that open events.

    Attributes:
        day_s: time watched in the last 24 hours, in seconds.
        week_s: time watched in the last seven days, in seconds.
        labels: the counts.
    """

    day_s: float
    week_s: float
    labels: dict[str, Fired]


@dataclass(frozen=True)
class Answers:
    """Answers of one camera in the order they were given.

    Attributes:
        times_s: wall clock, seconds since 1970, float `(answers,)`.
        clock_s: the camera's clock, seconds, float `(answers,)`.
        scores: score of each label, float `(answers, labels)`.
        begins: whether the stream was interrupted before an answer, bool `(answers,)`.
    """

    times_s: Floats
    clock_s: Floats
    scores: Floats
    begins: npt.NDArray[np.bool_]

    @property
    def steps_s(self) -> Floats:
        """Time from the answer before, in seconds; 0 for the first."""
        return np.diff(self.clock_s, prepend=self.clock_s[:1])


def answer(question: Question) -> Firings:
    """Count; OSError if a file cannot be read.

    Each day of UTC is counted separately, to save memory: an event over midnight counts twice.
    """
    since_s, day_s, week_s = question.now_s - WEEK_S, 0.0, 0.0
    background = [label for label in question.labels if label in {UNKNOWN, *question.rules.background}]
    rules = msgspec.structs.replace(question.rules, background=background)
    actions = [label for label in question.labels if label not in background]
    totals = {label: np.zeros((2, len(THRESHOLDS)), np.int64) for label in actions}
    for answers in _days(Path(question.folder), question.head, since_s):
        watched = np.where(answers.begins, 0.0, answers.steps_s)
        day_s += float(watched[answers.times_s >= question.now_s - DAY_S].sum())
        week_s += float(watched[answers.times_s >= since_s].sum())
        for label in actions:
            counts = fired(answers, question.labels, rules, label, question.now_s)
            totals[label] += (counts.day, counts.week)
    return Firings(day_s, week_s, {label: Fired(*found.tolist()) for label, found in totals.items()})


def _days(folder: Path, head: str, since_s: float) -> Iterator[Answers]:
    oldest = datetime.datetime.fromtimestamp(since_s, datetime.UTC).date() - datetime.timedelta(days=1)
    for path in day_files(folder):
        if path.stem >= oldest.isoformat():
            blocks = [block for block in read_blocks(path) if block.head == head and block.times_s[-1] >= since_s]
            if blocks:
                yield joined(blocks)


def joined(blocks: Sequence[Block]) -> Answers:
    """Put blocks together. A block that follows at once, because the one before it was full, is not an interruption."""
    clocks, begins = [], []
    now_s, ended_s = 0.0, -math.inf
    for block in blocks:
        gap_s = block.started_ms / 1e3 - ended_s
        starts = np.zeros(len(block.codes), bool)
        starts[0] = not 0.0 <= gap_s <= LONGEST_STEP_S
        now_s += gap_s if 0.0 <= gap_s < math.inf else 0.001
        clock = now_s + np.cumsum(block.steps_ms, dtype=np.int64) / 1e3
        now_s, ended_s = float(clock[-1]), float(block.times_s[-1])
        clocks.append(clock)
        begins.append(starts)
    return Answers(
        np.concatenate([block.times_s for block in blocks]),
        np.concatenate(clocks),
        np.concatenate([block.scores for block in blocks]),
        np.concatenate(begins),
    )


def fired(answers: Answers, labels: Sequence[str], rules: Decision, label: str, now_s: float) -> Fired:
    """Count the events of one label at every threshold of `THRESHOLDS`."""
    day, week = [], []
    for starts in starts_at(answers, labels, rules, label, THRESHOLDS):
        at_s = answers.times_s[starts]
        day.append(int((at_s >= now_s - DAY_S).sum()))
        week.append(int((at_s >= now_s - WEEK_S).sum()))
    return Fired(day, week)


def starts_at(
    answers: Answers, labels: Sequence[str], rules: Decision, label: str, thresholds: Sequence[float]
) -> Iterator[list[int]]:
    """Yield, for each threshold, the places of the answers at which an event of the label starts."""
    opens, keeps = _decisive(decided_scores(answers, labels, rules), labels, rules, label)
    if rules.smoothing == "k-of-n":
        opens, keeps = (_voted(scores, answers.begins, rules) for scores in (opens, keeps))
    for threshold in thresholds:
        yield _starts(answers, opens, keeps, threshold, rules)


def decided_scores(answers: Answers, labels: Sequence[str], rules: Decision) -> dict[str, Floats]:
    """Return the scores that are compared with the thresholds: less the baseline, as evidence, smoothed."""
    scores = {label: answers.scores[:, index] for index, label in enumerate(labels)}
    actions = [label for label in labels if label not in rules.background]
    if rules.baseline_share:
        scores |= {label: _array(_less_baseline(scores[label], answers, rules), answers) for label in actions}
    if rules.counts_evidence:
        found = {label: _array(_evident(scores[label], rules), answers) for label in actions}
        scores = found | _rest(found, {label: scores[label] for label in labels if label not in actions})
    if rules.smoothing == "ema":
        quiet = dict.fromkeys(actions, 0.0)
        level = 1 / max(1, len(rules.background))
        return {
            label: _array(_averaged(own, answers, rules, quiet.get(label, level)), answers)
            for label, own in scores.items()
        }
    if rules.smoothing == "cusum":
        evidence = {label: _array(_evidence(scores[label], answers, rules), answers) for label in actions}
        return evidence | _rest(evidence, {label: scores[label] for label in labels if label not in actions})
    return scores


def _array(values: Iterator[float], answers: Answers) -> Floats:
    return np.fromiter(values, np.float64, len(answers.times_s))


def _plain(values: npt.NDArray[Any]) -> Iterator[Any]:
    """Give the values as Python's own, which are fast one by one but large."""
    for begin in range(0, len(values), _CHUNK):
        yield from values[begin : begin + _CHUNK].tolist()


def _less_baseline(scores: Floats, answers: Answers, rules: Decision) -> Iterator[float]:
    mean, watched, is_first = 0.0, 0.0, True
    for score, step in zip(_plain(scores), _plain(answers.steps_s), strict=True):
        warmth = 1.0 if watched >= rules.baseline_warm_up_s else watched / rules.baseline_warm_up_s
        excess = max(0.0, mean - rules.baseline_reference)
        yield max(0.0, score - min(rules.baseline_most, rules.baseline_share * warmth * excess))
        counted = min(step, LONGEST_STEP_S)
        watched += counted
        if is_first:
            mean, is_first = score, False
        elif counted > 0:
            mean += max(-math.expm1(-counted / rules.baseline_seconds), counted / watched) * (score - mean)


def _evident(scores: Floats, rules: Decision) -> Iterator[float]:
    return (evidence_of(score, rules.evidence_from, rules.evidence_to) for score in _plain(scores))


def _averaged(scores: Floats, answers: Answers, rules: Decision, quiet: float) -> Iterator[float]:
    mean = 0.0
    shares = -np.expm1(-answers.steps_s / rules.ema_seconds)
    for score, share, begins in zip(_plain(scores), _plain(shares), _plain(answers.begins), strict=True):
        if begins:
            mean = quiet if rules.start_from == "quiet" else score
        else:
            mean += share * (score - mean)
        yield mean


def _evidence(scores: Floats, answers: Answers, rules: Decision) -> Iterator[float]:
    found = 0.0
    steps = np.minimum(answers.steps_s, LONGEST_STEP_S) / rules.cusum_seconds
    for score, step, begins in zip(_plain(scores), _plain(steps), _plain(answers.begins), strict=True):
        found = 0.0 if begins else min(1.0, max(0.0, found + (score - rules.cusum_reference) * step))
        yield found


def _rest(evidence: dict[str, Floats], background: dict[str, Floats]) -> dict[str, Floats]:
    """Return what no action has, shared by the background labels as their scores are."""
    if not background:
        return {}
    rest = 1 - np.max(list(evidence.values()), axis=0) if evidence else np.ones_like(next(iter(background.values())))
    total = np.sum(list(background.values()), axis=0)
    share = 1 / len(background)
    return {
        label: rest * np.divide(scores, total, out=np.full_like(total, share), where=total != 0)
        for label, scores in background.items()
    }


def _decisive(scores: dict[str, Floats], labels: Sequence[str], rules: Decision, label: str) -> tuple[Floats, Floats]:
    """Return the score with which the label is the answer, while no event and while its event is open; else -1."""
    own = scores[label]
    # Of equal scores the first label is the answer.
    before, after = np.full_like(own, -1.0), np.full_like(own, -1.0)
    for other in labels:
        if other != label and not (rules.counts_evidence and other in rules.background):
            sure = (scores[other] >= rules.thresholds.get(other, rules.threshold)) & (scores[other] > 0)
            best = before if labels.index(other) < labels.index(label) else after
            np.maximum(best, np.where(sure, scores[other], -1.0), out=best)

    def winning(score: Floats) -> Floats:
        return np.where((score > before) & (score >= after) & (score > 0), score, -1.0)

    return winning(own), winning(own + rules.hysteresis)


def _voted(scores: Floats, begins: npt.NDArray[np.bool_], rules: Decision) -> Floats:
    """Return the `k`th highest score of the last `n` since an interruption; -1 where there are fewer."""
    since = np.arange(len(scores)) - np.maximum.accumulate(np.where(begins, np.arange(len(scores)), 0))
    padded = np.concatenate([np.full(rules.n - 1, -1.0), scores])
    last = np.lib.stride_tricks.sliding_window_view(padded, rules.n)
    # The oldest of the `n` stands first.
    usable = np.arange(rules.n - 1, -1, -1) <= since[:, None]
    return np.asarray(np.sort(np.where(usable, last, -1.0), axis=1)[:, -rules.k])


def _starts(answers: Answers, opens: Floats, keeps: Floats, threshold: float, rules: Decision) -> list[int]:
    """Return the answers at which an event starts."""
    clock, found = answers.clock_s, []
    starts = np.flatnonzero(opens >= threshold)
    holds = keeps >= threshold
    stops, breaks = np.flatnonzero(~holds), np.flatnonzero(answers.begins)
    held = np.maximum.accumulate(np.where(holds, np.arange(len(holds)), 0))
    place = 0
    while (following := int(starts.searchsorted(place))) < len(starts):
        start = int(starts[following])
        found.append(start)
        least_s = clock[start] + rules.min_duration_s
        stop = _at(stops, max(start + 1, int(clock.searchsorted(least_s - TOLERANCE_S))), len(clock))
        cut = _at(breaks, start + 1, len(clock))
        end = min(stop, cut)
        # An interruption is noticed at the answer before it, an end at the answer that differs.
        noticed_s = clock[min(end, len(clock) - 1) if stop < cut else end - 1]
        end_s = max(clock[held[end - 1]], min(noticed_s, least_s))
        place = max(end, int(clock.searchsorted(end_s + rules.refractory_s - TOLERANCE_S)))
    return found


def _at(places: npt.NDArray[np.int64], first: int, otherwise: int) -> int:
    """Return the first of some sorted places that is not before `first`."""
    index = int(places.searchsorted(first))
    return int(places[index]) if index < len(places) else otherwise


def main() -> None:
    """Answer a question on standard input."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(answer(question)))


if __name__ == "__main__":
    main()
