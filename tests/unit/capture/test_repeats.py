"""A camera that repeats its picture, told from one that films something still."""

import numpy as np

from edgehar import Frame, PixelFormat
from edgehar.capture.repeats import Repeats


def same_for_s(pictures, rate_hz=10.0):
    repeats = Repeats()
    frames = [Frame(pixels, PixelFormat.GRAY8, 0.0, 0.0, number) for number, pixels in enumerate(pictures)]
    return [repeats.same_for_s(frame, 100 + number / rate_hz) for number, frame in enumerate(frames)]


def test_a_repeated_picture_is_as_old_as_its_first_showing():
    found = same_for_s([np.full((64, 64), min(number, 50), np.uint8) for number in range(200)])
    assert max(found[:60]) == 0
    assert 13 <= found[-1] <= 15


def test_noise_in_any_row_that_is_looked_at_is_a_new_picture():
    random = np.random.default_rng(0)
    found = same_for_s([np.full((64, 64), 9, np.uint8) + random.integers(0, 2, (64, 64), np.uint8) for _ in range(100)])
    assert max(found) == 0


def test_planes_and_strided_rows_are_read():
    luma = np.zeros((64, 128), np.uint8)[:, ::2]
    planes = (luma, np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8))
    repeats = Repeats()
    frame = Frame(planes, PixelFormat.I420, 0.0, 0.0, 0)
    assert [repeats.same_for_s(frame, now_s) for now_s in (0.0, 5.0)] == [0.0, 5.0]
