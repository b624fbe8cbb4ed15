"""LookResizer with `steady_light`: changes of light are undone, to the bit as the oracle does; steady light is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import light_oracle, looks_oracle
from unit.ring.test_shake import SCALE, scene, seen, shaken, with_block

from edgehar import Frame, LookResizer, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

STILL = [(0, 0)] * 20


def gray(picture: np.ndarray) -> Frame:
    return Frame(np.ascontiguousarray(picture), PixelFormat.GRAY8, 0.0, 0.0, 0)


def run(pictures: Sequence[np.ndarray], mask: np.ndarray | None = None, **options: bool) -> tuple[np.ndarray, list]:
    """Both looks at each frame, and its gain."""
    looks, gains = [], []
    with LookResizer(24, 20, SCALE, **{"steady_light": True, **options}) as resizer:
        resizer.set_mask(mask)
        for picture in pictures:
            looks.append(resizer.resize(gray(picture)))
            gains.append(resizer.gain)
    return np.stack(looks), gains


def lit(picture: np.ndarray, gain: float) -> np.ndarray:
    return (picture * gain + 0.5).clip(0, 255).astype(np.uint8)


def flickering(pictures: Sequence[np.ndarray], seed: int, most: float = 0.2) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [pictures[0], *(lit(picture, rng.uniform(1 - most, 1 + most)) for picture in pictures[1:])]


def motion_of(looks: np.ndarray) -> float:
    return float(np.abs(looks[..., 2].astype(int)).mean())


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), most=st.sampled_from([0.0, 0.03, 0.2, 0.6]), noise=st.integers(0, 30),
    shake=st.integers(0, 12), brightness=st.sampled_from([0.1, 0.5, 1.0, 1.6]), masked=st.booleans(),
    stabilize=st.booleans(),
)  # fmt: skip
def test_looks_in_steady_light_equal_the_oracle(seed, most, noise, shake, brightness, masked, stabilize):
    rng = np.random.default_rng(seed)
    moves = shaken(seed, 6, shake)
    pictures = [lit(picture, brightness) for picture in with_block(seen(scene(seed), moves), moves)]
    pictures = flickering(pictures, seed, most)
    pictures = [(one + rng.integers(-noise, noise + 1, one.shape)).clip(0, 255).astype(np.uint8) for one in pictures]
    mask = np.where(np.kron(rng.random((6, 8)) < 0.2, np.ones((40, 40))), 0, 255).astype(np.uint8) if masked else None
    bases = [picture if mask is None else np.where(mask == 0, 0, picture) for picture in pictures]
    got, gains = run(pictures, mask, stabilize=stabilize)
    wanted = light_oracle.steadied(bases, mask, stabilize=stabilize)
    assert gains == [gain / light_oracle.ONE for gain in wanted.gains]
    np.testing.assert_array_equal(got, looks_oracle.looks(wanted.shown, 24, 20, SCALE, 0, 120)[0])


@pytest.mark.parametrize("seed", range(3))
def test_flicker_is_undone(seed: int) -> None:
    pictures = with_block(seen(scene(seed), STILL), STILL)
    steady = run(pictures, steady_light=False)[0]
    flicker = flickering(pictures, seed)
    got, gains = run(flicker)
    assert sum(gain != 1 for gain in gains) > 14
    kept, lost = (np.abs(one.astype(int) - steady).mean() for one in (got, run(flicker, steady_light=False)[0]))
    assert kept < lost / 10


def test_steady_light_is_untouched_to_the_byte() -> None:
    rng = np.random.default_rng(6)
    pictures = with_block(seen(scene(6), STILL), STILL)
    pictures = [(one + rng.integers(-30, 31, one.shape)).clip(0, 255).astype(np.uint8) for one in pictures]
    got, gains = run(pictures)
    assert set(gains) == {1}
    np.testing.assert_array_equal(got, run(pictures, steady_light=False)[0])


@pytest.mark.parametrize("level", [20, 80, 200])
def test_a_large_thing_that_moves_is_not_taken_for_light(level: int) -> None:
    ground, thing = seen(scene(7), [(0, 0)])[0], (scene(8, 240, 400).astype(int) // 4 + level).clip(0, 255)
    pictures = []
    for number in range(60):
        picture = ground.copy()
        # It fills the picture for a while, from one side to the other.
        left, right = max(0, 16 * number - 400), min(320, 16 * number)
        if left < right:
            picture[:, left:right] = thing[:240, 400 - 16 * number + left : 400 - 16 * number + right]
        pictures.append(picture)
    assert set(run(pictures)[1]) == {1}


def test_a_crowd_is_not_taken_for_light() -> None:
    ground = seen(scene(9), [(0, 0)])[0]
    pictures = []
    for number in range(30):
        picture = ground.copy()
        for person in range(40):
            top, left = 6 * person % 180, (37 * person + (3 + person % 4) * number) % 300
            picture[top : top + 60, left : left + 20] = 30 + 5 * (person % 8)
        pictures.append(picture)
    assert set(run(pictures)[1]) == {1}


def test_another_scene_is_not_taken_for_light() -> None:
    pictures = [lit(seen(scene(seed), [(0, 0)])[0], gain) for seed, gain in ((1, 1.0), (2, 0.6), (3, 1.4), (4, 0.5))]
    assert set(run([picture for picture in pictures for _ in range(12)])[1]) == {1}


def test_a_lamp_that_stays_on_fades_in_and_slow_daylight_is_not_touched() -> None:
    picture = seen(scene(10), [(0, 0)])[0] // 2 + 20
    switched, gains = run([picture] * 3 + [lit(picture, 1.3)] * 500)
    assert gains[3] == pytest.approx(1 / 1.3, abs=0.005)
    assert sorted(gains[3:]) == gains[3:]
    assert gains[-1] == 1
    jump = run([picture] * 3 + [lit(picture, 1.3)] * 2, steady_light=False)[0]
    assert np.abs(switched[..., 0].astype(int)).max() < np.abs(jump[..., 0].astype(int)).max() / 5
    day = [lit(picture, 1 + 0.0008 * number) for number in range(300)]
    assert set(run(day)[1]) == {1}


def test_overexposed_pixels_do_not_darken() -> None:
    picture = (scene(11)[40:280, 40:360] * 0.7).astype(np.uint8)
    picture[100:130, 100:140] = 240
    got, gains = run([picture, lit(picture, 1.15), lit(picture, 0.9)])
    assert gains[1] < 1 < gains[2]
    # 240 levels become 255, and those 222.
    assert np.abs(got[1, :, ..., 0].astype(int)).max() <= 8


def test_a_dark_or_overexposed_picture_stays_as_it_is() -> None:
    dark = seen(scene(12), [(0, 0)])[0] // 16
    assert set(run([dark, lit(dark, 1.6), lit(dark, 0.6)])[1]) == {1}
    bright = np.maximum(seen(scene(12), [(0, 0)])[0], 252)
    assert set(run([bright, lit(bright, 0.995), bright])[1]) == {1}
    assert set(run([np.zeros((240, 320), np.uint8)] * 3)[1]) == {1}


def test_nothing_under_a_mask_matters() -> None:
    pictures = flickering(seen(scene(11), STILL), 11)
    mask = np.full((240, 320), 255, np.uint8)
    mask[60:150, 90:200] = 0
    rng = np.random.default_rng(11)
    hidden = [np.where(mask == 0, rng.integers(0, 256, mask.shape), picture).astype(np.uint8) for picture in pictures]
    one, gains = run(pictures, mask)
    other, hidden_gains = run(hidden, mask)
    assert sum(gain != 1 for gain in gains) > 14
    assert gains == hidden_gains
    np.testing.assert_array_equal(one, other)
    # The edge of the mask stands still, and so does everything else.
    assert motion_of(one) < motion_of(run(pictures, mask, steady_light=False)[0]) / 10


def test_shake_and_flicker_are_undone_together() -> None:
    moves = shaken(5, 20, 8)
    pictures = flickering(with_block(seen(scene(5), moves), moves), 5)
    steady = run(with_block(seen(scene(5), STILL), STILL), steady_light=False)[0]
    both, alone, neither = (
        np.abs(run(pictures, **options)[0].astype(int) - steady).mean()
        for options in ({"stabilize": True}, {"stabilize": True, "steady_light": False}, {"steady_light": False})
    )
    assert both < neither / 10
    assert both < alone / 5


def test_shake_in_steady_light_is_undone_as_without_the_option() -> None:
    moves = shaken(5, 14, 8)
    pictures = with_block(seen(scene(5), moves), moves)
    got, gains = run(pictures, stabilize=True)
    assert set(gains) == {1}
    np.testing.assert_array_equal(got, run(pictures, stabilize=True, steady_light=False)[0])


def test_a_reset_forgets_the_reference() -> None:
    picture = seen(scene(13), [(0, 0)])[0]
    with LookResizer(24, 20, SCALE, steady_light=True) as resizer:
        resizer.resize(gray(picture))
        resizer.resize(gray(lit(picture, 0.8)))
        assert resizer.gain == pytest.approx(1.25, abs=0.01)
        resizer.reset()
        assert resizer.gain == 1
        assert not resizer.resize(gray(lit(picture, 0.8))).any()
        resizer.resize(gray(picture))
        assert resizer.gain == pytest.approx(0.8, abs=0.01)
    assert resizer.gain == pytest.approx(0.8, abs=0.01)
    assert repr(resizer).endswith("stabilize=False, steady_light=True)")
