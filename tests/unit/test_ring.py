"""FrameRing against the oracle, and its contracts: views, order, errors, memory, threads."""

from __future__ import annotations

import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehar import Frame, FrameRing, PixelFormat

SIDES = st.integers(8, 300)
TARGETS = st.integers(1, 72)
SEEDS = st.integers(0, 2**32 - 1)


def bgr_image(seed: int, height: int, width: int) -> np.ndarray:
    """Noise whose averages reach the ends of the range: each image has its own black and white shares."""
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(-200, 456, 2))
    return np.clip(rng.integers(low, high + 1, (height, width, 3)), 0, 255).astype(np.uint8)


def as_frame(data: np.ndarray, pixel_format: PixelFormat) -> Frame:
    return Frame(data=data, format=pixel_format, captured_s=0.0, arrived_s=0.0, sequence=0)


def shrunk(frame: Any, height: int, width: int, dtype: str = "uint8", **options: Any) -> np.ndarray:
    ring = FrameRing(1, height, width, dtype=dtype, **options)
    ring.push(frame)
    return ring.latest().copy()


@settings(deadline=None, max_examples=150)
@given(SEEDS, SIDES, SIDES, TARGETS, TARGETS)
def test_levels_equal_the_oracle(seed: int, h: int, w: int, height: int, width: int) -> None:
    image = bgr_image(seed, h, w)
    want = oracle.area_average(image[..., ::-1], height, width)
    np.testing.assert_array_equal(shrunk(image, height, width), want)
    np.testing.assert_array_equal(shrunk(image, height, width, "int8"), want.astype(np.int16) - 128)


@pytest.mark.parametrize(
    ("h", "w", "height", "width"),
    [
        (480, 640, 60, 60),
        (479, 641, 64, 64),
        (720, 1280, 60, 60),
        (1080, 1920, 64, 64),
        (2160, 3840, 60, 60),
        (257, 1000, 60, 60),  # the longest vertical sum that fits 16 bits
        (258, 1000, 257, 1),  # and the next
        (1543, 257, 6, 256),
        (8192, 11, 7, 64),
        (8191, 1021, 3, 5),
        (11, 8192, 64, 7),
        (8, 8, 1, 1),
        (8, 8, 96, 96),
        (60, 60, 60, 60),
        (9, 1023, 100, 8),
    ],
)
def test_levels_of_real_and_awkward_sizes(h: int, w: int, height: int, width: int) -> None:
    image = bgr_image(h * w, h, w)
    np.testing.assert_array_equal(shrunk(image, height, width), oracle.area_average(image[..., ::-1], height, width))


@pytest.mark.parametrize(("height", "width"), [(60, 60), (61, 67), (1, 1)])
def test_the_largest_frame_does_not_overflow(height: int, width: int) -> None:
    row = np.full((1, 8192, 3), 255, np.uint8)
    row[0, ::3] = (254, 255, 0)
    image = np.broadcast_to(row, (8192, 8192, 3))  # one row in memory, 8192 times
    want = np.broadcast_to(oracle.area_average(row[..., ::-1], 1, width), (height, width, 3))
    np.testing.assert_array_equal(shrunk(image, height, width), want)
    white = np.broadcast_to(np.full((1, 8191, 3), 255, np.uint8), (8191, 8191, 3))
    assert (shrunk(white, height, width) == 255).all()


def test_halves_round_up() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2] = 1
    assert (shrunk(image, 1, 1) == 1).all()
    image[0, 0] = 0
    assert (shrunk(image, 1, 1) == 0).all()


@settings(deadline=None, max_examples=60)
@given(SEEDS, SIDES, SIDES, TARGETS, TARGETS)
def test_floats_are_the_unrounded_average(seed: int, h: int, w: int, height: int, width: int) -> None:
    image = bgr_image(seed, h, w)
    got = shrunk(image, height, width, "float32")
    want = oracle.ring_frames([image[..., ::-1]], height, width, "float32")[0]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 / 255)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.floats(1e-4, 2.0), st.integers(-128, 127))
def test_int8_is_quantised_with_scale_and_zero_point(seed: int, scale: float, zero_point: int) -> None:
    image = bgr_image(seed, 24, 32)
    got = shrunk(image, 9, 10, "int8", scale=scale, zero_point=zero_point)
    want = oracle.ring_frames([image[..., ::-1]], 9, 10, "int8", scale, zero_point)[0]
    np.testing.assert_array_equal(got, want)


def test_a_tiny_scale_saturates() -> None:
    got = shrunk(np.full((8, 8, 3), 9, np.uint8), 2, 2, "int8", scale=1e-320, zero_point=0)
    assert (got == 127).all()


