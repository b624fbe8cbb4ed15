"""Decisions: unknown under the threshold, one event for each run of a label, none for background."""

import itertools
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.decision import UNKNOWN, Decider
from edgehar.results import Prediction, TimingMs, Window, utc_now


def predictions(pairs):
    for n, (label, score) in enumerate(pairs):
        yield Prediction(
            seq=n, time=utc_now(), source="test", model="m", label=label, score=score, scores={label: score},
            window=Window(20, n * 0.1, n * 0.1 + 1.6), frame_age_ms=1.0, timing_ms=TimingMs(0, 0, 0), dropped=0,
            rate_ok=True,
        ).with_raw(np.zeros(2, np.int8))  # fmt: skip


def decide(pairs, threshold=0.5, background=("idle",)):
    decider = Decider(threshold, background)
    labels, events = [], []
    for prediction in predictions(pairs):
        decided, new = decider.update(prediction)
        labels.append(decided.label)
        events += new
    return labels, events + decider.finish()


def test_a_score_under_the_threshold_is_unknown_and_keeps_its_scores():
    decided, events = Decider(0.5).update(next(predictions([("fight", 0.4)])))
    assert decided.label == UNKNOWN
    assert decided.scores == {"fight": 0.4}
    assert decided.raw.shape == (2,)
    assert events == []


def test_one_event_spans_a_run_and_keeps_its_peak():
    _, events = decide([("idle", 0.9), ("fight", 0.6), ("fight", 0.9), ("fight", 0.7), ("idle", 0.9)])
    start, end = events
    assert (start.phase, end.phase) == ("start", "end")
    assert start.id == end.id
    assert uuid.UUID(start.id).version == 7
    assert start.end_s is None
    assert (start.start_s, end.end_s) == pytest.approx((1.7, 1.9))
    assert end.peak_score == 0.9


def test_an_event_open_at_the_end_is_ended():
    _, events = decide([("fight", 0.6)])
    assert [event.phase for event in events] == ["start", "end"]


def test_one_action_after_another_ends_the_first_before_it_starts_the_second():
    _, events = decide([("run", 0.9), ("walk", 0.9)])
    assert [(event.phase, event.label) for event in events] == [
        ("start", "run"), ("end", "run"), ("start", "walk"), ("end", "walk"),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["idle", "fight", "hug"]), st.floats(0, 1))), st.floats(0, 1))
def test_starts_and_ends_pair_up_in_order(pairs, threshold):
    labels, events = decide(pairs, threshold)
    runs = [label for label, _ in itertools.groupby(labels) if label not in ("idle", UNKNOWN)]
    assert [(event.phase, event.label) for event in events] == [
        (phase, label) for label in runs for phase in ("start", "end")
    ]
    assert len({event.id for event in events}) == len(runs)
