"""Smoothing, against plain definitions that look at the whole past."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.events.smoothing import MovingAverage, Vote


def average_of(times_s, scores, seconds):
    """The moving average by its weights: each score holds from the time before it to its own, and fades from there."""
    fade = [math.exp((time_s - times_s[-1]) / seconds) for time_s in times_s]
    weights = [fade[0]] + [now - before for before, now in itertools.pairwise(fade)]
    return sum(weight * score for weight, score in zip(weights, scores, strict=True))


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=40),
    st.floats(0.01, 100),
    st.floats(-1e6, 1e6),
)
def test_the_moving_average_is_that_of_its_weights(steps, seconds, begin_s):
    average, times_s, scores, now_s = MovingAverage(seconds), [], [], begin_s
    for pause_s, score in steps:
        now_s += pause_s
        times_s.append(now_s)
        scores.append(score)
        means = average.add({"a": score, "b": 1 - score}, now_s)
        assert means["a"] == pytest.approx(average_of(times_s, scores, seconds), abs=1e-6)
        assert sum(means.values()) == pytest.approx(1)
        assert all(-1e-9 <= mean <= 1 + 1e-9 for mean in means.values())


def test_a_step_is_followed_to_63_percent_in_the_time_constant_at_any_rate():
    for rate_hz in (1, 3, 25):
        average = MovingAverage(2.0)
        average.add({"a": 0.0}, 10.0)
        for number in range(1, 2 * rate_hz + 1):
            means = average.add({"a": 1.0}, 10.0 + number / rate_hz)
        assert means["a"] == pytest.approx(1 - math.exp(-1))


def test_the_scores_given_are_left_alone():
    average, first = MovingAverage(1.0), {"a": 0.5}
    average.add(first, 0.0)
    average.add({"a": 1.0}, 1.0)
    assert first == {"a": 0.5}


labels = st.sampled_from(["run", "walk", "jog", None])


@given(st.lists(labels, max_size=40), st.integers(1, 8), st.integers(0, 8))
def test_the_vote_is_a_count_of_the_last_n(votes, k, more):
    n = k + more
    vote = Vote(k, n)
    for number, label in enumerate(votes, start=1):
        last = votes[max(0, number - n) : number]
        counts = {known: last.count(known) for known in set(last) - {None}}
        elected = vote.add(label)
        if elected is None:
            assert all(count < k for count in counts.values())
            continue
        assert counts[elected] >= k
        assert counts[elected] == max(counts.values())
        rivals = [known for known, count in counts.items() if count == counts[elected]]
        assert elected == max(rivals, key=lambda known: number - last[::-1].index(known))
