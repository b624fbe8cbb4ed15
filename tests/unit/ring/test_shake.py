"""LookResizer with `stabilize`: shaken pictures are moved back, to the bit as the oracle does; steady ones are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import looks_oracle, shake_oracle

from edgehar import Frame, LookResizer, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SCALE = 32 / 128 / 255
ROOM = 40


def scene(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """A still picture with structure of several sizes, with `ROOM` pixels on each side beyond the frame."""
    rng = np.random.default_rng(seed)
    size = (height + 2 * ROOM, width + 2 * ROOM)
    ground = np.full(size, 110.0)
    for cell, contrast in ((40, 60), (16, 30), (4, 15)):
        coarse = rng.uniform(-contrast, contrast, (size[0] // cell + 1, size[1] // cell + 1))
        ground += np.kron(coarse, np.ones((cell, cell)))[: size[0], : size[1]]
    return ground.clip(0, 255).astype(np.uint8)


def seen(ground: np.ndarray, moves: Iterable[tuple[int, int]]) -> list[np.ndarray]:
    """Frames of a camera that sees everything so many pixels further right and down."""
    height, width = (side - 2 * ROOM for side in ground.shape)
    return [ground[ROOM - down :, ROOM - right :][:height, :width] for right, down in moves]


def with_block(pictures: Sequence[np.ndarray], moves: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """A bright block that walks through the scene, which the camera sees moved as well."""
    pictures = [picture.copy() for picture in pictures]
    for number, (picture, (right, down)) in enumerate(zip(pictures, moves, strict=True)):
        left = 60 + 5 * number
        picture[100 + down : 160 + down, left + right : left + 20 + right] = 250
    return pictures


def shaken(seed: int, frames: int, most: int) -> list[tuple[int, int]]:
    moves = np.random.default_rng(seed).integers(-most, most + 1, (frames, 2))
    return [(0, 0), *map(tuple, moves[1:].tolist())]


def run(pictures: Sequence[np.ndarray], mask: np.ndarray | None = None, **options: bool) -> tuple[np.ndarray, list]:
    """Both looks at each frame, and its move in pixels."""
    looks, moves = [], []
    with LookResizer(24, 20, SCALE, **options) as resizer:
        resizer.set_mask(mask)
        for picture in pictures:
            looks.append(resizer.resize(Frame(np.ascontiguousarray(picture), PixelFormat.GRAY8, 0.0, 0.0, 0)))
            right, down = resizer.shake
            moves.append((320 * right, 240 * down))
    return np.stack(looks), moves


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), most=st.integers(0, 30), noise=st.integers(0, 40), masked=st.booleans())
def test_stabilized_looks_equal_the_oracle(seed: int, most: int, noise: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    moves = shaken(seed, 5, most)
    pictures = with_block(seen(scene(seed), moves), moves)
    pictures = [(picture + rng.integers(-noise, noise + 1, picture.shape)).clip(0, 255) for picture in pictures]
    mask = np.where(np.kron(rng.random((6, 8)) < 0.2, np.ones((40, 40))), 0, 255).astype(np.uint8) if masked else None
    bases = [picture if mask is None else np.where(mask == 0, 0, picture) for picture in pictures]
    got, found = run([picture.astype(np.uint8) for picture in pictures], mask, stabilize=True)
    shown, wanted_moves = shake_oracle.steadied(bases, mask)
    np.testing.assert_allclose(found, np.array(wanted_moves) / shake_oracle.PARTS, atol=1e-9)
    np.testing.assert_array_equal(got, looks_oracle.looks(shown, 24, 20, SCALE, 0, 120)[0])


@pytest.mark.parametrize("seed", range(4))
def test_shake_of_the_camera_is_found_and_makes_no_motion(seed: int) -> None:
    moves = shaken(seed, 12, 7)
    ground = scene(seed)
    got, found = run(seen(ground, moves), stabilize=True)
    assert found == moves
    assert not got[..., 2].any()
    # Without it, everything moves.
    assert (run(seen(ground, moves))[0][1:, 0, ..., 2] > 8).mean() > 0.5


def test_a_walker_before_a_shaken_camera_moves_as_before_a_steady_one() -> None:
    moves = shaken(5, 14, 8)
    pictures = with_block(seen(scene(5), moves), moves)
    steady, _ = run(with_block(seen(scene(5), [(0, 0)] * 14), [(0, 0)] * 14))
    got, found = run(pictures, stabilize=True)
    np.testing.assert_allclose(found, moves, atol=0.25)
    kept, lost = (np.abs(one.astype(int) - steady).mean() for one in (got, run(pictures)[0]))
    assert kept < lost / 20


def test_parts_of_a_pixel_are_found() -> None:
    # A camera of twice the size moves by whole pixels of its own.
    moves = [(0, 0), (3, -5), (-7, 1), (4, 4), (1, 0), (0, 0), (-5, 8)]
    ground = scene(14, 480, 640)
    height, width = 480, 640
    pictures = [ground[ROOM - down :, ROOM - right :][:height, :width] for right, down in moves]
    got, found = run(pictures, stabilize=True)
    np.testing.assert_allclose(found, np.array(moves) / 2, atol=0.13)
    assert np.abs(got[..., 2].astype(int)).mean() < np.abs(run(pictures)[0][..., 2].astype(int)).mean() / 5


def test_a_steady_picture_is_untouched_to_the_byte() -> None:
    rng = np.random.default_rng(6)
    still = [(0, 0)] * 20
    pictures = with_block(seen(scene(6), still), still)
    pictures = [(one + rng.integers(-9, 10, one.shape)).clip(0, 255).astype(np.uint8) for one in pictures]
    got, found = run(pictures, stabilize=True)
    assert found == still
    np.testing.assert_array_equal(got, run(pictures)[0])


def test_a_large_thing_that_moves_leaves_the_ground_still() -> None:
    ground, bus = seen(scene(7), [(0, 0)])[0], scene(8, 240, 400)
    pictures = []
    for number in range(30):
        picture = ground.copy()
        # Three fifths of the picture, from one side to the other.
        left, right = max(0, 8 * number - 190), min(320, 8 * number)
        picture[40:230, left:right] = bus[40:230, 400 - 8 * number + left : 400 - 8 * number + right]
        pictures.append(picture)
    assert set(run(pictures, stabilize=True)[1]) == {(0, 0)}


def test_a_bump_is_undone_and_one_beyond_the_limit_is_forgotten() -> None:
    moves = [(0, 0)] * 6 + [(5, -3)] * 6
    assert run(seen(scene(9), moves), stabilize=True)[1] == moves
    far = [(0, 0)] * 6 + [(36, 0)] * 40 + [(40, 1)]
    assert run(seen(scene(9), far), stabilize=True)[1][-2:] == [(0, 0), (4, 1)]


def test_a_switched_light_is_not_a_move() -> None:
    picture = seen(scene(10), [(0, 0)])[0]
    pictures = [picture, *[(picture * 0.7).astype(np.uint8)] * 3, picture]
    assert set(run(pictures, stabilize=True)[1]) == {(0, 0)}


def test_nothing_under_a_mask_matters() -> None:
    moves = shaken(11, 8, 6)
    pictures = seen(scene(11), moves)
    mask = np.full((240, 320), 255, np.uint8)
    mask[60:150, 90:200] = 0
    rng = np.random.default_rng(11)
    hidden = [np.where(mask == 0, rng.integers(0, 256, mask.shape), picture).astype(np.uint8) for picture in pictures]
    one, found = run(pictures, mask, stabilize=True)
    other, _ = run(hidden, mask, stabilize=True)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(found, moves, atol=0.25)
    # The edge of the mask stands still, and so does everything else.
    assert one[..., 2].mean() < run(pictures, mask)[0][..., 2].mean() / 20


def test_the_place_of_the_crop_is_where_the_frame_shows_it() -> None:
    moves = [(0, 0)] * 3 + [(7, 5)]
    pictures = with_block(seen(scene(12), moves), moves)
    places = []
    with LookResizer(24, 20, SCALE, stabilize=True) as resizer, LookResizer(24, 20, SCALE) as plain:
        for shown, steady in zip(pictures, with_block(seen(scene(12), [(0, 0)] * 4), [(0, 0)] * 4), strict=True):
            for one, picture in ((resizer, shown), (plain, steady)):
                one.resize(Frame(np.ascontiguousarray(picture), PixelFormat.GRAY8, 0.0, 0.0, 0))
            places.append((resizer.place, plain.place))
    assert places[2][0] == places[2][1]
    (left, top, *_), (steady_left, steady_top, *_) = places[3]
    assert (round(320 * (left - steady_left)), round(240 * (top - steady_top))) == (7, 5)


def test_a_reset_forgets_the_reference() -> None:
    frames = [
        Frame(np.ascontiguousarray(one), PixelFormat.GRAY8, 0.0, 0.0, 0) for one in seen(scene(13), [(0, 0), (6, 2)])
    ]
    with LookResizer(24, 20, SCALE, stabilize=True) as resizer:
        for frame in frames:
            resizer.resize(frame)
        assert resizer.shake == (6 / 320, 2 / 240)
        resizer.reset()
        assert resizer.shake == (0, 0)
        assert not resizer.resize(frames[1]).any()


def test_letterbox_is_refused() -> None:
    with pytest.raises(ValueError, match="stabilize needs crop 'stretch' or 'center'"):
        LookResizer(24, 20, crop="letterbox", stabilize=True)
    assert repr(LookResizer(24, 20, stabilize=True)).endswith("stabilize=True, steady_light=False)")
