"""LookResizer: both looks equal the oracle's to the bit, for every format, and what it refuses."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import looks_oracle
from support.pictures import random_frame

from edgehar import Frame, LookResizer, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALE = 32 / 128 / 255
MIDDLE = (100 / 320, 60 / 240, 120 / 320, 120 / 240)


def grey_frame(picture: np.ndarray) -> Frame:
    return Frame(picture, PixelFormat.GRAY8, 0.0, 0.0, 0)


def made(resizer: LookResizer, frames: Sequence[Frame]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Both looks at each frame, and the place of each square in pixels of the base picture."""
    looks, places = [], []
    for frame in frames:
        looks.append(resizer.resize(frame))
        left, top, *_ = resizer.place
        places.append((round(top * 240), round(left * 320)))
    return np.stack(looks), places


def walk(rng: np.random.Generator, frames: int, size: tuple[int, int] = (240, 320)) -> list[np.ndarray]:
    """Grey pictures in which a textured block wanders over a still ground, with noise below the limit of the energy."""
    height, width = size
    ground = rng.integers(40, 200, size).astype(np.int16)
    block = rng.integers(0, 256, (height // 4, width // 8))
    top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
    pictures = []
    for _ in range(frames):
        top = int(np.clip(top + rng.integers(-9, 10), 0, height - len(block)))
        left = int(np.clip(left + rng.integers(-9, 10), 0, width - block.shape[1]))
        picture = ground + rng.integers(-3, 4, size)
        picture[top : top + len(block), left : left + block.shape[1]] = block
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return pictures


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(8, 100), st.integers(8, 100)),
    side=st.integers(2, 60).map(lambda cells: 4 * cells),
    scale=st.sampled_from([SCALE, 1 / 255, 0.013]),
    zero_point=st.sampled_from([0, -128, 17]),
)
def test_both_looks_equal_the_oracle(
    seed: int, size: tuple[int, int], side: int, scale: float, zero_point: int
) -> None:
    rng = np.random.default_rng(seed)
    bases = walk(rng, 6)
    with LookResizer(*size, scale, zero_point, crop_side=side) as resizer:
        got, places = made(resizer, [grey_frame(base) for base in bases])
    want, wanted_places = looks_oracle.looks(bases, *size, scale, zero_point, side)
    assert places == wanted_places
    np.testing.assert_array_equal(got, want)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(3, 2**32 - 1),
    pixel_format=st.sampled_from(list(PixelFormat)),
    height=st.integers(8, 300),
    width=st.integers(4, 200).map(lambda half: 2 * half),
    crop=st.sampled_from(["stretch", "center", "letterbox"]),
    region=st.sampled_from([None, (0.25, 0.0, 0.75, 1.0)]),
    masked=st.booleans(),
)
def test_frames_of_every_format_equal_the_oracle(
    seed: int, pixel_format: PixelFormat, height: int, width: int, crop: str, region: Any, masked: bool
) -> None:
    rng = np.random.default_rng(seed)
    frames = [random_frame(seed - number, pixel_format, height, width) for number in range(4)]
    mask = np.where(rng.random((240, 320)) < 0.3, 0, 255).astype(np.uint8) if masked else None
    with LookResizer(24, 20, SCALE, crop=crop, region=region) as resizer:
        resizer.set_mask(mask)
        got, places = made(resizer, frames)
    bases = [looks_oracle.base_of(frame, mask, crop=crop, region=region) for frame in frames]
    want, wanted_places = looks_oracle.looks(bases, 24, 20, SCALE, 0, 120)
    assert places == wanted_places
    np.testing.assert_array_equal(got, want)


def test_the_energy_of_a_thousand_frames_equals_the_oracle() -> None:
    # Full contrast, so that sums and energies reach their limits, then stillness, in which every energy falls to 0.
    rng = np.random.default_rng(0)
    moving = [np.kron(rng.integers(0, 2, (60, 80), np.uint8) * 255, np.ones((4, 4), np.uint8)) for _ in range(60)]
    bases = [*moving, *[moving[-1]] * 140]
    with LookResizer(8, 8, crop_side=240) as wide, LookResizer(8, 8, crop_side=8) as narrow:
        for side, resizer in ((240, wide), (8, narrow)):
            _, places = made(resizer, [grey_frame(base) for base in bases])
            assert places == [looks_oracle.place_of(energy, side) for energy in looks_oracle.energies(bases)]
    assert not looks_oracle.energies(bases)[-1].any()
    assert places[-1] == (116, 156)