def test_scale_and_zero_point_do_not_touch_uint8_and_float32() -> None:
    image = bgr_image(1, 20, 20)
    for dtype in ("uint8", "float32"):
        plain, scaled = shrunk(image, 6, 6, dtype), shrunk(image, 6, 6, dtype, scale=0.5, zero_point=3)
        np.testing.assert_array_equal(plain, scaled)


@settings(deadline=None, max_examples=60)
@given(SEEDS, SIDES, SIDES, TARGETS, st.integers(0, 9), st.booleans(), st.sampled_from(["int8", "uint8", "float32"]))
def test_formats_and_strides(seed: int, h: int, w: int, side: int, pad: int, flipped: bool, dtype: str) -> None:
    wide = bgr_image(seed, h, w + pad)
    image = wide[:, pad // 2 : pad // 2 + w][:: -1 if flipped else 1]
    want = shrunk(np.ascontiguousarray(image), side, side, dtype)
    np.testing.assert_array_equal(shrunk(image, side, side, dtype), want)
    np.testing.assert_array_equal(shrunk(as_frame(image, PixelFormat.BGR24), side, side, dtype), want)
    rgb = np.ascontiguousarray(image[..., ::-1])
    np.testing.assert_array_equal(shrunk(as_frame(rgb, PixelFormat.RGB24), side, side, dtype), want)
    grey = wide[..., 0][:, pad // 2 : pad // 2 + w].copy()[:: -1 if flipped else 1]
    as_colour = np.repeat(grey[..., None], 3, axis=2)
    got = shrunk(as_frame(grey, PixelFormat.GRAY8), side, side, dtype)
    np.testing.assert_array_equal(got, shrunk(as_colour, side, side, dtype))


def test_pixels_that_are_not_adjacent_are_read_too() -> None:
    image = bgr_image(5, 60, 80)
    planes = np.ascontiguousarray(np.moveaxis(image, -1, 0))
    readonly = image.copy()
    readonly.flags.writeable = False
    for view in (image[::2, ::2], image[:, ::-1], image[..., ::-1], np.moveaxis(planes, 0, -1), readonly):
        np.testing.assert_array_equal(shrunk(view, 12, 13), oracle.area_average(view[..., ::-1], 12, 13))
    grey = as_frame(image[..., 1], PixelFormat.GRAY8)
    want = oracle.area_average(np.repeat(image[..., 1:2], 3, axis=2), 12, 13)
    np.testing.assert_array_equal(shrunk(grey, 12, 13), want)


@pytest.mark.parametrize(("h", "w"), [(480, 640), (479, 641), (720, 1280), (121, 161), (1080, 1920), (64, 333)])
def test_within_one_level_of_opencv_when_shrinking(h: int, w: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = bgr_image(h + w, h, w)
    for side in (60, 64):
        want = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)[..., ::-1].astype(int)
        assert np.abs(shrunk(image, side, side).astype(int) - want).max() <= 1


@settings(deadline=None, max_examples=60)
@given(
    SEEDS,
    st.integers(1, 7),
    st.integers(1, 4),
    st.sampled_from(["int8", "float32"]),
    st.floats(1e-3, 1.0),
    st.integers(-128, 127),
)
def test_motion_equals_the_oracle(
    seed: int, length: int, window: int, dtype: str, scale: float, zero_point: int
) -> None:
    images = [bgr_image(seed + i, 19, 23) for i in range(length)]
    want = oracle.ring_frames([i[..., ::-1] for i in images], 6, 7, dtype, scale, zero_point, "grey-difference")
    ring = FrameRing(window, 6, 7, dtype=dtype, scale=scale, zero_point=zero_point, motion="grey-difference")
    for image, expected in zip(images, want, strict=True):
        ring.push(image)
        np.testing.assert_allclose(ring.latest(), expected, rtol=0, atol=1e-7 if dtype == "float32" else 0)


def test_motion_with_one_level_a_step_is_the_clipped_difference() -> None:
    ring = FrameRing(3, 4, 4, zero_point=0, motion="grey-difference")
    for level in (10, 255, 0):
        ring.push(np.full((8, 8, 3), level, np.uint8))
    assert ring.window()[:, 0, 0].tolist() == [[0, 0, 0], [127, 127, 127], [-128, -10, 127]]


def test_motion_forgets_at_reset_and_moves_on_with_shrink_into() -> None:
    images = [bgr_image(i, 16, 16) for i in range(4)]
    want = oracle.ring_frames([i[..., ::-1] for i in images], 5, 5, "int8", 1 / 255, 0, "grey-difference")
    ring = FrameRing(1, 5, 5, zero_point=0, motion="grey-difference")
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


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 25), st.sampled_from(["int8", "uint8", "float32"]))
def test_the_window_is_the_last_frames_in_order(window: int, pushes: int, dtype: str) -> None:
    ring = FrameRing(window, 3, 4, dtype=dtype)
    for number in range(pushes):
        assert ring.count == number
        assert ring.push(np.full((8, 9, 3), number * 5, np.uint8)) == number
        if ring.count < window:
            with pytest.raises(RuntimeError, match=f"takes {window} frames and {number + 1} were pushed"):
                ring.window()
        else:
            view = ring.window()
            assert view.shape == (window, 3, 4, 3)
            assert view.flags.c_contiguous
            levels = [5 * n for n in range(number - window + 1, number + 1)]
            want = oracle.ring_frames([np.full((8, 9, 3), n, np.uint8) for n in levels], 3, 4, dtype)
            np.testing.assert_allclose(view, want, rtol=0, atol=1e-6 if dtype == "float32" else 0)
            np.testing.assert_array_equal(view[-1], ring.latest())


