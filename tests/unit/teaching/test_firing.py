"""Counting at other thresholds gives what a decider with that threshold starts."""

import numpy as np
import pytest

from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.manifest import Decision
from edgehar.records import Prediction, TimingMs, Window
from edgehar.teaching.firing import DAY_S, THRESHOLDS, Question, answer, fired, joined
from edgehar.teaching.score_log import Block, day_file

LABELS = ("fight", "calm")
SCALE, ZERO = 1 / 256, -128
NOW_S = 1_796_000_000.0


def block(scores, started_s, *, step_ms=200, head="ab" * 4, labels=LABELS):
    """Answers every `step_ms`; scores of the first label, the others share the rest."""
    first = np.clip(np.rint(np.asarray(scores) * 255), 0, 255)
    rest = np.floor((255 - first) / (len(labels) - 1))
    codes = np.stack([first, *[rest] * (len(labels) - 1)], axis=1) + ZERO
    steps = np.full(len(first), step_ms, np.uint16)
    steps[0] = 0
    return Block("tiny", head, labels, SCALE, ZERO, round(started_s * 1e3), steps, codes.astype(np.int8))


def wandering(rng, count):
    """Scores that stay up and down for a while, as those of a camera do."""
    return np.clip(0.5 + np.convolve(rng.normal(0, 0.6, count + 20), np.ones(12) / 12, "same")[:count] * 1.5, 0, 1)


def day(rng):
    """Blocks that follow at once, and two interruptions."""
    blocks, at_s = [], NOW_S - 40_000
    for gap_s in (0.0, 0.2, 0.2, 30.0, 0.2, 5.0):
        at_s += gap_s
        blocks.append(block(wandering(rng, 256), at_s))
        at_s += 255 * 0.2
    return blocks


def decided(answers, rules, threshold, labels=LABELS):
    """How many events of the first label a real decider starts."""
    options = DecisionOptions(thresholds={labels[0]: threshold})
    decider = Decider(labels, options, rules)
    count = 0
    for time_s, scores, begins in zip(answers.clock_s, answers.scores, answers.begins, strict=True):
        if begins:
            decider.finish()
        by_label = dict(zip(labels, scores.tolist(), strict=True))
        one = Prediction(
            seq=0, time="", source="hall", model="tiny", label=labels[0], score=0.0, scores=by_label,
            window=Window(4, float(time_s), float(time_s)), frame_age_ms=0.0, timing_ms=TimingMs(0, 0, 0), dropped=0,
            rate_ok=True,
        )  # fmt: skip
        count += sum(event.phase == "start" and event.label == labels[0] for event in decider.update(one)[1])
    return count


RULES = {
    "plain": {},
    "durations": {"hysteresis": 0.1, "min_duration_s": 2.0, "refractory_s": 10.0},
    "average": {"smoothing": "ema", "ema_seconds": 1.5, "hysteresis": 0.05, "refractory_s": 3.0},
    "average from quiet": {"smoothing": "ema", "ema_seconds": 1.0, "start_from": "quiet"},
    "sum": {"smoothing": "cusum", "cusum_reference": 0.4, "cusum_seconds": 1.0, "min_duration_s": 1.0},
    "log-odds": {"evidence_from": 0.4, "evidence_to": 0.9, "smoothing": "ema", "ema_seconds": 2.0},
    "log-odds, held": {"evidence_from": 0.4, "evidence_to": 0.7, "hysteresis": 0.2, "refractory_s": 5.0},
    "baseline": {"baseline_share": 0.6, "baseline_seconds": 20.0, "baseline_warm_up_s": 10.0, "refractory_s": 1.0},
    "votes": {"smoothing": "k-of-n", "k": 3, "n": 5},
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("calm", [0.0, 0.6])
def test_counts_are_those_of_a_decider(name, calm):
    rules = Decision(threshold=0.5, thresholds={"calm": calm}, background=["calm"], **RULES[name])
    answers = joined(day(np.random.default_rng(7)))
    counts = fired(answers, LABELS, rules, "fight", NOW_S).week
    for step in (0, 45, 60, 75, 90):
        assert counts[step] == decided(answers, rules, THRESHOLDS[step]), THRESHOLDS[step]
    assert max(counts) > 2


def test_another_action_competes():
    labels = ("fight", "push", "calm")
    rules = Decision(threshold=0.3, background=["calm"])
    blocks = [block(one.scores[:, 0], one.started_ms / 1e3, labels=labels) for one in day(np.random.default_rng(3))]
    answers = joined(blocks)
    counts = fired(answers, labels, rules, "fight", NOW_S).week
    assert [counts[step] for step in (10, 40, 70)] == [decided(answers, rules, s, labels) for s in (0.1, 0.4, 0.7)]


def test_a_question_reads_the_last_week_of_one_head(tmp_path):
    alarms = [0.1] * 20 + [0.9] * 20 + [0.1] * 20
    written = (
        block(alarms, NOW_S - 8 * DAY_S),
        block(alarms, NOW_S - 3 * DAY_S),
        block(alarms, NOW_S - 3600),
        block(alarms, NOW_S - 1800, head="cd" * 4),
    )
    for one in written:
        with day_file(tmp_path, one.started_ms).open("ab") as file:
            file.write(one.encode())
    rules = Decision(threshold=0.5, background=["calm"])
    found = answer(Question(str(tmp_path), "ab" * 4, list(LABELS), rules, NOW_S))
    assert list(found.labels) == ["fight"]
    counts = found.labels["fight"]
    assert [(counts.day[step], counts.week[step]) for step in (50, 80, 95)] == [(1, 2), (1, 2), (0, 0)]
    assert (round(found.day_s, 1), round(found.week_s, 1)) == (11.8, 23.6)


def test_no_history_is_no_event(tmp_path):
    found = answer(Question(str(tmp_path / "none"), "ab" * 4, list(LABELS), Decision(background=["calm"]), NOW_S))
    assert (found.week_s, set(found.labels["fight"].week)) == (0.0, {0})
