"""Alarms counted in a history: those that the decider would have opened, with an interval that holds."""

from math import erfc, sqrt

import numpy as np
import pytest

from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.manifest import Decision
from edgehar.records import Prediction, TimingMs, Window
from edgehar.teaching.history import Series
from edgehar.teaching.history_alarms import alarms_at, dispersion, hourly_alarms, interval

RULES = Decision(hysteresis=0.1, refractory_s=30.0, min_duration_s=2.0, background=["idle"])


def series_of(scores, step_s=0.4):
    steps = np.full(len(scores), step_s)
    steps[0] = 0.0
    return Series(steps, np.cumsum(steps), np.stack([scores, 1 - scores], axis=1))


def events_of_the_decider(scores, threshold, step_s=0.4):
    decider = Decider(["fight", "idle"], DecisionOptions(thresholds={"fight": threshold, "idle": 1.0}), RULES)
    starts = 0
    for number, score in enumerate(scores.tolist()):
        window = Window(4, 0.0, number * step_s)
        asked = {"fight": score, "idle": 1 - score}
        prediction = Prediction(0, "", "", "m", "fight", 0.0, asked, window, 0.0, TimingMs(0, 0, 0), 0, True)
        starts += sum(event.phase == "start" for event in decider.update(prediction)[1])
    return starts


@pytest.mark.parametrize("threshold", [0.5, 0.65, 0.8])
def test_they_are_the_events_that_a_run_opens(threshold):
    rng = np.random.default_rng(3)
    noise = np.convolve(rng.normal(size=6000), np.ones(12) / 12, mode="same")
    scores = np.clip(0.5 + noise, 0.01, 0.99)
    found = int(hourly_alarms(series_of(scores), 0, threshold, RULES).sum())
    assert found == events_of_the_decider(scores, threshold) > 0


def test_a_gap_ends_an_event():
    series = series_of(np.full(1000, 0.9))
    assert hourly_alarms(series, 0, 0.8, RULES).sum() == 1
    series.steps_s[500] = 0.0
    # The refractory time is of watched time.
    assert hourly_alarms(series, 0, 0.8, RULES).sum() == 2


def test_nothing_watched_gives_no_table():
    assert alarms_at(Series(np.zeros(0), np.zeros(0), np.zeros((0, 2))), 0, [0.5], RULES) == []


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
