"""Augmentation changes all frames of a window alike, is repeatable, and does what its settings say and no more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar_training.data.augment import augment, lose_frames, random_timing
from edgehar_training.settings import AugmentSettings

NOTHING = {"flip": False, "shift": 0, "zoom": 0, "contrast": 0, "brightness": 0}
USUAL = AugmentSettings()


def window(frames=4, size=60):
    return np.random.default_rng(7).integers(0, 256, (frames, size, size, 3), np.uint8)


def only(**settings):
    return AugmentSettings(**{**NOTHING, **settings})


def changed(frames, settings, seed=0):
    return augment(frames, settings, np.random.default_rng(seed))[0]


@pytest.mark.parametrize("settings", [USUAL, AugmentSettings(colour=0.2, blur=2, noise=8)])
def test_same_seed_same_result_and_the_input_is_left_alone(settings):
    frames = window()
    before = frames.copy()
    one, two = (changed(frames, settings, 5) for _ in range(2))
    assert np.array_equal(one, two)
    assert np.array_equal(frames, before)
    assert one.shape == frames.shape
    assert one.dtype == np.uint8
    assert not np.array_equal(changed(frames, settings, 6), one)


@pytest.mark.parametrize("settings", [AugmentSettings(on=False, noise=9, blur=3), only()])
def test_what_is_off_changes_nothing_and_draws_nothing(settings):
    frames, rng = window(), np.random.default_rng(0)
    assert augment(frames, settings, rng)[0] is frames
    assert random_timing(30, settings, rng) == (0, 30, 1.0)
    assert np.array_equal(lose_frames(np.arange(9), settings, rng), np.arange(9))
    assert rng.random() == np.random.default_rng(0).random()


def test_a_still_scene_stays_still():
    still = np.repeat(window(1), 6, axis=0)
    settings = AugmentSettings(colour=0.2, blur=2)
    for seed in range(20):
        moved = changed(still, settings, seed)
        assert (moved == moved[:1]).all()


def test_flips_shifts_and_light_all_occur():
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, None, :, None] * 4, (1, 60, 60, 3)).copy()
    results = [changed(ramp, USUAL, seed)[0, 30, :, 0].astype(int) for seed in range(40)]
    falling = sum(row[0] > row[-1] for row in results)
    assert 10 < falling < 30
    assert len({int(row.mean()) for row in results}) > 15
    # Nothing is turned upside down.
    lines = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None, None] * 4, (1, 60, 60, 3)).copy()
    assert all(np.diff(changed(lines, USUAL, s)[0, :, 30, 0].astype(int)).min() >= 0 for s in range(40))


def test_a_flip_mirrors_every_frame():
    frames = window()
    seen = set()
    for seed in range(20):
        flipped = changed(frames, only(flip=True), seed)
        mirrored = np.array_equal(flipped, frames[:, :, ::-1])
        assert mirrored or np.array_equal(flipped, frames)
        seen.add(mirrored)
    assert seen == {True, False}


def test_shift_moves_no_further_than_it_may():
    frames = window(2)
    shifts = set()
    for seed in range(60):
        moved = changed(frames, only(shift=0.1), seed)
        found = [
            (y, x)
            for y in range(-6, 7)
            for x in range(-6, 7)
            if np.array_equal(moved[:, 10:50, 10:50], frames[:, 10 + y : 50 + y, 10 + x : 50 + x])
        ]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 40


def test_zoom_keeps_the_centre_and_scales_the_rest():
    columns = np.broadcast_to(np.arange(61, dtype=np.uint8)[None, None, :, None], (1, 61, 61, 3)).copy()
    spans = set()
    for seed in range(40):
        row = changed(columns, only(zoom=0.3), seed)[0, 30, :, 0].astype(int)
        assert row[30] == 30
        spans.add(row[40] - row[20])
    assert min(spans) == 16  # 20 columns show 20 / 1.3
    assert 26 <= max(spans) <= 30


def test_light_changes_levels_as_told():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    for seed in range(20):
        bright = changed(levels, only(brightness=20), seed).astype(int) - levels
        assert abs(bright[0, 8, 0]).max() <= 20
        assert len(np.unique(bright[0, 2:14])) == 1
        strong = changed(levels, only(contrast=0.25), seed)
        assert (strong[0, 8, 0] == 128).all()
        assert (np.diff(strong[0, :, :, 0].ravel().astype(int)) >= 0).all()
        coloured = changed(levels, only(colour=0.5), seed)[0, 4, 0] / 64
        assert ((coloured > 0.49) & (coloured < 1.51)).all()
        assert len(np.unique(coloured)) > 1


def test_blur_takes_detail_and_no_light():
    frames = window(size=120)
    deviations = [changed(frames, only(blur=3), seed).std() for seed in range(20)]
    assert max(deviations) <= frames.std()
    assert min(deviations) < 0.2 * frames.std()
    assert all(abs(changed(frames, only(blur=3), seed).mean() - frames.mean()) < 1 for seed in range(5))


def test_noise_differs_between_frames_but_not_in_strength():
    grey = np.full((6, 60, 60, 3), 128, np.uint8)
    strengths = []
    for seed in range(20):
        noise = changed(grey, only(noise=10), seed).astype(int) - 128
        strengths.append(noise.std())
        assert abs(noise.mean()) < 0.2
        assert np.ptp(noise.std(axis=(1, 2, 3))) < 0.5
        if strengths[-1] > 2:
            assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1
    assert max(strengths) < 10.5
    assert min(strengths) < 3
    assert max(strengths) > 7


def test_flow_moves_with_the_frames():
    frames, flow = window(), np.random.default_rng(3).integers(-50, 50, (4, 60, 60, 2)).astype(np.int8)
    seen = set()
    for seed in range(10):
        moved, along = augment(frames, only(flip=True), np.random.default_rng(seed), flow)
        mirrored = not np.array_equal(moved, frames)
        expected = flow[:, :, ::-1] * np.array([-1, 1]) if mirrored else flow
        assert np.array_equal(along, expected)
        seen.add(mirrored)
    assert seen == {True, False}
    right = np.zeros((4, 60, 60, 2), np.int8)
    right[..., 0] = 40
    zoomed = [augment(frames, only(zoom=0.5), np.random.default_rng(s), right)[1] for s in range(30)]
    values = {int(flow[0, 30, 30, 0]) for flow in zoomed}
    assert min(values) < 25
    assert max(values) > 55
    assert all((flow[..., 1] == 0).all() for flow in zoomed)


@given(frames=st.integers(1, 200), crop=st.floats(0.01, 0.9), seed=st.integers(0, 50))
def test_a_temporal_crop_leaves_as_much_as_it_must(frames, crop, seed):
    first, beyond, speed = random_timing(frames, AugmentSettings(temporal_crop=crop), np.random.default_rng(seed))
    assert 0 <= first < beyond <= frames
    assert beyond - first >= min(frames, max(1, frames * (1 - crop) - 1))
    assert speed == 1


def test_speeds_are_within_their_bounds():
    speeds = [random_timing(9, AugmentSettings(speed=0.3), np.random.default_rng(s)).speed for s in range(50)]
    assert 0.7 <= min(speeds) < 0.8
    assert 1.2 < max(speeds) <= 1.3


@given(dropout=st.floats(0.05, 0.9), seed=st.integers(0, 50))
def test_a_lost_frame_shows_the_one_before(dropout, seed):
    indices = np.arange(100, 400, 3)
    left = lose_frames(indices, AugmentSettings(frame_dropout=dropout), np.random.default_rng(seed))
    assert left[0] == indices[0]
    lost = left != indices
    assert (left[1:][lost[1:]] == left[:-1][lost[1:]]).all()
    assert abs(lost.mean() - dropout) < 0.25
