"""The time grid picks frames by capture time, at the model's rate, without repeating or inventing any."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.model.timegrid import EARLY_PERIODS, TimeGrid


def picked(times_s, rate_hz):
    grid = TimeGrid(rate_hz)
    return [t for t in times_s if grid.accepts(t)]


@pytest.mark.parametrize(
    ("camera_hz", "rate_hz", "expected"),
    [
        pytest.param(25, 12.5, [0, 2, 4, 6, 8], id="every second frame"),
        pytest.param(30, 12.5, [0, 2, 5, 7, 9], id="nearest frames when the rates do not divide"),
        pytest.param(10, 12.5, list(range(10)), id="a slower camera gives all it has"),
        pytest.param(25, 25, list(range(10)), id="equal rates"),
    ],
)
def test_picks_frames_on_the_grid(camera_hz, rate_hz, expected):
    times = [n / camera_hz for n in range(10)]
    assert picked(times, rate_hz) == [times[n] for n in expected]


def test_jitter_neither_doubles_nor_skips_frames():
    jitter = itertools.cycle([0.0, 0.009, -0.009, 0.004, -0.006])
    times = [n / 25 + next(jitter) for n in range(100)]
    assert picked(times, 25) == times


def test_a_gap_starts_the_grid_anew():
    times = [0.0, 0.08, 10.0, 10.01, 10.08]
    assert picked(times, 12.5) == [0.0, 0.08, 10.0, 10.08]


def test_the_bounds_of_early_and_late_belong_to_the_grid():
    assert picked([-1.0, -EARLY_PERIODS], 1) == [-1.0, -EARLY_PERIODS]
    # Exactly one period late: the slot that was missed is due still.
    assert picked([0.0, 2.0, 2.2], 1) == [0.0, 2.0, 2.2]


def test_reset_takes_the_next_frame_whatever_its_time():
    grid = TimeGrid(10)
    assert grid.accepts(5.0)
    grid.reset()
    assert grid.accepts(0.01)


@given(
    st.lists(st.floats(0.0, 0.5), min_size=1, max_size=200),
    st.floats(1.0, 60.0),
)
def test_spacing_and_rate_hold_for_any_stream(gaps_s, rate_hz):
    times = list(itertools.accumulate(gaps_s))
    chosen = picked(times, rate_hz)
    period = 1 / rate_hz
    assert chosen[0] == times[0]
    # The mean rate is never above the model's, but for the early tolerance once.
    assert len(chosen) <= (times[-1] - times[0]) / period + 1 + EARLY_PERIODS + 1e-6
    # No stretch longer than two periods is left out where the stream had frames.
    for a, b in itertools.pairwise(chosen):
        skipped = [t for t in times if a + 2 * period < t < b]
        assert not skipped


@given(
    st.floats(2.0, 60.0),
    st.floats(2.0, 60.0),
    st.floats(0.0, 0.1),
    st.integers(1, 5),
    st.floats(0.0, 9.0),
    st.floats(-0.2, 0.2),
)
def test_a_frame_that_will_be_accepted_is_known_before(camera_hz, rate_hz, jitter, ahead, start_s, error):
    """Whatever the rates: asked some frames ahead, no frame is given up that the grid then takes. Times of frames ahead
    are known to a share of a step."""
    step_s, shake = 1 / camera_hz, itertools.cycle([0.0, jitter, -jitter, jitter / 2])
    times = [start_s + (number + next(shake)) * step_s for number in range(200)]
    grid, given_up = TimeGrid(rate_hz), set()
    for number, at_s in enumerate(times):
        accepted = grid.accepts(at_s)
        assert not (accepted and number in given_up)
        later = number + ahead
        if later < len(times) and not grid.may_accept(times[later] + error * step_s, step_s * (1 + 2 * jitter)):
            given_up.add(later)


def test_half_the_frames_are_given_up_where_the_grid_takes_every_second():
    grid = TimeGrid(12.5)
    assert grid.may_accept(7.0, 0.04)
    assert grid.accepts(0.013)
    assert [grid.may_accept(0.013 + number / 25, 0.04) for number in range(1, 9)] == [False, True] * 4
