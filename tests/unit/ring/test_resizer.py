"""The resizer against the oracle: pixels of every format, motion, and arguments that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import oracle
from support.pictures import bgr_frame, bgr_image, random_frame

from edgehar import PixelFormat
from edgehar._ring import FrameRing, Resizer

MOTION = "grey-difference"
sides = st.integers(8, 70)


@given(st.sampled_from(PixelFormat), sides, sides, st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_every_format_is_resized_as_the_oracle_says(pixel_format, height, width, rows, columns, seed):
    frame = random_frame(seed, pixel_format, height, width + (pixel_format is PixelFormat.YUYV and width % 2))
    resized = Resizer(rows, columns, dtype="uint8").resize(frame)
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, oracle.shrunk(frame, rows, columns))


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_motion_is_that_of_the_frames_since_the_last_reset(dtype):
    images = [bgr_image(number, 16, 20) for number in range(5)]
    resizer = Resizer(6, 5, dtype=dtype, zero_point=0, motion=MOTION)
    for _ in range(2):
        want = oracle.ring_frames([bgr_frame(i) for i in images], 6, 5, dtype, 1 / 255, 0, motion_input=MOTION)
        for image, expected in zip(images, want, strict=True):
            np.testing.assert_allclose(resizer.resize(image), expected, atol=1e-6)
        resizer.reset()


def test_a_ring_stores_what_a_resizer_gives():
    frame = random_frame(3, PixelFormat.NV12, 40, 50)
    options = {"crop": "letterbox", "region": (0.1, 0.2, 0.5, 0.6), "scale": 0.01, "zero_point": 3}
    ring = FrameRing(2, 9, 7, **options)
    ring.push(frame)
    np.testing.assert_array_equal(Resizer(9, 7, **options).resize(frame), ring.latest())


def test_a_closed_resizer_refuses_frames():
    with Resizer(4, 4) as resizer:
        pass
    resizer.close()
    with pytest.raises(ValueError, match="closed"):
        resizer.resize(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"height": 0}, ValueError, "height must be 1 to 8192"),
        ({"width": 2.5}, TypeError, "width must be a whole number"),
        ({"dtype": "int16"}, ValueError, "dtype must be one of"),
        ({"dtype": "uint8", "motion": MOTION}, ValueError, "not 'uint8'"),
        ({"region": (0.5, 0, 0.6, 1)}, ValueError, "within the frame"),
    ],
)
def test_arguments_outside_their_limits_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Resizer(**{"height": 4, "width": 4, **arguments})


def test_what_is_known_of_a_resizer():
    resizer = Resizer(4, 6, motion=MOTION, crop="center")
    assert (resizer.height, resizer.width) == (4, 6)
    assert (resizer.dtype, resizer.motion, resizer.crop) == ("int8", MOTION, "center")
    assert repr(resizer) == f"Resizer(height=4, width=6, dtype='int8', motion='{MOTION}')"