def test_frames_of_changing_size_share_one_ring() -> None:
    images = [bgr_image(i, *size) for i, size in enumerate([(48, 64), (8, 8), (479, 641), (48, 64)])]
    ring = FrameRing(4, 10, 11, dtype="uint8")
    for image in images:
        ring.push(image)
    want = oracle.ring_frames([i[..., ::-1] for i in images], 10, 11, "uint8")
    np.testing.assert_array_equal(ring.window(), want)


def test_views_are_zero_copy_read_only_and_outlive_the_ring() -> None:
    ring = FrameRing(2, 6, 6)
    for level in (10, 20, 30):
        ring.push(np.full((8, 8, 3), level, np.uint8))
    before = ring.window()
    for view in (before, ring.latest()):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 0
    assert np.shares_memory(before, ring.window())
    ring.push(np.full((8, 8, 3), 40, np.uint8))
    assert np.shares_memory(before, ring.window())
    assert np.shares_memory(ring.window(), ring.latest())
    assert before[0, 0, 0, 0] == 40 - 128  # the oldest slot of an older view is written first
    kept = ring.window()
    del ring
    assert kept[:, 0, 0, 0].tolist() == [30 - 128, 40 - 128]


def test_reset_forgets_the_frames() -> None:
    ring = FrameRing(2, 6, 6)
    ring.push(np.zeros((8, 8, 3), np.uint8))
    ring.push(np.zeros((8, 8, 3), np.uint8))
    ring.reset()
    assert ring.count == 0
    for view in (ring.window, ring.latest):
        with pytest.raises(RuntimeError):
            view()
    assert ring.push(np.zeros((8, 8, 3), np.uint8)) == 0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_shrink_into_writes_what_push_stores_and_leaves_the_ring_alone(dtype: str) -> None:
    image = bgr_image(3, 40, 50)
    ring = FrameRing(1, 7, 6, dtype=dtype)
    ring.push(np.zeros((8, 8, 3), np.uint8))
    black = ring.latest().copy()
    for shape in ((7, 6, 3), (1, 7, 6, 3), (1, 1, 7, 6, 3)):
        out = np.full(shape, 77, dtype)
        ring.shrink_into(image, out)
        np.testing.assert_array_equal(out.reshape(7, 6, 3), shrunk(image, 7, 6, dtype))
    np.testing.assert_array_equal(ring.latest(), black)
    assert ring.count == 1


