"""Times of capture made of a stream's own times, and what is told late by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.capture.freshness import Freshness
from edgehar.sources.clock import LiveClock

steps = st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 5)), min_size=1, max_size=50)


@given(steps, st.floats(-1e5, 1e5))
def test_no_frame_is_captured_after_it_arrived_nor_before_an_earlier_one(steps, stamp_s):
    clock, arrived_s, last_s = LiveClock(), 1000.0, 0.0
    for forward_s, later_s in steps:
        stamp_s, arrived_s = stamp_s + forward_s, arrived_s + later_s
        captured_s = clock.captured_s(stamp_s, arrived_s)
        assert last_s <= captured_s <= arrived_s + 1e-9
        last_s = captured_s


@pytest.mark.parametrize("drift", [-3e-4, 0, 3e-4])
def test_the_clock_of_a_camera_may_go_wrong_for_days(drift):
    clock = LiveClock()
    for second in range(0, 10 * 24 * 3600, 10):
        arrived_s = float(second) + 0.1 * (second % 3)
        assert arrived_s - clock.captured_s(second * (1 + drift), arrived_s) < 0.4


def test_frames_without_times_are_captured_as_they_arrive():
    clock = LiveClock()
    assert [clock.captured_s(None, arrived_s) for arrived_s in (5.0, 6.5)] == [5.0, 6.5]


def stale(captured_s, arrived_s, after_s=2.0):
    freshness = Freshness(after_s)
    return [freshness.is_stale(*times) for times in zip(captured_s, arrived_s, strict=True)]


MADE_S = np.arange(0, 40, 0.04)


def test_frames_in_time_are_fresh_however_long_they_are_under_way():
    assert not any(stale(MADE_S, MADE_S + 30 + 0.5 * np.sin(MADE_S)))


@pytest.mark.parametrize("speed", [1.5, 4, 100])
def test_what_piled_up_in_a_stall_is_stale_until_it_has_caught_up(speed):
    # Nothing comes from 10 s to 16 s; then everything, faster than it was made.
    arrived_s = np.where(MADE_S < 10, MADE_S, np.maximum(MADE_S, 16 + (MADE_S - 10) / speed))
    assert stale(MADE_S, arrived_s) == (arrived_s - MADE_S > 2.0).tolist()


def test_a_delay_that_has_come_to_stay_is_the_new_usual_one():
    told = stale(MADE_S, MADE_S + np.where(MADE_S < 10, 0, 6))
    assert sum(told) == pytest.approx(25, abs=2)
    assert not any(told[-600:])


def test_what_a_device_falls_ever_further_behind_with_stays_stale():
    assert all(stale(MADE_S, MADE_S * 1.2)[-600:])
