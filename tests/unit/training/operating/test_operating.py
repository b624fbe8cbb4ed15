"""Operating points: Poisson intervals, temperatures, thresholds and latencies of constructed scores."""

import math

import numpy as np
import pytest
from support.predictions import make_prediction

from edgehar.model.manifest import Decision
from edgehar_training.alarms.decisions import Rule
from edgehar_training.data.frames_cache import SmallClip
from edgehar_training.operating import temperature
from edgehar_training.operating.points import MISSED, OPEN_BEFORE, alarms, latency
from edgehar_training.operating.streams import AnswerStream, Splice, joined, part_of
from edgehar_training.scoring import measures

LABELS = ("noFight", "fight")
RULE = Rule(LABELS, Decision(background=["noFight"]))


def answers(*fights, every_s=0.5):
    """Predictions of a detector, one every half second, by their score of a fight."""
    return [
        make_prediction({"noFight": 1 - score, "fight": score}, number * every_s) for number, score in enumerate(fights)
    ]


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


def test_false_alarms_are_counted_over_the_time_with_answers():
    stream = AnswerStream(answers(0.1, 0.9, 0.9, 0.1, 0.9, 0.1), 0.5)
    assert stream.hours * 3600 == pytest.approx(3.0)
    count, share = alarms(stream, RULE, 0.5)
    assert (count, share) == (2, pytest.approx(0.5 / 3))
    assert alarms(stream, RULE, 1.0) == (0, 0.0)
    assert AnswerStream([], 0.5).hours == 0


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
