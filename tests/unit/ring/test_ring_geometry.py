"""FrameRing's crop and region, against the oracle and against frames cut by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import oracle
from support.pictures import FRAMES, SEEDS, SIDES, TARGETS, as_frame, bgr_image, random_frame, shrunk

from edgehar import Frame, FrameRing, PixelFormat

CROPS = ("stretch", "center", "letterbox")
SHARES = st.one_of(st.floats(0, 1), st.integers(0, 16).map(lambda n: n / 16))
SPANS = st.tuples(SHARES, SHARES).map(sorted).filter(lambda span: span[0] < span[1])
REGIONS = st.one_of(
    st.none(),
    st.builds(lambda x, y: (x[0], y[0], min(x[1] - x[0], 1 - x[0]), min(y[1] - y[0], 1 - y[0])), SPANS, SPANS),
)
DTYPES = st.sampled_from(["int8", "uint8", "float32"])


@settings(max_examples=400)
@given(FRAMES, TARGETS, TARGETS, st.sampled_from(CROPS), REGIONS, DTYPES)
def test_crop_and_region_equal_the_oracle(
    frame: Frame, height: int, width: int, crop: str, region: Any, dtype: str
) -> None:
    assume(region is None or oracle.region_of(oracle.samples(frame), region).size > 0)
    want = oracle.ring_frames([frame], height, width, dtype, crop=crop, region=region)[0]
    got = shrunk(frame, height, width, dtype, crop=crop, region=region)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 / 255 if dtype == "float32" else 0)


@settings(max_examples=80)
@given(SEEDS, SIDES, SIDES, st.data())
def test_a_region_of_whole_pixels_is_a_slice(seed: int, h: int, w: int, data: st.DataObject) -> None:
    image = bgr_image(seed, h, w)
    top, left = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    rows, columns = data.draw(st.integers(1, h - top)), data.draw(st.integers(1, w - left))
    got = shrunk(image, 11, 12, region=(left / w, top / h, columns / w, rows / h))
    want = oracle.area_average(image[top : top + rows, left : left + columns, ::-1], 11, 12)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("pixel_format", list(PixelFormat), ids=lambda f: f.value)
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize(("h", "w"), [(480, 640), (640, 480), (479, 641), (720, 1280), (97, 1201)])
def test_crops_of_camera_sizes(pixel_format: PixelFormat, crop: str, h: int, w: int) -> None:
    frame = random_frame(h, pixel_format, h, w, "padded")
    for region in (None, (0.25, 0.1, 0.5, 0.9)):
        want = oracle.ring_frames([frame], 60, 60, "int8", crop=crop, region=region)[0]
        np.testing.assert_array_equal(shrunk(frame, 60, 60, "int8", crop=crop, region=region), want)


@pytest.mark.parametrize(("dtype", "black"), [("uint8", 0), ("int8", -5), ("float32", -0.5)])
def test_the_bars_of_a_letterbox_are_black_as_the_network_sees_it(dtype: str, black: float) -> None:
    options: dict[str, Any] = {"int8": {"zero_point": -5}, "float32": {"mean": (0.25,) * 3, "std": (0.5,) * 3}}
    frame = np.full((20, 40, 3), 255, np.uint8)
    ring = FrameRing(2, 8, 8, dtype=dtype, crop="letterbox", **options.get(dtype, {}))
    out = np.full((8, 8, 3), 77, dtype)
    ring.shrink_into(frame, out)
    for _ in range(3):
        ring.push(frame)
    for image in (out, *ring.window()):
        assert (image[:2] == black).all()
        assert (image[6:] == black).all()
        assert (image[2:6] != black).all()


def test_the_bars_of_a_letterbox_follow_the_shape_of_the_frame() -> None:
    frames = [np.full((h, w, 3), 200, np.uint8) for h, w in [(20, 40), (40, 20), (30, 30), (20, 40)]]
    ring = FrameRing(4, 8, 8, dtype="uint8", crop="letterbox")
    for _ in range(2):
        for frame in frames:
            ring.push(frame)
    want = oracle.ring_frames([as_frame(f, PixelFormat.BGR24) for f in frames], 8, 8, "uint8", crop="letterbox")
    np.testing.assert_array_equal(ring.window(), want)


@pytest.mark.parametrize("crop", CROPS)
def test_motion_in_a_crop(crop: str) -> None:
    frames = [random_frame(i, PixelFormat.NV12, 33, 51) for i in range(4)]
    options: dict[str, Any] = {"crop": crop, "region": (0.1, 0.2, 0.8, 0.7)}
    for dtype in ("int8", "float32"):
        ring = FrameRing(4, 12, 10, dtype=dtype, motion="grey-difference", **options)
        for frame in frames:
            ring.push(frame)
        want = oracle.ring_frames(frames, 12, 10, dtype, motion_input="grey-difference", **options)
        np.testing.assert_allclose(ring.window(), want, rtol=0, atol=1e-7 if dtype == "float32" else 0)
