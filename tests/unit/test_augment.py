"""Augmentation changes all frames of a window alike, and is repeatable."""

import numpy as np

from edgehar_training.augment import augment as augment_window
from edgehar_training.settings import AugmentSettings


def augment(frames, rng):
    return augment_window(frames, AugmentSettings(), rng)[0]


def window(frames=4, size=60):
    return np.random.default_rng(7).integers(0, 256, (frames, size, size, 3), np.uint8)


def test_same_seed_same_result_and_the_input_is_left_alone():
    frames = window()
    before = frames.copy()
    one, two = (augment(frames, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)
    assert np.array_equal(frames, before)
    assert one.shape == frames.shape
    assert one.dtype == np.uint8
    assert not np.array_equal(augment(frames, np.random.default_rng(6)), one)


def test_a_still_scene_stays_still():
    still = np.repeat(window(1), 6, axis=0)
    for seed in range(20):
        changed = augment(still, np.random.default_rng(seed))
        assert (changed == changed[:1]).all()


def test_flips_shifts_and_light_all_occur():
    ramp = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, None, :, None] * 4, (1, 60, 60, 3)).copy()
    results = [augment(ramp, np.random.default_rng(seed))[0, 30, :, 0].astype(int) for seed in range(40)]
    falling = sum(row[0] > row[-1] for row in results)
    assert 10 < falling < 30
    assert len({int(row.mean()) for row in results}) > 15
    # Nothing is turned upside down.
    lines = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None, None] * 4, (1, 60, 60, 3)).copy()
    assert all(np.diff(augment(lines, np.random.default_rng(s))[0, :, 30, 0].astype(int)).min() >= 0 for s in range(40))
