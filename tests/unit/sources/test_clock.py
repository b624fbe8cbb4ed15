"""Times of capture made of a stream's own times, and what is told late by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.capture.freshness import Freshness
from edgehar.sources.clock import FileClock, LiveClock, StampChoice

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


def arrivals(rate_hz, seconds, jitter_s=0.0, burst=1, seed=0):
    """Arrival times of a camera that sends frames in bursts, on a network that delays each a little."""
    made_s = np.arange(0, seconds, 1 / rate_hz)
    sent_s = made_s[np.minimum(np.arange(len(made_s)) // burst * burst + burst - 1, len(made_s) - 1)]
    delay_s = np.random.default_rng(seed).exponential(jitter_s, len(made_s)) if jitter_s else 0.0
    return 100.0 + np.maximum.accumulate(sent_s + delay_s)


def run(clock, stamps_s, arrived_s, waited=True):
    return np.array([clock.captured_s(s, a, waited=waited) for s, a in zip(stamps_s, arrived_s, strict=True)])


@pytest.mark.parametrize(
    ("real_hz", "stamp_hz"), [(10, 25), (21, 25), (5, 25), (2, 25), (25, 10), (25, 21), (12, 12.7)]
)
@pytest.mark.parametrize("jitter_s", [0.0, 0.02])
def test_stamps_at_a_wrong_pace_are_found_out_and_arrival_counts(real_hz, stamp_hz, jitter_s):
    clock, arrived_s = LiveClock(), arrivals(real_hz, 60, jitter_s)
    captured_s = run(clock, np.arange(len(arrived_s)) / stamp_hz, arrived_s)
    assert clock.fault is not None
    assert f"{float(clock.fault.split()[5]):.1f}" == f"{real_hz / stamp_hz:.1f}"
    lag_s = arrived_s - captured_s
    assert lag_s[-1] == 0
    # Found out within some seconds, so that few frames would be dropped as stale.
    assert arrived_s[np.flatnonzero(lag_s > 1e-9)].max(initial=0) - arrived_s[0] < (6 if stamp_hz > real_hz else 14)


@pytest.mark.parametrize(("jitter_s", "burst"), [(0.0, 1), (0.05, 1), (0.0, 3), (0.02, 10), (0.0, 150)])
@pytest.mark.parametrize("drift", [-3e-4, 3e-4])
def test_right_stamps_are_believed_whatever_the_network_does(jitter_s, burst, drift):
    clock, arrived_s = LiveClock(), arrivals(25, 600, jitter_s, burst)
    captured_s = run(clock, np.arange(len(arrived_s)) / 25 * (1 + drift), arrived_s)
    assert clock.fault is None
    assert np.abs(np.diff(captured_s[150:]) - 0.04).max() < 0.03


def test_a_stall_and_its_backlog_are_no_fault_of_the_stamps():
    made_s = np.arange(0, 120, 0.04)
    for speed in (1.3, 2, 100):
        arrived_s = np.where(made_s < 30, made_s, np.maximum(made_s, 36 + (made_s - 30) / speed))
        clock = LiveClock()
        captured_s = run(clock, made_s, 100 + arrived_s)
        assert clock.fault is None
        assert np.abs(captured_s - 100 - made_s).max() < 1.5


@pytest.mark.parametrize("error", [0.002, 0.01, 0.03])
def test_stamps_a_little_too_slow_are_followed(error):
    clock, arrived_s = LiveClock(), arrivals(25, 1200, 0.01)
    captured_s = run(clock, np.arange(len(arrived_s)) / 25 * (1 - error), arrived_s)
    assert clock.fault is None
    assert (arrived_s - captured_s).max() < 0.6


@pytest.mark.parametrize(
    "stamps", [lambda n: 0 * n, lambda n: -n / 25, lambda n: n % 5 / 25, lambda n: n / 25 + 9.0 * (n % 10 == 9)]
)
def test_stamps_that_stand_still_or_step_back_are_not_used(stamps):
    clock, arrived_s = LiveClock(), arrivals(25, 20)
    captured_s = run(clock, stamps(np.arange(len(arrived_s))), arrived_s)
    assert clock.fault == "its time stamps stand still or jump back"
    assert np.abs(arrived_s - captured_s).max() < 0.01 + 1e-9


@pytest.mark.parametrize("step_s", [-3600.0, -5.0, -0.5, -0.05, 0.3, 7.0, 1e5])
def test_one_step_of_the_stamps_costs_nothing(step_s):
    clock, arrived_s = LiveClock(), arrivals(25, 60)
    number = np.arange(len(arrived_s))
    captured_s = run(clock, number / 25 + step_s * (number >= 500), arrived_s)
    assert clock.fault is None
    assert np.abs(arrived_s - captured_s).max() < 0.06


def test_a_reader_too_slow_for_its_stream_does_not_blame_the_stamps():
    clock, made_s = LiveClock(), np.arange(0, 30, 0.04)
    captured_s = run(clock, made_s, 100 + made_s * 1.3, waited=False)
    assert clock.fault is None
    assert 100 + made_s[-1] * 1.3 - captured_s[-1] > 8


def test_a_stream_known_to_have_no_times_uses_arrival_from_the_first_frame():
    clock = LiveClock(fault="it has no time stamps")
    assert [clock.captured_s(stamp_s, arrived_s) for stamp_s, arrived_s in ((0, 5.0), (0.04, 5.1), (0.08, 5.2))] == [
        5.0,
        5.1,
        5.2,
    ]


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


def file_times(stamps_s, period_s=0.04):
    clock = FileClock(period_s)
    return [(clock.captured_s(stamp_s, 0.0), clock.cut) for stamp_s in stamps_s]


@pytest.mark.parametrize("jump_s", [-3600.0, -2.0, 30.0, 1e6])
def test_joined_recordings_are_cut_where_their_times_jump(jump_s):
    stamps_s = np.arange(100) * 0.04 + jump_s * (np.arange(100) >= 50)
    times = file_times(stamps_s)
    assert [captured_s for captured_s, _ in times] == pytest.approx(np.arange(100) * 0.04)
    assert [number for number, (_, cut) in enumerate(times) if cut] == [50]


@pytest.mark.parametrize(("jump_s", "period_s"), [(-0.5, 0.04), (0.5, 0.04), (9.0, 0.04), (60.0, 1.0)])
def test_gaps_of_one_recording_stay(jump_s, period_s):
    stamps_s = np.arange(100) * period_s + jump_s * (np.arange(100) >= 50)
    times = file_times(stamps_s, period_s)
    assert not any(cut for _, cut in times)
    assert [captured_s for captured_s, _ in times] == pytest.approx(np.maximum.accumulate(stamps_s))


def test_presentation_times_out_of_order_give_way_to_decode_times():
    """As FFmpeg reads CAVS and some H.264 in MPEG program streams: every third frame has the time of an earlier one."""
    stamps = StampChoice()
    pairs = [(0, 0), (1, 1), (2, 2), (0, 3), (4, 4), (5, 5), (3, 6), (7, 7)]
    assert [stamps.of(*pair) for pair in pairs] == list(range(8))


def test_presentation_times_in_order_are_used_whatever_the_decode_times():
    stamps = StampChoice()
    assert [stamps.of(*pair) for pair in [(2, 0), (3, 0), (4, 1), (5, None), (None, 7)]] == [2, 3, 4, 5, 7]
    # A restart is not a fault of one of them alone.
    stamps = StampChoice()
    assert [stamps.of(n % 4, n % 4) for n in range(8)] == [0, 1, 2, 3] * 2
