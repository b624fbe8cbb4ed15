"""What is worth a label: near a threshold, unlike what was seen, or by chance."""

import random

import numpy as np
import pytest

from edgehar.teaching.interest import Chance, Novelty, Rate, is_unsure


@pytest.mark.parametrize(
    ("score", "threshold", "unsure"), [(0.75, 0.8, True), (0.85, 0.8, True), (0.95, 0.8, False), (0.6, 0.8, False)]
)
def test_near_the_threshold_is_unsure(score, threshold, unsure):
    assert is_unsure({"fight": score, "none": 1 - score}, {"fight": threshold}) is unsure


def test_without_a_threshold_two_close_answers_are_unsure():
    assert is_unsure({"a": 0.45, "b": 0.4, "c": 0.15}, {"a": 0.0, "b": 0.0, "c": 0.0})
    assert not is_unsure({"a": 0.7, "b": 0.2, "c": 0.1}, {"a": 0.0, "b": 0.0, "c": 0.0})


def test_a_scene_that_was_never_seen_is_unusual():
    rng = np.random.default_rng(0)
    novelty = Novelty(usual_answers=300)

    def window(middle):
        return np.clip(rng.normal(middle, 4, (20, 64)), -128, 127).astype(np.int8)

    usual = [novelty.is_unusual(window(-90)) for _ in range(600)]
    assert not any(usual[:300])
    assert sum(usual) <= 1
    assert novelty.is_unusual(window(40))


def test_a_constant_scene_is_not_unusual():
    novelty = Novelty(usual_answers=30)
    still = np.full((20, 8), -100, np.int8)
    assert not any(novelty.is_unusual(still) for _ in range(200))


def test_a_rate_is_kept_and_starts_again_with_the_source():
    rate = Rate(60)
    assert [now_s for now_s in range(0, 300, 10) if rate.allows(now_s)] == [0, 60, 120, 180, 240]
    assert rate.allows(0)
    assert not any(Rate(0).allows(now_s) for now_s in range(10))


def test_chance_is_a_fair_sample_of_time():
    chance = Chance(60, random.Random(1))
    picked = sum(chance.picks(0.4) for _ in range(9000 * 50))
    # 50 hours at 60 an hour: 3,000 with a standard deviation of 55.
    assert 2800 < picked < 3200
    assert not any(Chance(0).picks(1e9) for _ in range(10))
