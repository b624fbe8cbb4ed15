"""Frames of every format as BGR pixels."""

import threading

import numpy as np
import pytest

from edgehar import Frame, PixelFormat, YuvMatrix
from edgehar.pictures import as_bgr

# Y, U, V of pure red, and of a mid grey, limited and full range.
RED = {
    (YuvMatrix.BT601, False): (81, 90, 240),
    (YuvMatrix.BT709, False): (63, 102, 240),
    (YuvMatrix.BT601, True): (76, 85, 255),
}


def frame_of(pixel_format, *planes, **options):
    return Frame(planes[0] if len(planes) == 1 else planes, pixel_format, 0.0, 0.0, 0, **options)


def flat(*shape_and_level):
    *shape, level = shape_and_level
    return np.full(shape, level, np.uint8)


def test_a_bgr_frame_gives_its_own_array():
    pixels = np.arange(9 * 8 * 3, dtype=np.uint8).reshape(9, 8, 3)
    assert as_bgr(frame_of(PixelFormat.BGR24, pixels)) is pixels


def test_packed_formats_are_copied_level_for_level():
    bgr = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    extra = np.zeros((11, 13, 1), np.uint8)
    for pixel_format, pixels in (
        (PixelFormat.RGB24, bgr[..., ::-1]),
        (PixelFormat.BGRA32, np.concatenate([bgr, extra], 2)),
        (PixelFormat.RGBA32, np.concatenate([bgr[..., ::-1], extra], 2)),
    ):
        picture = as_bgr(frame_of(pixel_format, pixels))
        assert picture.flags.c_contiguous
        assert np.array_equal(picture, bgr)
    grey = as_bgr(frame_of(PixelFormat.GRAY8, bgr[..., 0]))
    assert np.array_equal(grey, np.repeat(bgr[..., :1], 3, 2))


@pytest.mark.parametrize(("matrix", "full_range"), RED)
@pytest.mark.parametrize(("height", "width"), [(10, 12), (11, 13)])
def test_red_is_red_in_every_standard(matrix, full_range, height, width):
    y, u, v = RED[matrix, full_range]
    half = ((height + 1) // 2, (width + 1) // 2)
    uv = np.dstack([flat(*half, u), flat(*half, v)])
    even = width // 2 * 2
    yuyv = np.dstack([flat(height, even, y), np.tile([u, v], (height, even // 2))]).astype(np.uint8)
    for pixel_format, planes in (
        (PixelFormat.I420, (flat(height, width, y), flat(*half, u), flat(*half, v))),
        (PixelFormat.NV12, (flat(height, width, y), uv)),
        (PixelFormat.YUYV, (yuyv,)),
    ):
        picture = as_bgr(frame_of(pixel_format, *planes, matrix=matrix, full_range=full_range))
        assert picture.shape[0] == height
        assert np.abs(picture.astype(int) - (0, 0, 255)).max() <= 2


def test_several_threads_get_their_own_pictures():
    grey = [frame_of(PixelFormat.GRAY8, flat(60, 80, level)) for level in range(0, 250, 10)]
    right = []

    def convert(frame):
        right.extend(bool(np.all(as_bgr(frame) == frame.data[0, 0])) for _ in range(50))

    threads = [threading.Thread(target=convert, args=(frame,)) for frame in grey]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 50 * len(grey)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match="8 to 8192"):
        as_bgr(frame_of(PixelFormat.GRAY8, flat(4, 4, 0)))
