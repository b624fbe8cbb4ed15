"""FrameRing's contracts: order, views, memory, threads."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracle
from support.pictures import bgr_frame, random_frame

from edgehar import FrameRing, PixelFormat


@settings(max_examples=40)
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
            want = oracle.ring_frames([bgr_frame(np.full((8, 9, 3), n, np.uint8)) for n in levels], 3, 4, dtype)
            np.testing.assert_allclose(view, want, rtol=0, atol=1e-6 if dtype == "float32" else 0)
            np.testing.assert_array_equal(view[-1], ring.latest())


def test_frames_of_changing_size_and_format_share_one_ring() -> None:
    sizes = [(48, 64), (8, 8), (479, 642), (48, 64)]
    frames = [
        random_frame(1, f, *size, full_range=full) for size in sizes for f in PixelFormat for full in (False, True)
    ]
    ring = FrameRing(len(frames), 10, 11, dtype="uint8")
    for frame in frames:
        ring.push(frame)
    np.testing.assert_array_equal(ring.window(), oracle.ring_frames(frames, 10, 11, "uint8"))


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


def allocated(step: Callable[[], object]) -> tuple[int, int]:
    """Return bytes kept and peak of 300 steps. Threads of other tests may add to them: take the least of several."""
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(300):
            step()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return now - base, peak - base


@pytest.mark.parametrize("pixel_format", list(PixelFormat), ids=lambda f: f.value)
@pytest.mark.parametrize("motion", ["none", "grey-difference"])
def test_a_push_allocates_nothing(pixel_format: PixelFormat, motion: str) -> None:
    ring = FrameRing(20, 60, 60, motion=motion)
    image = random_frame(0, pixel_format, 120, 160, "padded")
    out = np.empty((1, 60, 60, 3), np.int8)
    for _ in range(3):
        ring.push(image)
        ring.shrink_into(image, out)
    used = [allocated(lambda: (ring.push(image), ring.shrink_into(image, out))) for _ in range(5)]
    assert min(kept for kept, _ in used) < 1000
    assert min(peak for _, peak in used) < 4000  # call frames and small integers, no buffer


def test_the_gil_is_released_while_a_frame_is_shrunk() -> None:
    ring = FrameRing(1, 60, 60)
    image = np.broadcast_to(np.uint8([[[1, 2, 3]]]).repeat(8191, axis=1), (8191, 8191, 3))
    ticks: deque[float] = deque(maxlen=100_000)
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    def seen_within_a_push() -> bool:
        """Whether the other thread ran well inside a push: away from both ends, where this thread holds the GIL."""
        start = time.perf_counter()
        ring.push(image)
        quarter = (time.perf_counter() - start) / 4
        return any(start + quarter < at < start + 3 * quarter for at in list(ticks))

    ticking = threading.Thread(target=tick)
    ticking.start()
    # On a busy machine the other thread may get no processor during a push.
    seen = any(seen_within_a_push() for _ in range(1000))
    done.set()
    ticking.join()
    assert seen


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


def test_frames_that_are_refused_do_not_disturb_other_threads() -> None:
    ring = FrameRing(4, 16, 16, dtype="uint8")
    bad = [np.zeros((7, 40, 3), np.uint8), np.zeros((20, 40), np.uint8), np.zeros((20, 40, 3), np.int8), None]
    stop = threading.Event()
    refused: list[Exception] = []

    def push_bad() -> None:
        while not stop.is_set():
            for frame in bad:
                with pytest.raises((TypeError, ValueError)) as caught:
                    ring.push(frame)
                refused.append(caught.value)

    thread = threading.Thread(target=push_bad)
    thread.start()
    good = np.full((24, 40, 3), 9, np.uint8)
    indices = [ring.push(good) for _ in range(500)]
    stop.set()
    thread.join()
    assert refused
    assert indices == list(range(500))
    assert (ring.window() == 9).all()


def test_the_window_may_be_read_while_frames_are_pushed() -> None:
    ring = FrameRing(4, 16, 16, dtype="uint8")
    frames = [np.full((24, 40, 3), level, np.uint8) for level in (10, 20, 30)]
    for _ in range(4):
        ring.push(frames[0])
    done = threading.Event()

    def push() -> None:
        for number in range(2000):
            ring.push(frames[number % 3])
        done.set()

    thread = threading.Thread(target=push)
    thread.start()
    while not done.is_set():
        for view in (ring.window(), ring.latest()):
            assert set(np.unique(view)) <= {10, 20, 30}  # of older or newer frames, but always of frames
    thread.join()
    assert ring.count == 2004


def test_rings_in_two_threads_share_nothing() -> None:
    frame = random_frame(1, PixelFormat.I420, 240, 320)
    want = oracle.ring_frames([frame], 60, 60, "uint8")[0]
    results: list[bool] = []

    def work() -> None:
        ring = FrameRing(2, 60, 60, dtype="uint8")
        for _ in range(100):
            ring.push(frame)
            results.append(bool((ring.latest() == want).all()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 300
