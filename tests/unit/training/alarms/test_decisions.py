"""Decisions at many thresholds."""

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.predictions import make_prediction, score_dicts

from edgehar.model.manifest import Decision
from edgehar_training.alarms import decisions
from edgehar_training.alarms.decisions import Rule, alarm_spans

LABELS = ("noFight", "fight")
RULE = Rule(LABELS, Decision(background=["noFight"]))


def answers(*fights, every_s=0.5, begin_s=0.0):
    """Predictions of a detector, one every half second, by their score of a fight."""
    return [
        make_prediction({"noFight": 1 - score, "fight": score}, begin_s + number * every_s)
        for number, score in enumerate(fights)
    ]


@given(score_dicts(), st.integers(1, 254))
def test_an_event_is_answered_exactly_from_its_threshold_on(scores, step):
    """Below 1/2 too, where the background is likelier; from there on as the device's one `threshold`."""
    rule = Rule(tuple(scores), Decision(background=["idle"]))
    threshold = step / 256
    raised = bool(alarm_spans([make_prediction(scores, 0.0)], rule.at(threshold)))
    best = max(scores["fight"], scores["hug"])
    assume(best != scores["idle"])
    if threshold < 0.5:
        assert raised == (best >= threshold)
    else:
        assert raised == (best >= threshold and best >= scores["idle"])


def test_answers_are_of_three_kinds():
    kinds = [
        decisions.kind_of_answer(decisions.answer(answers(score, score), RULE.at(0.7)), RULE)
        for score in (0.9, 0.5, 0.1)
    ]
    assert kinds == ["event", "unknown", "background"]
    assert decisions.answer(answers(0.9, 0.7), RULE.at(0.8)) == "fight"
    assert decisions.answer(answers(0.9, 0.6), RULE.at(0.8)) == "unknown"


def test_smoothing_is_the_deciders():
    scores = (0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1)
    assert alarm_spans(answers(*scores), RULE.at(0.5)) == [(0.5, 0.5), (1.5, 2.5)]
    voting = Rule(LABELS, Decision(smoothing="k-of-n", k=3, n=3, background=["noFight"]))
    assert alarm_spans(answers(*scores), voting.at(0.5)) == [(2.5, 2.5)]


def test_the_threshold_is_the_lowest_from_which_on_alarms_are_few():
    def alarms_at(threshold):
        return 0 if threshold < 0.2 else 5 if threshold < 0.6 else 2

    assert decisions.lowest_threshold(alarms_at, 2) == pytest.approx(0.6, abs=1 / 128)
    assert decisions.lowest_threshold(alarms_at, 2) >= 0.6
    assert decisions.lowest_threshold(alarms_at, 5) == 1 / 128
    assert decisions.lowest_threshold(alarms_at, 1) == 1.0


def test_alarms_are_events_of_the_labels_that_are_meant():
    scores = {"idle": 0.1, "fight": 0.2, "hug": 0.7}
    labels, decision = tuple(scores), Decision(background=["idle"])
    stream = [make_prediction(scores, 0.0), make_prediction({**scores, "fight": 0.8, "hug": 0.1}, 1.0)]
    assert alarm_spans(stream, Rule(labels, decision).at(0.5)) == [(0.0, 0.0), (1.0, 1.0)]
    assert alarm_spans(stream, Rule(labels, decision, alarms=("fight",)).at(0.5)) == [(1.0, 1.0)]
    assert Rule(labels, decision, alarms=("fight",)).positive == ["fight"]


def seen(rule, predictions):
    decider = rule.decider()
    for prediction in predictions:
        decider.update(prediction)
    return decider


def test_a_rule_may_start_from_what_was_seen_before():
    slow = Rule(LABELS, Decision(smoothing="ema", ema_seconds=2.0, background=["noFight"]))
    quiet = answers(*[0.0] * 8)
    fight = answers(0.9, 0.9, 0.9, begin_s=4.0)
    assert alarm_spans(fight, slow.at(0.5)) == [(4.0, 5.0)]
    assert alarm_spans(fight, slow.at(0.5), seen(slow.at(0.5), quiet)) == []
    # An alarm that rang before goes on, one that is over does not count.
    assert alarm_spans(fight, RULE.at(0.5), seen(RULE.at(0.5), answers(0.1, 0.9))) == [(0.5, 5.0)]
    assert alarm_spans(quiet[-1:], RULE.at(0.5), seen(RULE.at(0.5), answers(0.9))) == []


@given(score_dicts(), st.floats(0.01, 1))
def test_a_threshold_leaves_other_rules_alone(scores, threshold):
    rules = Decision(threshold=0.3, thresholds={"hug": 0.9}, background=["idle"], hysteresis=0.1)
    changed = Rule(tuple(scores), rules, alarms=("fight",)).at(threshold).decision
    assert changed.thresholds["hug"] == 0.9
    assert changed.thresholds["fight"] == threshold
    assert msgspec.structs.replace(changed, thresholds=rules.thresholds) == rules
