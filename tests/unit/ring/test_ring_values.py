"""What FrameRing makes of averages: quantisation, mean and deviation, differences of frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracle
from support.pictures import FRAMES, SEEDS, bgr_frame, bgr_image, random_frame, shrunk

from edgehar import Frame, FrameRing, PixelFormat

ZERO_POINTS = st.integers(-128, 127)
THREE = st.tuples(*[st.floats(0, 1)] * 3)
POSITIVE_THREE = st.tuples(*[st.floats(0.01, 2)] * 3)
MOTION = "grey-difference"


@settings(max_examples=100)
@given(FRAMES, st.floats(1e-4, 2.0), ZERO_POINTS)
def test_int8_is_quantised_with_scale_and_zero_point(frame: Frame, scale: float, zero_point: int) -> None:
    got = shrunk(frame, 9, 10, "int8", scale=scale, zero_point=zero_point)
    want = oracle.ring_frames([frame], 9, 10, "int8", scale, zero_point)[0]
    np.testing.assert_array_equal(got, want)


def test_a_tiny_scale_saturates() -> None:
    got = shrunk(np.full((8, 8, 3), 9, np.uint8), 2, 2, "int8", scale=1e-320, zero_point=0)
    assert (got == 127).all()


def test_scale_and_zero_point_do_not_touch_uint8_and_float32() -> None:
    image = bgr_image(1, 20, 20)
    for dtype in ("uint8", "float32"):
        plain, scaled = shrunk(image, 6, 6, dtype), shrunk(image, 6, 6, dtype, scale=0.5, zero_point=3)
        np.testing.assert_array_equal(plain, scaled)


@settings(max_examples=100)
@given(FRAMES, THREE, POSITIVE_THREE)
def test_floats_are_normalised(frame: Frame, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    got = shrunk(frame, 7, 13, "float32", mean=mean, std=std)
    want = oracle.ring_frames([frame], 7, 13, "float32", mean=mean, std=std)[0]
    in_levels = 255 * np.array(std)
    np.testing.assert_allclose(got * in_levels, want * in_levels, rtol=0, atol=1e-4)


def test_mean_and_deviation_are_those_of_red_green_blue() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 255  # blue
    got = shrunk(image, 1, 1, "float32", mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    np.testing.assert_allclose(got[0, 0], [-0.1, -0.1, 0.7 / 4], rtol=1e-6)


@settings(max_examples=100)
@given(
    SEEDS,
    st.lists(st.sampled_from(PixelFormat), min_size=1, max_size=7),
    st.integers(1, 4),
    st.sampled_from(["int8", "float32"]),
    st.floats(1e-3, 1.0),
    ZERO_POINTS,
)
def test_motion_equals_the_oracle(
    seed: int, formats: list[PixelFormat], window: int, dtype: str, scale: float, zero_point: int
) -> None:
    frames = [random_frame(seed + i, pixel_format, 19, 24) for i, pixel_format in enumerate(formats)]
    want = oracle.ring_frames(frames, 6, 7, dtype, scale, zero_point, motion_input=MOTION)
    ring = FrameRing(window, 6, 7, dtype=dtype, scale=scale, zero_point=zero_point, motion=MOTION)
    for frame, expected in zip(frames, want, strict=True):
        ring.push(frame)
        np.testing.assert_allclose(ring.latest(), expected, rtol=0, atol=1e-7 if dtype == "float32" else 0)


def test_motion_with_one_level_a_step_is_the_clipped_difference() -> None:
    ring = FrameRing(3, 4, 4, zero_point=0, motion=MOTION)
    for level in (10, 255, 0):
        ring.push(np.full((8, 8, 3), level, np.uint8))
    assert ring.window()[:, 0, 0].tolist() == [[0, 0, 0], [127, 127, 127], [-128, -10, 127]]


def test_motion_forgets_at_reset_and_moves_on_with_shrink_into() -> None:
    images = [bgr_image(i, 16, 16) for i in range(4)]
    want = oracle.ring_frames([bgr_frame(i) for i in images], 5, 5, "int8", 1 / 255, 0, motion_input=MOTION)
    ring = FrameRing(1, 5, 5, zero_point=0, motion=MOTION)
    ring.push(images[3])
    ring.reset()
    out = np.empty((1, 5, 5, 3), np.int8)
    for number, image in enumerate(images):
        if number % 2:
            ring.push(image)
            np.testing.assert_array_equal(ring.latest(), want[number])
        else:
            ring.shrink_into(image, out)
            np.testing.assert_array_equal(out[0], want[number])
    assert ring.count == 2


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize("pixel_format", list(PixelFormat), ids=lambda f: f.value)
def test_shrink_into_writes_what_push_stores_and_leaves_the_ring_alone(pixel_format: PixelFormat, dtype: str) -> None:
    frame = random_frame(3, pixel_format, 40, 50)
    ring = FrameRing(1, 7, 6, dtype=dtype)
    ring.push(np.zeros((8, 8, 3), np.uint8))
    black = ring.latest().copy()
    for shape in ((7, 6, 3), (1, 7, 6, 3), (1, 1, 7, 6, 3)):
        out = np.full(shape, 77, dtype)
        ring.shrink_into(frame, out)
        np.testing.assert_array_equal(out.reshape(7, 6, 3), shrunk(frame, 7, 6, dtype))
    np.testing.assert_array_equal(ring.latest(), black)
    assert ring.count == 1
