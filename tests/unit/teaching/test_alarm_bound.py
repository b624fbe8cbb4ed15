"""The alarm bound: what it counts, and that it holds as often as it says."""

import numpy as np
import pytest

from edgehar.teaching.alarm_bound import BLOCK_S, block_maxima, bound_at, hours_needed, poisson_upper, recommend


def test_the_bound_of_no_event_is_three_by_the_rule_of_three():
    assert poisson_upper(0) == pytest.approx(2.9957, abs=1e-3)


def test_it_is_the_quantile_that_scipy_gives():
    stats = pytest.importorskip("scipy.stats", reason="scipy is the oracle (the train extra)")
    for count in (0, 1, 2, 5, 20, 200):
        assert poisson_upper(count) == pytest.approx(stats.chi2.ppf(0.95, 2 * count + 2) / 2, rel=1e-6)


def test_hours_are_cut_by_time_watched():
    steps = np.full(3 * 3600, 1.0)
    steps[0] = 0.0
    scores = np.zeros(len(steps))
    scores[[10, 3700, 3701]] = 0.9, 0.5, 0.6
    maxima, hours = block_maxima(steps, scores)
    assert maxima.tolist() == [0.9, 0.6, 0.0]
    assert hours == pytest.approx(3, abs=0.01)
    assert bound_at(maxima, hours, 0.6).loud == 2


def test_no_answer_is_no_hour():
    assert block_maxima(np.zeros(0), np.zeros(0))[1] == 0
    assert recommend(np.zeros(0), 0.0, 1.0) is None


def test_a_short_history_promises_nothing():
    maxima = np.full(24, 0.1)
    assert recommend(maxima, 24.0, 1 / 168) is None
    assert recommend(maxima, 24.0, 3 / 24) is not None
    assert hours_needed(1 / 168) == pytest.approx(503, abs=1)


def test_of_1000_months_the_bound_holds_in_95_of_100():
    """Each month is simulated with hours of which some are loud; scores of neighbouring hours are alike."""
    rng = np.random.default_rng(7)
    wanted, failed, given = 1 / 24, 0, 0
    for _ in range(1000):
        # An AR(1) of half a day: the hours of one day resemble each other, as on a real camera.
        noise = rng.normal(size=720)
        level = np.zeros(720)
        for hour in range(1, 720):
            level[hour] = 0.5 * level[hour - 1] + noise[hour]
        maxima = 1 / (1 + np.exp(-level))
        found = recommend(maxima, 720.0, wanted)
        if found is None:
            continue
        given += 1
        # The true rate: the level is normal with variance 1 / (1 - 0.5^2).
        logit = np.log(found.threshold / (1 - found.threshold))
        from math import erfc, sqrt

        rate = erfc(logit / sqrt(2 / (1 - 0.25))) / 2
        failed += rate > wanted
    assert given == 1000
    assert failed <= 80, "of 1000, 50 are expected, and a few more because hours are not independent"


def test_the_block_is_an_hour():
    assert BLOCK_S == 3600
