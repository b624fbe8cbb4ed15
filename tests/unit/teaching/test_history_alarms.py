"""Alarms counted in a history: those that the decider would have opened, with an interval that holds."""

from math import erfc, sqrt

import numpy as np
import pytest

from edgehar.model.manifest import Decision
from edgehar.teaching.firing import Answers
from edgehar.teaching.history_alarms import alarms_at, dispersion, interval

RULES = Decision(hysteresis=0.1, refractory_s=30.0, min_duration_s=2.0, background=["idle"])


def answers_of(scores, step_s=0.4):
    clock, begins = step_s * np.arange(len(scores)), np.zeros(len(scores), bool)
    begins[0] = True
    return Answers(clock, clock, np.stack([scores, 1 - scores], axis=1), begins)


def test_alarms_are_counted_by_hours_watched():
    scores = np.zeros(3 * 9000)
    for start in (10, 5000, 9010, 20000):
        scores[start : start + 50] = 0.8
    low, high = alarms_at(answers_of(scores), ["fight", "idle"], RULES, "fight", [0.7, 0.9])
    assert (low.alarms, high.alarms) == (4, 0)
    assert low.per_day == pytest.approx(4 * 24 / 3, rel=1e-3)
    assert low.interval_95[0] < low.per_day < low.interval_95[1]
    assert high.interval_95 == (0.0, pytest.approx(3.689 * 24 / 3, rel=1e-2))


def test_nothing_watched_gives_no_table():
    assert alarms_at(answers_of(np.ones(1)), ["fight", "idle"], RULES, "fight", [0.5]) == []


def simulated(rng, thresholds, neighbours, day, months, hours=720):
    """Alarms of each hour of each month at each threshold: one or more in an hour whose level reaches it."""
    level = rng.normal(size=(months, hours))
    level[:, 1:] *= np.sqrt(1 - neighbours**2)
    for hour in range(1, hours):
        level[:, hour] += neighbours * level[:, hour - 1]
    shared = np.repeat(rng.normal(size=(months, hours // 24)), 24, axis=1)
    level = np.sqrt(1 - day) * level + np.sqrt(day) * shared
    alarms = 1 + rng.poisson(0.5, (months, 1, hours))
    return (level[:, None] >= np.array(thresholds)[:, None]) * alarms


@pytest.mark.parametrize(("neighbours", "day"), [(0.0, 0.0), (0.5, 0.0), (0.8, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_of_200_months_few_have_a_true_rate_outside_the_interval(neighbours, day):
    rng, thresholds, outside = np.random.default_rng(5), (1.0, 1.7, 2.2, 2.7), np.zeros(4)
    true = [720 * 1.5 * erfc(threshold / sqrt(2)) / 2 for threshold in thresholds]
    for counts in simulated(rng, thresholds, neighbours, day, months=200):
        spread = dispersion(counts)
        for number, row in enumerate(counts):
            low, high = interval(int(row.sum()), spread)
            outside[number] += not low <= true[number] <= high
    # 10 are expected at a true coverage of 95 %; more than 16 have a chance of 2.7 %.
    assert outside.max() <= 16
