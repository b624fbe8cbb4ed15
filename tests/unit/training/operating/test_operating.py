"""Operating points: Poisson intervals, temperatures, thresholds and latencies of constructed scores."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.predictions import make_prediction, score_dicts

from edgehar.errors import ConfigError
from edgehar.events.decider import DecisionOptions
from edgehar_training.data.frames_cache import SmallClip
from edgehar_training.operating import decisions, poisson, temperature
from edgehar_training.operating.decisions import Rule
from edgehar_training.operating.points import MISSED, OPEN_BEFORE, alarms, latency
from edgehar_training.operating.streams import Splice, Stream, joined, part_of
from edgehar_training.scoring import measures

PLAIN = DecisionOptions()
LABELS = ("noFight", "fight")
RULE = Rule(LABELS, frozenset({"noFight"}), PLAIN)


def answers(*fights, every_s=0.5):
    """Predictions of a detector, one every half second, by their score of a fight."""
    return [
        make_prediction({"noFight": 1 - score, "fight": score}, number * every_s) for number, score in enumerate(fights)
    ]


# Garwood, 1936, and every table since.
@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        *((0, 0.0, 3.6889), (1, 0.0253, 5.5716), (2, 0.2422, 7.2247), (5, 1.6235, 11.6683)),
        *((10, 4.7954, 18.3904), (50, 37.1110, 65.9188), (100, 81.3640, 121.6272)),
    ],
)
def test_the_poisson_interval_is_that_of_the_tables(count, low, high):
    assert poisson.poisson_interval(count) == pytest.approx((low, high), abs=6e-4)


def test_the_ends_of_the_poisson_interval_leave_their_tails():
    low, high = poisson.poisson_interval(7, confidence=0.9)

    def at_most(count, mean):
        return sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(count + 1))

    assert at_most(7, high) == pytest.approx(0.05, abs=1e-9)
    assert 1 - at_most(6, low) == pytest.approx(0.05, abs=1e-9)


def test_more_seeds_are_no_more_hours():
    one, three = poisson.rate(2, 0.5), poisson.rate(6, 1.5, seeds=3)
    assert one.per_hour == three.per_hour == 4
    assert one.interval_95 == pytest.approx(three.interval_95)
    low, high = poisson.rate(1, 1.0, seeds=2).interval_95
    assert low < 1 < high
    assert poisson.rate(0, 1.0, seeds=2).interval_95[1] < high < poisson.rate(2, 1.0, seeds=2).interval_95[1]


def sharp_scores(rng, clips, factor):
    """Windows whose true class follows softmax(logits), with the scores of `factor` times as large logits."""
    logits = rng.normal(size=(clips, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(3, p=chance) for chance in chances])
    raised = np.exp(factor * logits)
    return raised / raised.sum(axis=1, keepdims=True), truth


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_what_was_too_sure(factor):
    scores, truth = sharp_scores(np.random.default_rng(0), 4000, factor)
    found = temperature.fit_temperature(list(scores[:, None]), truth)
    assert found == pytest.approx(factor, rel=0.1)
    after = temperature.at_temperature(scores, found)
    assert measures.calibration_error(truth, after) < 0.03
    assert (after.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert temperature.is_found(found)


def test_a_temperature_that_is_not_there_is_said_to_be_none():
    right, wrong = np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]])
    assert not temperature.is_found(temperature.fit_temperature([right] * 5, np.zeros(5, int)))
    assert not temperature.is_found(temperature.fit_temperature([wrong] * 5, np.zeros(5, int)))


def test_a_long_clip_counts_as_a_short_one():
    right, wrong = np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]])
    short = temperature.fit_temperature([right, right, right, wrong], np.zeros(4, int))
    long = temperature.fit_temperature([right, right, right, wrong.repeat(50, axis=0)], np.zeros(4, int))
    # Of a share of 3/4 the best score is 3/4: log(9) / T = log(3).
    assert short == pytest.approx(2.0, rel=1e-3)
    assert long == pytest.approx(short, rel=1e-6)


def test_a_score_of_none_has_a_logit():
    after = temperature.at_temperature(np.array([[0.0, 1.0], [0.25, 0.75]]), 2.0)
    assert after[0] == pytest.approx([math.sqrt(1 / 512) / (1 + math.sqrt(1 / 512)), 1 / (1 + math.sqrt(1 / 512))])
    assert after[1, 1] / after[1, 0] == pytest.approx(math.sqrt(3))


def test_few_perfect_scores_show_an_error_too():
    few, many = (temperature.error_of_perfect(np.random.default_rng(0).uniform(0.5, 1, n)) for n in (30, 3000))
    assert few > 0.1 > 0.03 > many


@given(score_dicts(), st.integers(1, 254))
def test_an_event_is_answered_exactly_from_its_threshold_on(scores, step):
    """Below 1/2 too, where the background is likelier; from there on as the device's one `threshold`."""
    rule = Rule(tuple(scores), frozenset({"idle"}), PLAIN)
    threshold = step / 256
    raised = bool(decisions.decide([make_prediction(scores, 0.0)], rule, threshold).spans)
    best = max(scores["fight"], scores["hug"])
    assume(best != scores["idle"])
    if threshold < 0.5:
        assert raised == (best >= threshold)
    else:
        assert raised == (best >= threshold and best >= scores["idle"])


