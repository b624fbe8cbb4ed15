"""What a window says about the frames that are missing from it."""

import pytest

from edgehar.model.timegrid import TimeGrid
from edgehar.model.window_times import WindowTimes


def windows(sequences, camera_hz, model_hz=12.5, window=20):
    """Lost frames and `rate_ok` of every full window of a camera that sent the frames of these numbers."""
    times, grid = WindowTimes(window, model_hz), TimeGrid(model_hz)
    for sequence in sequences:
        times.see(sequence)
        if grid.accepts(sequence / camera_hz):
            times.add(sequence / camera_hz)
            if len(times.captured_s) == window:
                yield times.lost_within, times.rate_ok


@pytest.mark.parametrize("camera_hz", [12.0, 12.5, 12.6, 13, 14, 15, 17, 20, 24, 25, 29.97, 30, 60])
def test_a_camera_of_a_constant_rate_has_no_gaps(camera_hz):
    assert set(windows(range(2000), camera_hz)) == {(0, True)}


@pytest.mark.parametrize("camera_hz", [12.5, 13, 15])
def test_one_lost_frame_leaves_a_gap_at_the_rate_of_the_model(camera_hz):
    found = list(windows([n for n in range(200) if n != 100], camera_hz))
    told = [(lost, ok) for lost, ok in found if lost]
    # Every window in which the frame is missing says so, and no other.
    assert 15 <= len(told) <= 20
    assert {lost for lost, _ in told} == {1}
    assert all(ok for lost, ok in found if not lost)
    if camera_hz == 12.5:
        assert not any(ok for _, ok in told)


def test_a_lost_frame_of_a_fast_camera_is_told_but_leaves_no_gap():
    found = list(windows([n for n in range(400) if n != 101], 50))
    assert {(1, True), (0, True)} == set(found)


@pytest.mark.parametrize("lost", [2, 3, 5])
def test_several_lost_frames_in_a_row(lost):
    found = list(windows([n for n in range(300) if not 100 <= n < 100 + lost], 25))
    assert any(count == lost for count, _ in found)
    assert all(ok == (count == 0) for count, ok in found)


def test_a_gap_without_numbers_is_a_gap():
    """A camera that was silent, or an array source: the times alone show it."""
    times = WindowTimes(4, 10)
    for captured_s in (0.0, 0.1, 0.2, 0.45):
        times.add(captured_s)
    assert (times.lost_within, times.rate_ok) == (0, False)


def test_frames_without_numbers_of_their_own_are_not_lost():
    times = WindowTimes(4, 10)
    for number in range(10):
        times.see(0)
        times.add(number / 10)
    assert (times.lost, times.lost_within, times.rate_ok) == (0, 0, True)


def test_a_loss_before_the_window_is_not_in_it():
    times = WindowTimes(3, 10)
    for sequence in (0, 5, 6, 7):
        times.see(sequence)
        times.add(sequence / 10)
    assert (times.lost, times.lost_within, times.rate_ok) == (4, 0, True)
    times.clear()
    assert times.lost == 0
