"""The oracle itself, against OpenCV and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support import oracle
from support.pictures import as_frame, bgr_frame, bgr_image, random_frame

from edgehar import PixelFormat
from edgehar.frames import YuvMatrix

SIZES = [(480, 640), (480, 854), (240, 320), (720, 1280)]


def smooth(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth uint8 colour image without saturated colours, so that chroma at half the size loses little."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x * a / width + b) * np.cos(y * c / height + d) for a, b, c, d in rng.uniform(1, 7, (3, 4))]
    return np.clip(128 + 60 * np.stack(waves, axis=-1), 0, 255).astype(np.uint8)


def yuv_planes(cv2: object, image: np.ndarray, pixel_format: PixelFormat) -> object:
    """OpenCV's conversion of a BGR image, BT.601 limited range, as planes."""
    height, width = image.shape[:2]
    packed = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    luma, chroma = packed[:height], packed[height:].reshape(2, height // 2, width // 2)
    if pixel_format is PixelFormat.I420:
        return luma, chroma[0], chroma[1]
    if pixel_format is PixelFormat.NV12:
        return luma, np.ascontiguousarray(np.moveaxis(chroma, 0, -1))
    return cv2.cvtColor(image, cv2.COLOR_BGR2YUV_YUY2)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("name", ["I420", "NV12", "YUYV"])
def test_yuv_agrees_with_opencv(name: str, height: int, width: int) -> None:
    cv2 = pytest.importorskip("cv2")
    pixel_format = PixelFormat[name]
    planes = yuv_planes(cv2, smooth(height, height, width), pixel_format)
    packed = planes if name == "YUYV" else np.concatenate([np.ravel(plane) for plane in planes]).reshape(-1, width)
    code = {"I420": cv2.COLOR_YUV2RGB_I420, "NV12": cv2.COLOR_YUV2RGB_NV12, "YUYV": cv2.COLOR_YUV2RGB_YUY2}[name]
    want = cv2.resize(cv2.cvtColor(packed, code), (60, 60), interpolation=cv2.INTER_AREA)
    got = oracle.shrunk(as_frame(planes, pixel_format), 60, 60)
    assert np.ptp(want) > 60
    assert np.abs(got.astype(int) - want).max() <= 3


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_packed_pixels_agree_with_opencv(height: int, width: int) -> None:
    cv2 = pytest.importorskip("cv2")
    image = bgr_image(height, height, width)
    want = cv2.resize(image, (60, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(oracle.shrunk(bgr_frame(image), 60, 60)[..., ::-1].astype(int) - want).max() <= 1
    bgra = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    for data, name in ((bgra, "BGRA32"), (bgra[..., [2, 1, 0, 3]], "RGBA32"), (image[..., ::-1], "RGB24")):
        got = oracle.shrunk(as_frame(data, PixelFormat[name]), 60, 60)
        assert np.abs(got[..., ::-1].astype(int) - want).max() <= 1


# Black, white and the primaries as the standards define them (ITU-R BT.601 and BT.709, 8 bits).
@pytest.mark.parametrize(
    ("matrix", "full_range", "yuv", "rgb"),
    [
        ("BT601", False, (16, 128, 128), (0, 0, 0)),
        ("BT601", False, (235, 128, 128), (255, 255, 255)),
        ("BT601", False, (81, 90, 240), (255, 0, 0)),
        ("BT601", False, (145, 54, 34), (0, 255, 0)),
        ("BT601", False, (41, 240, 110), (0, 0, 255)),
        ("BT709", False, (235, 128, 128), (255, 255, 255)),
        ("BT709", False, (63, 102, 240), (255, 0, 0)),
        ("BT709", False, (173, 42, 26), (0, 255, 0)),
        ("BT709", False, (32, 240, 118), (0, 0, 255)),
        ("BT601", True, (0, 128, 128), (0, 0, 0)),
        ("BT601", True, (255, 128, 128), (255, 255, 255)),
        ("BT601", True, (76, 85, 255), (254, 0, 0)),
        ("BT709", True, (54, 99, 255), (254, 0, 0)),
    ],
)
def test_colours_of_the_standards(
    matrix: str, full_range: bool, yuv: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    steps = 256 * np.array([[yuv]])
    levels = oracle.yuv_to_levels(steps, YuvMatrix[matrix], full_range)[0, 0]
    assert np.abs(levels.astype(int) - rgb).max() <= 2
    unrounded = oracle.yuv_to_rgb(steps / 256, YuvMatrix[matrix], full_range)[0, 0]
    assert np.abs(unrounded - levels).max() <= 0.6


@pytest.mark.parametrize("pixel_format", oracle.YUV_FORMATS)
@pytest.mark.parametrize("full_range", [False, True])
def test_rounding_costs_less_than_a_level(pixel_format: PixelFormat, full_range: bool) -> None:
    for matrix in YuvMatrix:
        frame = random_frame(7, pixel_format, 48, 64, matrix=matrix, full_range=full_range)
        rounded, unrounded = (oracle.shrunk(frame, 9, 11, rounded=r) for r in (True, False))
        assert np.abs(rounded - unrounded).max() < 0.51


def test_averages_worked_out_by_hand() -> None:
    levels = np.array([[[0], [4], [8]]])
    assert oracle.area_average(levels, 1, 2).tolist() == [[[1], [7]]]  # (0 + 2) / 1.5 and (2 + 8) / 1.5
    assert oracle.area_average(np.array([[[0], [1]]]), 1, 1).tolist() == [[[1]]]  # a half, upwards
    assert oracle.area_average(np.array([[[7]]]), 2, 3).tolist() == [[[7]] * 3] * 2
    assert oracle.rounded_average(np.array([[[0], [1]]]), 1, 1, 256).tolist() == [[[128]]]


def test_chroma_is_repeated_and_cut() -> None:
    luma = np.zeros((3, 3), np.uint8)
    blue = np.array([[1, 2], [3, 4]], np.uint8)
    want = [[1, 1, 2], [1, 1, 2], [3, 3, 4]]
    i420 = oracle.samples(as_frame((luma, blue, blue + 4), PixelFormat.I420))
    nv12 = oracle.samples(as_frame((luma, np.stack([blue, blue + 4], axis=-1)), PixelFormat.NV12))
    for planes in (i420, nv12):
        assert planes[..., 1].tolist() == want
        assert (planes[..., 2] == planes[..., 1] + 4).all()
    yuyv = oracle.samples(as_frame(np.arange(8, dtype=np.uint8).reshape(1, 4, 2), PixelFormat.YUYV))
    assert yuyv.tolist() == [[[0, 1, 3], [2, 1, 3], [4, 5, 7], [6, 5, 7]]]


def test_fitted_rectangles() -> None:
    assert oracle.fitted(60, 60, 480, 640) == (480, 480)
    assert oracle.fitted(480, 640, 60, 60) == (45, 60)
    assert oracle.fitted(640, 480, 60, 60) == (60, 45)
    assert oracle.fitted(9, 16, 60, 60) == (34, 60)  # 33.75
    assert oracle.fitted(1, 72, 8, 300) == (4, 300)  # 4.17
    assert oracle.fitted(8, 8192, 4, 4) == (1, 4)  # never nothing
    frame = random_frame(1, PixelFormat.GRAY8, 32, 64)
    small = oracle.shrunk(frame, 9, 10, crop="letterbox")
    assert (small[:2] == 0).all()  # 4 rows of 9 are left over: 2 above, 2 below
    assert (small[7:] == 0).all()
    assert (small[2:7] == oracle.shrunk(frame, 5, 10)).all()
    middle = as_frame(frame.data[:, 14:50], PixelFormat.GRAY8)  # 35.56 columns
    assert (oracle.shrunk(frame, 9, 10, crop="center") == oracle.shrunk(middle, 9, 10)).all()
    right = as_frame(frame.data[:, 16:], PixelFormat.GRAY8)
    assert (oracle.shrunk(frame, 9, 10, region=(0.25, 0, 0.75, 1)) == oracle.shrunk(right, 9, 10)).all()