def readonly_output() -> np.ndarray:
    out = np.zeros((6, 6, 3), np.int8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "error", "says"),
    [
        (np.zeros((6, 6, 3), np.uint8), TypeError, "int8 array .6, 6, 3.*got uint8"),
        (np.zeros((6, 7, 3), np.int8), ValueError, "got shape .6, 7, 3"),
        (np.zeros((2, 6, 6, 3), np.int8), ValueError, "got shape .2, 6, 6, 3"),
        (np.zeros((6, 3), np.int8), ValueError, "got shape"),
        (np.zeros((6, 12, 3), np.int8)[:, ::2], ValueError, "C-contiguous"),
        (readonly_output(), ValueError, "writable"),
        ([1, 2, 3], TypeError, "got list"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(out: Any, error: type[Exception], says: str) -> None:
    ring = FrameRing(1, 6, 6, motion="grey-difference")
    with pytest.raises(error, match=says):
        ring.shrink_into(np.zeros((8, 8, 3), np.uint8), out)


@pytest.mark.parametrize(
    ("frame", "error", "says"),
    [
        (np.zeros((1, 1, 3), np.uint8), ValueError, "8 to 8192 pixels wide and high; this one is 1x1"),
        (np.zeros((7, 640, 3), np.uint8), ValueError, "this one is 640x7"),
        (np.zeros((8, 8193, 3), np.uint8), ValueError, "this one is 8193x8"),
        (np.zeros((0, 0, 3), np.uint8), ValueError, "this one is 0x0"),
        (np.zeros((8, 8), np.uint8), ValueError, "shape .height, width, 3.; got .8, 8"),
        (np.zeros((8, 8, 4), np.uint8), ValueError, "got .8, 8, 4"),
        (np.zeros((1, 8, 8, 3), np.uint8), ValueError, "got .1, 8, 8, 3"),
        (np.zeros((8, 8, 3), np.float32), TypeError, "uint8.*got float32"),
        (np.zeros((8, 8, 3), np.int8), TypeError, "uint8.*got int8"),
        (np.zeros((8, 8, 3), ">u2"), TypeError, "uint8.*got"),
        (np.zeros((8, 8, 3), object), TypeError, "uint8.*got"),
        (np.zeros((8, 8, 3), "M8[s]"), TypeError, "uint8"),
        ("frame.png", TypeError, "Frame or a uint8 .H, W, 3. BGR array; got str"),
        (None, TypeError, "got NoneType"),
        (as_frame(np.zeros((8, 8, 3), np.uint8), PixelFormat.GRAY8), ValueError, "for GRAY8; got .8, 8, 3"),
        (as_frame(np.zeros((8, 8), np.uint8), PixelFormat.BGR24), ValueError, "got .8, 8"),
        (as_frame(np.zeros((8, 8, 3), np.uint8), "nv12"), ValueError, "BGR24, RGB24 or GRAY8; got 'nv12'"),
    ],
)
def test_frames_that_cannot_be_read_are_refused(frame: Any, error: type[Exception], says: str) -> None:
    ring = FrameRing(1, 6, 6)
    with pytest.raises(error, match=says):
        ring.push(frame)
    assert ring.count == 0
    assert ring.push(np.zeros((8, 8, 3), np.uint8)) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"window": 0}, ValueError, "window must be 1 to"),
        ({"window": 2.5}, TypeError, "window must be a whole number; got 2.5"),
        ({"height": 0}, ValueError, "height must be 1 to 8192; got 0"),
        ({"width": 8193}, ValueError, "width must be 1 to 8192; got 8193"),
        ({"channels": 1}, ValueError, "channels must be 3"),
        ({"dtype": "int16"}, ValueError, "int8, uint8, float32; got 'int16'"),
        ({"scale": 0.0}, ValueError, "scale must be a positive number"),
        ({"scale": float("nan")}, ValueError, "scale must be a positive number"),
        ({"scale": "1/255"}, ValueError, "scale must be a positive number"),
        ({"zero_point": 128}, ValueError, "zero_point must be -128 to 127; got 128"),
        ({"motion": "flow"}, ValueError, "motion must be 'none' or 'grey-difference'; got 'flow'"),
        ({"motion": "grey-difference", "dtype": "uint8"}, ValueError, "use dtype 'int8' or 'float32'"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        FrameRing(**{"window": 2, "height": 6, "width": 6, **arguments})


@pytest.mark.parametrize("motion", ["none", "grey-difference"])
def test_a_push_allocates_nothing(motion: str) -> None:
    ring = FrameRing(20, 60, 60, motion=motion)
    image = bgr_image(0, 120, 160)
    out = np.empty((1, 60, 60, 3), np.int8)
    for _ in range(3):
        ring.push(image)
        ring.shrink_into(image, out)
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(1000):
            ring.push(image)
            ring.shrink_into(image, out)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now - base < 1000
    assert peak - base < 4000  # call frames and small integers, no buffer


def test_the_gil_is_released_while_a_frame_is_shrunk() -> None:
    ring = FrameRing(1, 60, 60)
    image = np.broadcast_to(np.uint8([[[1, 2, 3]]]).repeat(8191, axis=1), (8191, 8191, 3))
    spans: list[tuple[float, float]] = []
    done = threading.Event()
    ticks: list[float] = []

    def push() -> None:
        for _ in range(3):
            start = time.perf_counter()
            ring.push(image)
            spans.append((start, time.perf_counter()))
        done.set()

    worker = threading.Thread(target=push)
    worker.start()
    while not done.is_set():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    worker.join()
    # A tick well inside a push: away from both ends, where the pushing thread holds the GIL.
    assert any(start + (end - start) / 4 < tick < end - (end - start) / 4 for start, end in spans for tick in ticks)


def test_threads_may_push_at_once() -> None:
    ring = FrameRing(8, 16, 16, dtype="uint8", motion="none")
    images = {n: np.full((24 + n, 40, 3), 10 * n, np.uint8) for n in range(1, 5)}  # each thread another geometry
    indices: list[int] = []

    def push(number: int) -> None:
        indices.extend([ring.push(images[number]) for _ in range(200)])

    threads = [threading.Thread(target=push, args=(n,)) for n in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(indices) == list(range(800))
    for frame in ring.window():
        assert frame.min() == frame.max()
        assert frame[0, 0, 0] in (10, 20, 30, 40)
