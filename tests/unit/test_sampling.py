"""Windows of clips: on the device's time grid, with true history, padded on the left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.timegrid import TimeGrid
from edgehar_training.preprocess import HISTORY
from edgehar_training.sampling import evaluation_stream, grid_indices, training_window, window_starts


def times(frames, rate_hz):
    return np.arange(frames) / rate_hz


def test_the_grid_is_the_device_s():
    captured_s = times(100, 29.97)
    grid = TimeGrid(12.5)
    assert grid_indices(captured_s, 12.5).tolist() == [i for i, time_s in enumerate(captured_s) if grid.accepts(time_s)]
    assert grid_indices(times(50, 25), 12.5).tolist() == list(range(0, 50, 2))


def test_another_first_frame_moves_the_grid():
    assert grid_indices(times(50, 25), 12.5, first=1).tolist() == list(range(1, 50, 2))


def test_short_clips_are_padded_on_the_left_by_their_first_frame():
    assert evaluation_stream(np.array([0, 2, 4]), 5).tolist() == [0, 0, 0, 2, 4]
    assert evaluation_stream(np.array([0, 2, 4]), 3).tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("frames", "expected"), [(20, [0]), (21, [0]), (22, [0, 2]), (25, [0, 2, 4])], ids=lambda value: str(value)
)
def test_windows_follow_the_answers_of_the_device(frames, expected):
    assert list(window_starts(frames, 20, 2)) == expected


@given(frames=st.integers(1, 120), rate_hz=st.floats(5, 60), window=st.integers(1, 40), seed=st.integers(0, 99))
def test_training_windows_are_windows_of_the_clip(frames, rate_hz, window, seed):
    captured_s = times(frames, rate_hz)
    chosen = training_window(captured_s, 12.5, window, np.random.default_rng(seed))
    assert chosen.shape == (HISTORY + window,)
    assert chosen.min() >= 0
    assert chosen.max() < frames
    steps = np.diff(chosen)
    assert (steps >= 0).all()
    # Once a clip has begun to move, no frame is shown twice.
    moving = np.flatnonzero(steps)
    assert not len(moving) or (steps[moving[0] :] > 0).all()


def test_training_windows_begin_everywhere():
    rng = np.random.default_rng(0)
    first = {int(training_window(times(60, 25), 12.5, 20, rng)[HISTORY]) for _ in range(300)}
    assert first == set(range(22))