def test_the_crop_is_where_it_moves() -> None:
    still = np.full((240, 320), 90, np.uint8)
    moved = still.copy()
    moved[200:216, 280:296] = 250
    with LookResizer(40, 40, SCALE) as resizer:
        resizer.resize(grey_frame(still))
        assert resizer.place == MIDDLE
        whole, crop = resizer.resize(grey_frame(moved))
        left, top, width, height = resizer.place
        assert (width * 320, height * 240) == (120, 120)
        assert left * 320 <= 280 < 296 <= (left + width) * 320
        assert top * 240 <= 200 < 216 <= (top + height) * 240
        # The block is 16 of 120 pixels in the crop, and 16 of 320 by 16 of 240 in the whole picture.
        assert (whole[..., 0] > 0).sum() < 10 < (crop[..., 0] == 127).sum()
        # The square moves, but nothing in it does.
        resizer.resize(grey_frame(moved))
        whole, crop = resizer.resize(grey_frame(moved))
        assert not whole[..., 0].any()
        assert not crop[..., 0].any()


def test_a_reset_forgets_everything() -> None:
    frames = [grey_frame(base) for base in walk(np.random.default_rng(3), 5)]
    with LookResizer(16, 16, SCALE) as used, LookResizer(16, 16, SCALE) as fresh:
        made(used, frames)
        used.reset()
        assert used.place == MIDDLE
        np.testing.assert_array_equal(made(used, frames[2:])[0], made(fresh, frames[2:])[0])


def test_a_mask_can_be_taken_off() -> None:
    frames = [grey_frame(base) for base in walk(np.random.default_rng(4), 3)]
    with LookResizer(16, 16, SCALE) as resizer, LookResizer(16, 16, SCALE) as plain:
        resizer.set_mask(np.zeros((240, 320), np.uint8))
        assert not made(resizer, frames)[0].any()
        resizer.set_mask(None)
        resizer.reset()
        np.testing.assert_array_equal(made(resizer, frames)[0], made(plain, frames)[0])


def test_outputs_may_have_leading_ones() -> None:
    frame = grey_frame(walk(np.random.default_rng(5), 1)[0])
    out = np.zeros((1, 1, 2, 6, 7, 3), np.int8)
    with LookResizer(6, 7) as resizer:
        resizer.resize_into(frame, out)
        resizer.reset()
        np.testing.assert_array_equal(out[0, 0], resizer.resize(frame))


@pytest.mark.parametrize(
    ("out", "error", "says"),
    [
        (np.zeros((2, 6, 6, 3), np.uint8), TypeError, "int8 array .2, 6, 6, 3.*got uint8"),
        (np.zeros((6, 6, 3), np.int8), ValueError, "got shape .6, 6, 3"),
        (np.zeros((2, 2, 6, 6, 3), np.int8), ValueError, "got shape .2, 2, 6, 6, 3"),
        (np.zeros((2, 6, 12, 3), np.int8)[:, :, ::2], ValueError, "C-contiguous"),
        ([1, 2, 3], TypeError, "got list"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(out: Any, error: type[Exception], says: str) -> None:
    with LookResizer(6, 6) as resizer, pytest.raises(error, match=says):
        resizer.resize_into(np.zeros((8, 8, 3), np.uint8), out)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"crop_side": 122}, "multiple of 4; got 122"),
        ({"crop_side": 4}, "crop_side must be 8 to 240"),
        ({"crop_side": 244}, "crop_side must be 8 to 240"),
        ({"crop": "cut"}, "crop must be one of"),
        ({"region": (0, 0, 2, 1)}, "region must lie within"),
        ({"scale": 0.0}, "scale must be a positive number"),
    ],
)
def test_arguments_outside_their_limits_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LookResizer(16, 16, **options)


@pytest.mark.parametrize("mask", [np.zeros((240, 321), np.uint8), np.zeros((240, 320), bool), np.zeros(9, np.uint8)])
def test_masks_that_do_not_fit_are_refused(mask: np.ndarray) -> None:
    with LookResizer(16, 16) as resizer, pytest.raises(ValueError, match=r"mask must be uint8 .240, 320."):
        resizer.set_mask(mask)


def test_a_closed_resizer_refuses_frames() -> None:
    resizer = LookResizer(16, 16)
    resizer.close()
    resizer.close()
    for use in (
        lambda: resizer.resize(np.zeros((8, 8, 3), np.uint8)),
        resizer.reset,
        lambda: resizer.set_mask(np.zeros((240, 320), np.uint8)),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_threads_wait_for_each_other() -> None:
    frames = [grey_frame(base) for base in walk(np.random.default_rng(6), 8)]
    resizer = LookResizer(16, 16, SCALE)
    threads = [threading.Thread(target=made, args=(resizer, frames)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    resizer.resize(frames[0])
    resizer.reset()
    with LookResizer(16, 16, SCALE) as fresh:
        np.testing.assert_array_equal(made(resizer, frames)[0], made(fresh, frames)[0])
