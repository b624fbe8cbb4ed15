"""FrameRing against the oracle: every pixel format, memory layout and size, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracle
from support.pictures import FRAMES, TARGETS, as_frame, bgr_frame, bgr_image, random_frame, shrunk

from edgehar import Frame, PixelFormat
from edgehar.frames import YuvMatrix

FLOAT_TOLERANCE = 1e-4 / 255  # a ten-thousandth of a level
FORMATS = pytest.mark.parametrize("pixel_format", list(PixelFormat), ids=lambda f: f.value)


def assert_equals_the_oracle(frame: Frame, height: int, width: int) -> None:
    want = oracle.ring_frames([frame], height, width, "uint8")[0]
    np.testing.assert_array_equal(shrunk(frame, height, width, "uint8"), want)
    np.testing.assert_array_equal(shrunk(frame, height, width, "int8"), want.astype(np.int16) - 128)
    averages = oracle.ring_frames([frame], height, width, "float32")[0]
    got = shrunk(frame, height, width, "float32")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, averages, rtol=0, atol=FLOAT_TOLERANCE)


@settings(max_examples=500)
@given(FRAMES, TARGETS, TARGETS)
def test_any_frame_equals_the_oracle(frame: Frame, height: int, width: int) -> None:
    assert_equals_the_oracle(frame, height, width)


@FORMATS
@pytest.mark.parametrize(
    ("height", "width"),
    [
        (120, 160),
        (240, 320),
        (480, 640),
        (480, 854),
        (479, 641),
        (720, 1280),
        (972, 1296),
        (1080, 1920),
        (1232, 1640),
    ],
)
def test_camera_sizes(pixel_format: PixelFormat, height: int, width: int) -> None:
    frame = random_frame(height, pixel_format, height, width, "padded")
    for side in (60, 64):
        np.testing.assert_array_equal(shrunk(frame, side, side), oracle.shrunk(frame, side, side))


@pytest.mark.parametrize("name", ["BGR24", "NV12", "YUYV"])
def test_a_4k_frame(name: str) -> None:
    frame = random_frame(4, PixelFormat[name], 2160, 3840, "padded")
    np.testing.assert_array_equal(shrunk(frame, 60, 60), oracle.shrunk(frame, 60, 60))


@FORMATS
@pytest.mark.parametrize(
    ("h", "w", "height", "width"),
    [
        (257, 1000, 60, 60),  # 255 times the rows of a sum is the last that fits 16 bits
        (258, 1000, 257, 1),  # and the first that does not
        (514, 300, 60, 60),
        (516, 300, 60, 60),
        (1543, 257, 6, 256),
        (8192, 11, 7, 64),
        (8191, 101, 3, 5),
        (11, 8192, 64, 7),
        (9, 8191, 100, 96),
        (8, 8, 1, 1),
        (8, 8, 96, 96),
        (9, 9, 1, 1),
        (60, 60, 60, 60),
        (61, 61, 60, 60),
        (9, 1023, 100, 8),
        (32, 64, 2, 4),  # 256 pixels under one: white ones just fit 16 bits
        (12, 86, 2, 2),  # 258 pixels under one
        (12, 172, 2, 2),  # and under half of one
    ],
)
def test_awkward_sizes(pixel_format: PixelFormat, h: int, w: int, height: int, width: int) -> None:
    frame = random_frame(h * w, pixel_format, h, w)
    assert_equals_the_oracle(frame, height, width)
    planes = frame.data if isinstance(frame.data, tuple) else (frame.data,)
    white = [np.full_like(plane, 255) for plane in planes]
    same = as_frame(white[0] if len(white) == 1 else tuple(white), pixel_format)
    np.testing.assert_array_equal(shrunk(same, height, width), oracle.shrunk(same, height, width))


@FORMATS
@pytest.mark.parametrize("cells", [1, 2, 3, 4, 6, 7, 12])
def test_columns_of_whole_pixels(pixel_format: PixelFormat, cells: int) -> None:
    """Columns of equally many whole pixels are summed without weights, for luma, for chroma or for both."""
    for rows, width in ((20, 34), (41, 33)):
        frame = random_frame(cells, pixel_format, rows, 2 * (cells * width // 2), "padded")
        assert_equals_the_oracle(frame, 20, width)


@FORMATS
@pytest.mark.parametrize(("height", "width"), [(61, 67), (1, 1)])
def test_the_largest_frame_does_not_overflow(pixel_format: PixelFormat, height: int, width: int) -> None:
    few = random_frame(3, pixel_format, 8, 8192, "repeated", full_range=True)
    planes = few.data if isinstance(few.data, tuple) else (few.data,)
    for white in (False, True):  # each frame is one row in memory, many times
        rows = [np.full_like(p[:1], 255) if white else p[:1] for p in planes]
        tall = [np.broadcast_to(r, (p.shape[0] * 1024, *p.shape[1:])) for r, p in zip(rows, planes, strict=True)]
        low = [np.broadcast_to(r, p.shape) for r, p in zip(rows, planes, strict=True)]
        frame, same = (as_frame(p[0] if len(p) == 1 else tuple(p), pixel_format) for p in (tall, low))
        want = np.broadcast_to(oracle.shrunk(same, 1, width), (height, width, 3))
        np.testing.assert_array_equal(shrunk(frame, height, width), want)


def test_halves_round_up() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2] = 1
    assert (shrunk(image, 1, 1) == 1).all()
    image[0, 0] = 0
    assert (shrunk(image, 1, 1) == 0).all()


def test_the_largest_sum_below_a_half_is_rounded_down() -> None:
    image = np.zeros((8191, 8191), np.uint8)
    below = image.size // 2
    for ones in (below, below + 1):
        image.reshape(-1)[:ones] = 1
        assert (shrunk(as_frame(image, PixelFormat.GRAY8), 1, 1) == ones - below).all()


def test_the_largest_sum_below_half_a_step_of_luma_is_rounded_down() -> None:
    """Averages of Y are rounded to 1/256: 127.5 of them is a half more than the last that becomes level 0."""
    luma = np.zeros((8191, 7937), np.uint8)
    below, rest = divmod(255 * luma.size, 512)
    assert rest == 1  # below / size * 256 is 127.5 - 1 / (2 * size)
    grey = np.full((4096, 3969, 2), 128, np.uint8)
    for ones in (below, below + 1):
        luma.reshape(-1)[:ones] = 1
        got = shrunk(as_frame((luma, grey), PixelFormat.NV12, full_range=True), 1, 1)
        assert (got == ones - below).all()


@settings(max_examples=60)
@given(
    st.sampled_from(oracle.YUV_FORMATS),
    st.sampled_from(YuvMatrix),
    st.booleans(),
    st.tuples(*[st.integers(0, 255)] * 3),
)
def test_flat_colours_of_yuv(
    pixel_format: PixelFormat, matrix: YuvMatrix, full_range: bool, colour: tuple[int, int, int]
) -> None:
    y, u, v = (np.full((8, 8), level, np.uint8) for level in colour)
    data = {
        PixelFormat.I420: (y, u[:4, :4], v[:4, :4]),
        PixelFormat.NV12: (y, np.stack([u, v], axis=-1)[:4, :4]),
        PixelFormat.YUYV: np.stack([y, np.where(np.arange(8) % 2, v, u)], axis=-1),
    }[pixel_format]
    want = oracle.yuv_to_levels(256 * np.array(colour), matrix, full_range)
    got = shrunk(as_frame(data, pixel_format, matrix, full_range), 3, 3)
    assert (got == want).all()


def test_planes_of_one_buffer() -> None:
    """As picamera2 gives them: rows of Y, then U, then V, in one array; chroma rows are half as far apart."""
    height, width, stride = 36, 50, 64
    buffer = np.random.default_rng(0).integers(0, 256, height * 3 // 2 * stride, np.uint8)
    luma = buffer[: height * stride].reshape(height, stride)[:, :width]
    chroma = buffer[height * stride :].reshape(2, height // 2, stride // 2)[:, :, : width // 2]
    assert_equals_the_oracle(as_frame((luma, chroma[0], chroma[1]), PixelFormat.I420), 20, 20)
    pairs = buffer[height * stride :].reshape(height // 2, stride // 2, 2)[:, : width // 2]
    assert_equals_the_oracle(as_frame((luma, pairs), PixelFormat.NV12), 20, 20)


def test_a_plain_array_is_bgr() -> None:
    image = bgr_image(2, 30, 40)
    np.testing.assert_array_equal(shrunk(image, 9, 9), shrunk(bgr_frame(image), 9, 9))


def test_pixels_that_are_not_adjacent_are_read_too() -> None:
    image = bgr_image(5, 60, 80)
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    readonly = image.copy()
    readonly.flags.writeable = False
    for view in (image[::2, ::2], image[:, ::-1], image[..., ::-1], np.moveaxis(planes, 0, -1), readonly):
        np.testing.assert_array_equal(shrunk(view, 12, 13), oracle.area_average(view[..., ::-1], 12, 13))


@FORMATS
def test_planes_whose_samples_are_not_adjacent_are_read_too(pixel_format: PixelFormat) -> None:
    frame = random_frame(5, pixel_format, 40, 60)
    planes = frame.data if isinstance(frame.data, tuple) else (frame.data,)
    apart = []
    for plane in planes:
        buffer = np.zeros((plane.shape[0], 2 * plane.shape[1], *plane.shape[2:]), np.uint8)
        buffer[:, ::2] = plane
        apart.append(buffer[:, ::2])
    same = as_frame(apart[0] if len(apart) == 1 else tuple(apart), pixel_format)
    np.testing.assert_array_equal(shrunk(same, 12, 13), shrunk(frame, 12, 13))


@FORMATS
def test_rows_may_overlap(pixel_format: PixelFormat) -> None:
    """Rows fewer bytes apart than a row is long: numpy makes such views, and all their bytes are there."""
    frame = random_frame(6, pixel_format, 20, 30)
    planes = frame.data if isinstance(frame.data, tuple) else (frame.data,)
    overlapping = [np.lib.stride_tricks.as_strided(p, p.shape, (p.shape[1] // 2, *p.strides[1:])) for p in planes]
    data = overlapping[0] if len(overlapping) == 1 else tuple(overlapping)
    assert_equals_the_oracle(as_frame(data, pixel_format), 7, 7)


@pytest.mark.parametrize(("h", "w"), [(480, 640), (479, 641), (720, 1280), (121, 161), (1080, 1920), (64, 333)])
def test_within_one_level_of_opencv_when_shrinking(h: int, w: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = bgr_image(h + w, h, w)
    for side in (60, 64):
        want = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)[..., ::-1].astype(int)
        assert np.abs(shrunk(image, side, side).astype(int) - want).max() <= 1
