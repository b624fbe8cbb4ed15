"""What FrameRing refuses, and how it says so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.pictures import as_frame, plane_shapes

from edgehar import Frame, FrameRing, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAN, INFINITY = float("nan"), float("inf")
ROW = np.zeros((8, 8), np.uint8)
HALF = np.zeros((4, 4), np.uint8)
PAIRS = np.zeros((4, 4, 2), np.uint8)


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
        (
            as_frame(np.zeros((8, 8, 3), np.uint8), PixelFormat.GRAY8),
            ValueError,
            "GRAY8 must have shape .height, width.; got .8, 8, 3",
        ),
        (as_frame(np.zeros((8, 8), np.uint8), PixelFormat.BGR24), ValueError, "got .8, 8"),
        (as_frame(np.zeros((8, 8, 3), np.uint8), "nv12"), ValueError, "PixelFormat; got 'nv12'"),
        (as_frame((ROW, PAIRS), PixelFormat.NV12, "bt709"), ValueError, "YuvMatrix; got 'bt709'"),
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


def frames_with_one_wrong_plane(pixel_format: PixelFormat, wrong: Callable[[np.ndarray], list[Any]]) -> Iterator[Frame]:
    """A 12x10 frame of which each plane in turn is replaced by each of `wrong(plane)`."""
    planes = [np.zeros(shape, np.uint8) for shape in plane_shapes(pixel_format, 10, 12)]
    for number, plane in enumerate(planes):
        for other in wrong(plane):
            changed = [*planes[:number], other, *planes[number + 1 :]]
            yield as_frame(changed[0] if len(changed) == 1 else tuple(changed), pixel_format)


FORMATS = pytest.mark.parametrize("pixel_format", list(PixelFormat), ids=lambda f: f.value)


@FORMATS
def test_planes_of_another_shape_are_refused(pixel_format: PixelFormat) -> None:
    ring = FrameRing(1, 6, 6)
    has_chroma = len(plane_shapes(pixel_format, 8, 8)) > 1

    def wrong(plane: np.ndarray) -> list[Any]:
        others = [plane[..., None], plane[0], plane[:0], plane[:, :0], np.zeros((), np.uint8), plane[:4, :4]]
        return others + ([plane[:-2], plane[:, :-2]] if has_chroma else [])

    for frame in frames_with_one_wrong_plane(pixel_format, wrong):
        with pytest.raises(ValueError, match=r"shape|pixels|wide and"):
            ring.push(frame)
    assert ring.count == 0


@FORMATS
def test_planes_of_another_type_are_refused(pixel_format: PixelFormat) -> None:
    ring = FrameRing(1, 6, 6)
    for frame in frames_with_one_wrong_plane(
        pixel_format, lambda plane: [plane.astype(dtype) for dtype in ("i1", "u2", ">u2", "f4", "?", "M8[s]", object)]
    ):
        with pytest.raises(TypeError, match="uint8"):
            ring.push(frame)
    for frame in frames_with_one_wrong_plane(pixel_format, lambda plane: [None, "plane", 7, plane.tolist()]):
        with pytest.raises(TypeError, match=r"got \w+"):
            ring.push(frame)
    assert ring.count == 0


@pytest.mark.parametrize(
    ("data", "pixel_format", "error"),
    [
        ((), "I420", TypeError),
        ((ROW, HALF), "I420", TypeError),
        ((ROW, HALF, HALF, HALF), "I420", TypeError),
        (ROW, "I420", TypeError),
        ([ROW, HALF, HALF], "I420", TypeError),
        ((ROW, PAIRS, PAIRS), "NV12", TypeError),
        ((ROW,), "NV12", TypeError),
        (ROW, "NV12", TypeError),
        ([ROW, PAIRS], "NV12", TypeError),
        ((ROW, PAIRS[..., :1]), "NV12", ValueError),
        ((ROW,), "GRAY8", TypeError),
        ((np.zeros((8, 8, 3), np.uint8),), "BGR24", TypeError),
        (np.zeros((8, 9, 2), np.uint8), "YUYV", ValueError),
        (np.zeros((8, 16), np.uint8), "YUYV", ValueError),
        ((np.zeros((9, 9), np.uint8), HALF, HALF), "I420", ValueError),
        ((np.zeros((9, 9), np.uint8), PAIRS), "NV12", ValueError),
        ((np.zeros((7, 16), np.uint8), np.zeros((4, 8), np.uint8), np.zeros((4, 8), np.uint8)), "I420", ValueError),
    ],
)
def test_planes_that_make_no_frame_are_refused(data: Any, pixel_format: str, error: type[Exception]) -> None:
    ring = FrameRing(1, 6, 6)
    with pytest.raises(error, match=r"\w+ .+"):
        ring.push(as_frame(data, PixelFormat[pixel_format]))
    with pytest.raises(error):
        ring.shrink_into(as_frame(data, PixelFormat[pixel_format]), np.zeros((6, 6, 3), np.int8))
    assert ring.count == 0


@pytest.mark.parametrize("crop", ["stretch", "center", "letterbox"])
def test_a_region_of_no_pixels_is_refused(crop: str) -> None:
    ring = FrameRing(1, 6, 6, crop=crop, region=(0.5, 0.5, 0.01, 0.5))
    with pytest.raises(ValueError, match="region"):
        ring.push(np.zeros((8, 8, 3), np.uint8))
    assert ring.count == 0
    assert ring.push(np.zeros((8, 300, 3), np.uint8)) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"crop": "fill"}, ValueError, "crop must be.*'fill'"),
        ({"crop": None}, ValueError, "crop"),
        ({"region": (0, 0, 1)}, ValueError, "region"),
        ({"region": 0.5}, ValueError, "region must be four numbers"),
        ({"region": "left"}, ValueError, "region"),
        ({"region": ("a", 0, 1, 1)}, ValueError, "region"),
        ({"region": (0, 0, 1.01, 1)}, ValueError, "region"),
        ({"region": (0.5, 0, 0.6, 1)}, ValueError, "region"),
        ({"region": (0, 0.5, 1, 0.6)}, ValueError, "region"),
        ({"region": (-0.1, 0, 1, 1)}, ValueError, "region"),
        ({"region": (0, 0, 0, 1)}, ValueError, "region"),
        ({"region": (0, 0, 1, -0.5)}, ValueError, "region"),
        ({"region": (0, 0, NAN, 1)}, ValueError, "region"),
        ({"region": (NAN, 0, 1, 1)}, ValueError, "region"),
        ({"region": (0, 0, INFINITY, 1)}, ValueError, "region"),
        ({"region": (1e300, 0, 1e300, 1)}, ValueError, "region"),
        ({"dtype": "float32", "mean": (0, 0)}, ValueError, "mean"),
        ({"dtype": "float32", "mean": 0.5}, ValueError, "mean and std must be three numbers each"),
        ({"dtype": "float32", "mean": (0, 0, NAN)}, ValueError, "mean"),
        ({"dtype": "float32", "mean": (0, 0, "1")}, ValueError, "mean"),
        ({"dtype": "float32", "std": (1, 1, 1, 1)}, ValueError, "std"),
        ({"dtype": "float32", "std": (1, 0, 1)}, ValueError, "std"),
        ({"dtype": "float32", "std": (1, -1, 1)}, ValueError, "std"),
        ({"dtype": "float32", "std": (1, INFINITY, 1)}, ValueError, "std"),
        ({"dtype": "int8", "mean": (0.5, 0.5, 0.5)}, ValueError, "float32"),
        ({"dtype": "float32", "motion": "grey-difference", "std": (0.5, 0.5, 0.5)}, ValueError, "without motion"),
        ({"dtype": "uint8", "std": (0.5, 0.5, 0.5)}, ValueError, "float32"),
    ],
)
def test_bad_crops_regions_and_normalisations_are_named(
    arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        FrameRing(**{"window": 2, "height": 6, "width": 6, **arguments})


def test_a_closed_ring_refuses_frames_and_leaves_views_alone() -> None:
    frame, out = np.full((8, 8, 3), 5, np.uint8), np.zeros((6, 6, 3), np.int8)
    for motion in ("none", "grey-difference"):
        with FrameRing(1, 6, 6, zero_point=0, motion=motion) as ring:
            ring.push(frame)
            view = ring.latest()
            kept = view.copy()
        ring.close()
        for call in (lambda: ring.push(frame), lambda: ring.shrink_into(frame, out)):
            with pytest.raises(ValueError, match="closed"):
                call()
        for read in (ring.window, ring.latest):
            with pytest.raises(RuntimeError):
                read()
        ring.reset()
        with pytest.raises(ValueError, match="closed"):
            ring.push(frame)
        assert (view == kept).all()
        assert ring.count == 0


def test_a_ring_may_be_closed_while_frames_are_pushed() -> None:
    frames = [np.full((h, 640, 3), 5, np.uint8) for h in (400, 480)]
    refused: list[str] = []
    for _ in range(20):
        ring = FrameRing(2, 60, 60)
        pushed = threading.Event()

        def push(ring: FrameRing = ring, pushed: threading.Event = pushed) -> None:
            while True:
                try:
                    ring.push(frames[ring.count % 2])
                except ValueError as error:
                    refused.append(str(error))
                    return
                pushed.set()

        thread = threading.Thread(target=push)
        thread.start()
        pushed.wait()
        ring.close()
        thread.join()
        assert ring.count == 0
    assert refused == ["it is closed"] * 20