def test_answers_are_of_three_kinds():
    kinds = [
        decisions.kind_of_answer(decisions.answer(answers(score, score), RULE, 0.7), RULE) for score in (0.9, 0.5, 0.1)
    ]
    assert kinds == ["event", "unknown", "background"]
    assert decisions.answer(answers(0.9, 0.7), RULE, 0.8) == "fight"
    assert decisions.answer(answers(0.9, 0.6), RULE, 0.8) == "unknown"


def test_smoothing_is_the_deciders():
    scores = (0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1)
    assert decisions.decide(answers(*scores), RULE, 0.5).spans == [(0.5, 0.5), (1.5, 2.5)]
    voting = Rule(LABELS, RULE.background, decisions.decision_options(["smoothing=k-of-n", "k=3", "n=3"]))
    assert decisions.decide(answers(*scores), voting, 0.5).spans == [(2.5, 2.5)]


def test_the_threshold_is_the_lowest_from_which_on_alarms_are_few():
    def alarms_at(threshold):
        return 0 if threshold < 0.2 else 5 if threshold < 0.6 else 2

    assert decisions.lowest_threshold(alarms_at, 2) == pytest.approx(0.6, abs=1 / 128)
    assert decisions.lowest_threshold(alarms_at, 2) >= 0.6
    assert decisions.lowest_threshold(alarms_at, 5) == 1 / 128
    assert decisions.lowest_threshold(alarms_at, 1) == 1.0


def test_false_alarms_are_counted_over_the_time_with_answers():
    stream = Stream(answers(0.1, 0.9, 0.9, 0.1, 0.9, 0.1), 0.5)
    assert stream.hours * 3600 == pytest.approx(3.0)
    count, share = alarms(stream, RULE, 0.5)
    assert (count, share) == (2, pytest.approx(0.5 / 3))
    assert alarms(stream, RULE, 1.0) == (0, 0.0)
    assert Stream([], 0.5).hours == 0


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.1, 0.1, 0.1, 0.9, 0.1, 0.1), 0.5),
        ((0.1, 0.1, 0.9, 0.1, 0.1, 0.1), 0.0),
        ((0.1, 0.9, 0.9, 0.9, 0.1, 0.1), OPEN_BEFORE),
        ((0.9, 0.1, 0.1, 0.9, 0.1, 0.1), 0.5),
        ((0.1, 0.1, 0.1, 0.1, 0.1, 0.9), MISSED),
        ((0.1, 0.1, 0.1, 0.1, 0.1, 0.1), MISSED),
    ],
)
def test_the_latency_is_from_the_splice_to_the_event(scores, expected):
    assert latency(Splice(answers(*scores), begin_s=1.0, end_s=2.0), RULE, 0.5) == expected


def clip(level, times_s):
    return SmallClip(np.full((len(times_s), 2, 2, 3), level, np.uint8), np.array(times_s, float))


def test_clips_are_joined_in_time_and_parted():
    whole, begins = joined([clip(1, [5.0, 5.1, 5.3]), clip(2, [0.0]), clip(3, [0.2, 0.3])], 0.1)
    assert begins == pytest.approx([0, 0.4, 0.5])
    assert whole.times_s == pytest.approx([0, 0.1, 0.3, 0.4, 0.5, 0.6])
    assert whole.frames[:, 0, 0, 0].tolist() == [1, 1, 1, 2, 3, 3]
    assert part_of(whole, first_s=0.35).times_s == pytest.approx([0, 0.1, 0.3])
    assert part_of(whole, last_s=0.25).times_s == pytest.approx([0.4, 0.5, 0.6])
    assert len(part_of(whole, first_s=0.0).times_s) == len(part_of(whole, last_s=0.0).times_s) == 1


def test_options_of_the_decision_are_named_and_checked():
    assert decisions.decision_options([]) == decisions.DEFAULT
    given_options = decisions.decision_options(["smoothing=k-of-n", "k=2", "n=4", "hysteresis=0.1"])
    assert (given_options.smoothing, given_options.k, given_options.n) == ("k-of-n", 2, 4)
    assert decisions.describe(given_options) == "smoothing=k-of-n k=2 n=4 hysteresis=0.1"
    for pair, words in (
        ("threshold=0.5", "--thresholds"),
        ("smoothing", "KEY=VALUE"),
        ("smothing=ema", "did you mean smoothing"),
        ("hysteresis=2", "hysteresis"),
        ("k=9", "k is 9"),
    ):
        with pytest.raises(ConfigError, match=words):
            decisions.decision_options([pair])
