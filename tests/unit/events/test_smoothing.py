"""Smoothing, against plain definitions that look at the whole past."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.events.smoothing import LONGEST_STEP_S, CameraBaseline, Cusum, MovingAverage, Vote, evidence_of, score_of


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


steps = st.lists(st.tuples(st.floats(0, LONGEST_STEP_S), st.floats(0, 1)), min_size=1, max_size=40)


def times_of(pauses_s, begin_s):
    return [begin_s + total for total in itertools.accumulate(pauses_s)]


@given(steps, st.floats(0.01, 100))
def test_an_average_that_starts_quiet_is_one_with_a_score_of_quiet_before_it(steps, seconds):
    """The first score of the stream has no time of its own: it is as if quiet lasted until then."""
    average = MovingAverage(seconds, {"a": 0.0, "idle": 1.0})
    warmed = MovingAverage(seconds)
    times_s = times_of([pause_s for pause_s, _ in steps], 0.0)
    warmed.add({"a": 0.0, "idle": 1.0}, times_s[0])
    for number, (now_s, (_, score)) in enumerate(zip(times_s, steps, strict=True)):
        means = average.add({"a": score, "idle": 1 - score}, now_s)
        expected = {"a": 0.0, "idle": 1.0} if number == 0 else warmed.add({"a": score, "idle": 1 - score}, now_s)
        assert means == pytest.approx(expected)


@given(steps, st.floats(0, 1), st.floats(0.01, 100))
def test_evidence_is_the_largest_sum_of_a_past_that_ends_now(steps, reference, seconds):
    """Page, 1954: S(t) is the maximum over all beginnings of the sum since then; 1 is not reached here."""
    cusum, gains, now_s = Cusum(reference, 1000 * seconds), [], 0.0
    for number, (pause_s, score) in enumerate(steps):
        now_s += pause_s
        gains.append((score - reference) * pause_s / (1000 * seconds) if number else 0.0)
        largest = max(sum(gains[begin:]) for begin in range(len(gains) + 1))
        assert cusum.add({"a": score}, now_s)["a"] == pytest.approx(min(1.0, largest), abs=1e-6)


@given(steps, st.floats(0, 1), st.floats(0.01, 10), st.floats(0, 1))
def test_evidence_is_a_share_and_grows_with_the_scores(steps, reference, seconds, more):
    low, high, now_s = Cusum(reference, seconds), Cusum(reference, seconds), 5.0
    for pause_s, score in steps:
        now_s += pause_s
        less, greater = low.add({"a": score}, now_s)["a"], high.add({"a": min(1.0, score + more)}, now_s)["a"]
        assert 0 <= less <= greater <= 1


def test_evidence_of_a_full_score_fills_in_its_time_at_any_rate_and_one_score_counts_for_two_seconds():
    for rate_hz in (1, 4, 20):
        cusum = Cusum(0.5, 2.0)
        found = [cusum.add({"a": 1.0}, number / rate_hz)["a"] for number in range(4 * rate_hz + 1)]
        assert found[0] == 0
        assert found[2 * rate_hz] == pytest.approx(0.5)
        assert found[-1] == pytest.approx(1.0)
    late = Cusum(0.5, 10.0)
    late.add({"a": 1.0}, 0.0)
    assert late.add({"a": 1.0}, 3600.0)["a"] == pytest.approx(0.5 * LONGEST_STEP_S / 10)


@given(steps, st.floats(0, 1), st.floats(1, 100), st.floats(0, 1), st.floats(0, 1), st.floats(0, 60))
def test_a_baseline_takes_no_more_than_it_may(steps, share, seconds, reference, most, warm_up_s):
    baseline = CameraBaseline(share, seconds, reference=reference, most=most, warm_up_s=warm_up_s)
    now_s, highest, watched_s = 0.0, 0.0, 0.0
    for number, (pause_s, score) in enumerate(steps):
        now_s += pause_s
        relative = baseline.subtract({"a": score}, now_s)["a"]
        assert 0 <= relative <= score
        # At the time of a score, the pause before it is not watched yet.
        warmth = min(1.0, watched_s / warm_up_s) if warm_up_s else 1.0
        limit = min(most, share * warmth * max(0.0, highest - reference))
        assert score - relative <= limit + 1e-9
        watched_s += pause_s if number else 0.0
        highest = max(highest, score)


def test_a_scene_that_always_scores_alike_loses_its_share_and_a_new_one_keeps_its_score():
    baseline = CameraBaseline(0.5, 60.0, reference=0.1, most=0.3, warm_up_s=30.0)
    steady = [baseline.subtract({"a": 0.5, "b": 0.05}, second) for second in range(200)]
    assert steady[0] == {"a": 0.5, "b": 0.05}
    assert steady[16]["a"] == pytest.approx(0.5 - 0.5 * 0.4 * 15 / 30)
    assert steady[-1] == pytest.approx({"a": 0.5 - 0.5 * 0.4, "b": 0.05})
    sudden = baseline.subtract({"a": 0.95, "b": 0.9}, 200)
    assert sudden == pytest.approx({"a": 0.75, "b": 0.9})
    loud = CameraBaseline(1.0, 60.0, reference=0.0, most=0.3, warm_up_s=0.0)
    assert [loud.subtract({"a": 0.9}, second)["a"] for second in range(3)] == pytest.approx([0.9, 0.6, 0.6])


def test_a_baseline_is_the_plain_mean_until_its_time_constant():
    baseline = CameraBaseline(1.0, 1000.0, reference=0.0, most=1.0, warm_up_s=0.0)
    for second, score in enumerate((0.7, 0.2, 0.4, 0.0)):
        baseline.subtract({"a": score}, second)
    # The score at 0 s has no time; the others hold one second each.
    assert 1.0 - baseline.subtract({"a": 1.0}, 4)["a"] == pytest.approx((0.2 + 0.4 + 0.0) / 3)


def test_an_hour_without_video_counts_for_two_seconds():
    baseline = CameraBaseline(1.0, 60.0, reference=0.0, most=1.0, warm_up_s=30.0)
    baseline.subtract({"a": 1.0}, 0.0)
    baseline.subtract({"a": 1.0}, 3600.0)
    assert 1.0 - baseline.subtract({"a": 1.0}, 7200.0)["a"] == pytest.approx(LONGEST_STEP_S / 30)


def test_the_baseline_follows_a_step_to_63_percent_in_its_time_constant():
    baseline = CameraBaseline(1.0, 1.0, reference=0.0, most=1.0, warm_up_s=0.0)
    for time_s in range(100):
        baseline.subtract({"a": 0.0}, time_s)
    baseline.subtract({"a": 1.0}, 100)
    assert baseline.subtract({"a": 1.0}, 101)["a"] == pytest.approx(math.exp(-1))


@given(st.floats(0.01, 0.98), st.floats(0.001, 0.5), st.floats(0, 1))
def test_evidence_is_the_share_of_the_way_in_log_odds(low, step, score):
    high = min(0.999, low + step)
    way = [math.log(one / (1 - one)) for one in (low, min(high, max(low, score)), high)]
    assert evidence_of(score, low, high) == pytest.approx((way[1] - way[0]) / (way[2] - way[0]))
    assert evidence_of(low, low, high) == 0.0
    if low < score < high:
        assert score_of(evidence_of(score, low, high), low, high) == pytest.approx(score)
    assert evidence_of(high, low, high) == 1.0
