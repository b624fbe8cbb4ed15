"""Windows of clips: on the device's time grid with true history, spread over the clip, or where it moves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.model.timegrid import TimeGrid
from edgehar_training.data.preprocess import HISTORY
from edgehar_training.data.sampling import (
    earlier_frames,
    evaluation_indices,
    evaluation_stream,
    grid_indices,
    key_indices,
    motion_energy,
    training_indices,
    training_window,
    window_starts,
)
from edgehar_training.settings import NetworkSettings


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


def settings(sampling, window=20, rate_hz=12.5):
    return NetworkSettings(sampling=sampling, window=window, rate_hz=rate_hz)


SPREAD = ["uniform", "segments"]
ALL = ["consecutive", *SPREAD, "key-frames"]
clips = {
    "frames": st.integers(1, 120), "rate_hz": st.floats(5, 60), "window": st.integers(1, 40), "seed": st.integers(0, 99)
}  # fmt: skip


@pytest.mark.parametrize("sampling", ALL)
@given(**clips)
def test_every_strategy_takes_frames_of_the_clip_in_order(sampling, frames, rate_hz, window, seed):
    rng = np.random.default_rng(seed)
    times_s, energy, network = times(frames, rate_hz), rng.random(frames), settings(sampling, window)
    training = training_indices(times_s, network, rng, speed=rng.uniform(0.5, 1.5), energy=energy)
    evaluated = evaluation_indices(times_s, network, energy)
    assert training.shape == (HISTORY + window,)
    assert len(evaluated) >= window if sampling == "consecutive" else len(evaluated) == window
    for chosen in (training, evaluated):
        assert chosen.min() >= 0
        assert chosen.max() < frames
        assert (np.diff(chosen) >= 0).all()
    if sampling != "consecutive":
        assert (training[:HISTORY] == training[HISTORY]).all()
    assert np.array_equal(evaluation_indices(times_s, network, energy), evaluated)


@pytest.mark.parametrize("sampling", SPREAD)
@given(frames=st.integers(20, 200), rate_hz=st.floats(5, 60), seed=st.integers(0, 99))
def test_spread_frames_come_one_from_each_part(sampling, frames, rate_hz, seed):
    network = settings(sampling)
    edges = np.arange(21) * frames / 20
    for chosen in (
        evaluation_indices(times(frames, rate_hz), network),
        training_indices(times(frames, rate_hz), network, np.random.default_rng(seed))[HISTORY:],
    ):
        assert (chosen >= np.floor(edges[:-1] - 0.01)).all()
        assert (chosen <= edges[1:] + 0.01).all()


def test_uniform_frames_are_the_papers():
    # Every len / window-th frame from the first, in training too.
    assert evaluation_indices(times(100, 25), settings("uniform")).tolist() == list(range(0, 100, 5))
    rng = np.random.default_rng(0)
    assert training_indices(times(100, 25), settings("uniform"), rng)[HISTORY:].tolist() == list(range(0, 100, 5))


def test_segments_are_random_in_training_and_their_middle_otherwise():
    network, rng = settings("segments", window=4), np.random.default_rng(0)
    assert evaluation_indices(times(40, 25), network).tolist() == [5, 15, 25, 35]
    drawn = np.array([training_indices(times(40, 25), network, rng)[HISTORY:] for _ in range(400)])
    for segment in range(4):
        assert set(drawn[:, segment]) == set(range(10 * segment, 10 * segment + 10))


def test_spreading_follows_the_clock_of_a_variable_frame_rate():
    # A second at 40 frames a second, then one at 10: by count, all four would be of the first.
    times_s = np.concatenate([np.arange(40) / 40, 1 + np.arange(10) / 10])
    chosen = evaluation_indices(times_s, settings("uniform", window=4))
    np.testing.assert_allclose(times_s[chosen], np.arange(4) * 1.94 / 4, atol=0.06)


def test_key_frames_are_those_that_move():
    frames = np.zeros((60, 16, 16, 3), np.uint8)
    frames[20:28:2, :, :] = 200  # on the grid of 12.5 frames a second: every other frame of 25
    frames[22] = 90
    energy = motion_energy(frames, times(60, 25), 12.5)
    assert energy[19] == 0
    assert energy[20] == 200
    assert energy[22] == 110
    chosen = evaluation_indices(times(60, 25), settings("key-frames", window=3), energy)
    assert chosen.tolist() == [20, 22, 28]  # 24 moves as much as 22, and comes later
    assert key_indices(np.array([0, 2, 4]), np.zeros(60), 5).tolist() == [0, 0, 0, 2, 4]


@given(frames=st.integers(1, 100), rate_hz=st.floats(5, 60))
def test_the_earlier_frame_is_about_a_period_before(frames, rate_hz):
    times_s = times(frames, rate_hz)
    earlier = earlier_frames(times_s, 12.5)
    assert earlier[0] == 0
    assert (earlier[1:] < np.arange(1, frames)).all()
    far = times_s >= 0.08
    apart_s = times_s[far] - times_s[earlier[far]]
    assert (np.abs(apart_s - 0.08) <= max(0.5 / rate_hz, 1 / rate_hz - 0.08) + 1e-9).all()


def test_a_clip_shown_faster_takes_frames_further_apart():
    rng = np.random.default_rng(0)
    for speed, apart in ((1.0, 2), (1.5, 3), (0.5, 1)):
        chosen = training_indices(times(400, 25), settings("consecutive"), rng, speed=speed)[HISTORY:]
        assert set(np.diff(chosen)) == {apart}
