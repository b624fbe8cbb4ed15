"""What FrameRing must compute, written for clarity: the reference that tests compare the compiled kernel with.

Images are `(height, width, 3)`, RGB or YUV, levels 0-255. Every sum is an integer, so results are exact.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.frames import Frame, PixelFormat, YuvMatrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]
    Region = tuple[float, float, float, float]

YUV_FORMATS = (PixelFormat.I420, PixelFormat.NV12, PixelFormat.YUYV)
RED_AND_BLUE_WEIGHTS = {
    YuvMatrix.BT601: (Fraction(299, 1000), Fraction(114, 1000)),
    YuvMatrix.BT709: (Fraction(2126, 10000), Fraction(722, 10000)),
}


def samples(frame: Frame) -> Array:
    """The three samples of every pixel, uint8 `(H, W, 3)`: Y, U and V for the YUV formats, else R, G and B.

    A chroma sample is repeated for all the pixels it belongs to.
    """
    data: Any = frame.data
    match frame.format:
        case PixelFormat.BGR24 | PixelFormat.BGRA32:
            return np.stack([data[..., 2], data[..., 1], data[..., 0]], axis=-1)
        case PixelFormat.RGB24 | PixelFormat.RGBA32:
            return np.stack([data[..., 0], data[..., 1], data[..., 2]], axis=-1)
        case PixelFormat.GRAY8:
            return np.stack([data, data, data], axis=-1)
        case PixelFormat.I420:
            luma, chroma = data[0], np.stack(data[1:], axis=-1).repeat(2, axis=0).repeat(2, axis=1)
        case PixelFormat.NV12:
            luma, chroma = data[0], data[1].repeat(2, axis=0).repeat(2, axis=1)
        case PixelFormat.YUYV:
            luma = data[..., 0]
            chroma = np.stack([data[:, 0::2, 1], data[:, 1::2, 1]], axis=-1).repeat(2, axis=1)
    height, width = luma.shape
    return np.concatenate([luma[..., None], chroma[:height, :width]], axis=-1)


def region_of(image: Array, region: Region) -> Array:
    """The pixels of `image` in a region given as shares of it: x, y, width, height."""
    x, y, width, height = region
    rows, columns = image.shape[:2]
    top, bottom = floor(y * rows + 0.5), floor((y + height) * rows + 0.5)
    left, right = floor(x * columns + 0.5), floor((x + width) * columns + 0.5)
    return image[top:bottom, left:right]


def fitted(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Height and width of the largest rectangle of the shape `rows` to `columns` inside `height` x `width`.

    One of the two is that of the outer rectangle, the other is rounded half up and at least 1.
    """
    if columns * height > rows * width:
        return max(1, floor(Fraction(width * rows, columns) + Fraction(1, 2))), width
    return height, max(1, floor(Fraction(height * columns, rows) + Fraction(1, 2)))


def centred(image: Array, rows: int, columns: int) -> Array:
    """The `rows` x `columns` pixels in the middle of `image`, a view; the odd pixel is left over at the end."""
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return image[top : top + rows, left : left + columns]


def sums_of_cells(levels: Array, count: int) -> Array:
    """Sums under `count` equal cells laid over the first axis, int64; the weights of each sum to the axis's length.

    In units of 1/`count` of a row, row i is [i*count, (i+1)*count) and cell j is [j*length, (j+1)*length). What lies
    under a cell is what lies before its end less what lies before its start.
    """
    length = levels.shape[0]
    rows, share = np.divmod(np.arange(count + 1) * length, count)  # whole rows before a border, and of the next one
    before = np.concatenate([np.zeros_like(levels[:1], np.int64), np.cumsum(levels, axis=0, dtype=np.int64)])
    next_row = levels[np.minimum(rows, length - 1)].astype(np.int64)
    share = share.reshape(-1, *[1] * (levels.ndim - 1))
    return np.diff(count * before[rows] + share * next_row, axis=0)


def area_sums(levels: Array, height: int, width: int) -> Array:
    """Weighted sums under each output pixel, int64 `(height, width, channels)`; the weights sum to `H * W`.

    H and W are the source's.
    """
    rows = sums_of_cells(levels, height)
    return sums_of_cells(rows.swapaxes(0, 1), width).swapaxes(0, 1)


def rounded_average(levels: Array, height: int, width: int, steps: int = 1) -> Array:
    """Area averages rounded half up to 1/`steps` of a level, int64 `(height, width, channels)` in these steps."""
    area = levels.shape[0] * levels.shape[1]
    rounded: Array = (2 * steps * area_sums(levels, height, width) + area) // (2 * area)
    return rounded


def area_average(levels: Array, height: int, width: int) -> Array:
    """Area averages rounded half up, uint8 `(height, width, channels)`."""
    return rounded_average(levels, height, width).astype(np.uint8)


def yuv_coefficients(matrix: YuvMatrix, full_range: bool) -> tuple[int, list[list[Fraction]]]:
    """The Y of black, and what Y - black, U - 128 and V - 128 add to red, green and blue (one row for each)."""
    red, blue = RED_AND_BLUE_WEIGHTS[matrix]
    green = 1 - red - blue
    black, luma, chroma = (0, Fraction(1), Fraction(1)) if full_range else (16, Fraction(255, 219), Fraction(255, 224))
    rows = [
        [luma, Fraction(0), chroma * 2 * (1 - red)],
        [luma, -chroma * 2 * (1 - blue) * blue / green, -chroma * 2 * (1 - red) * red / green],
        [luma, chroma * 2 * (1 - blue), Fraction(0)],
    ]
    return black, rows


def yuv_to_levels(steps: Array, matrix: YuvMatrix, full_range: bool) -> Array:
    """RGB levels, uint8, of averages of Y, U and V in 1/256 of a level, with coefficients rounded to 2**-13."""
    black, rows = yuv_coefficients(matrix, full_range)
    coefficients = np.array([[floor(c * 2**13 + Fraction(1, 2)) for c in row] for row in rows], np.int64)
    levels = ((steps - 256 * np.array([black, 128, 128])) @ coefficients.T + 2**20) >> 21
    clipped: Array = np.clip(levels, 0, 255).astype(np.uint8)
    return clipped


def yuv_to_rgb(averages: Array, matrix: YuvMatrix, full_range: bool) -> Array:
    """The same conversion of unrounded averages of Y, U and V, in float64."""
    black, rows = yuv_coefficients(matrix, full_range)
    coefficients = np.array(rows).astype(np.float64)
    clipped: Array = np.clip((averages - [black, 128, 128]) @ coefficients.T, 0, 255)
    return clipped


def shrunk(
    frame: Frame, height: int, width: int, *, rounded: bool = True, crop: str = "stretch", region: Region | None = None
) -> Array:
    """The small RGB image of a frame, `(height, width, 3)`: uint8 levels, or the unrounded averages in float64."""
    image = samples(frame)
    if region is not None:
        image = region_of(image, region)
    if crop == "center":
        image = centred(image, *fitted(height, width, *image.shape[:2]))
    small: Array = np.zeros((height, width, 3), np.uint8 if rounded else np.float64)
    inner = centred(small, *fitted(*image.shape[:2], height, width)) if crop == "letterbox" else small
    rows, columns = inner.shape[:2]
    if not rounded:
        averages = area_sums(image, rows, columns) / (image.shape[0] * image.shape[1])
        is_yuv = frame.format in YUV_FORMATS
        inner[:] = yuv_to_rgb(averages, frame.matrix, frame.full_range) if is_yuv else averages
    elif frame.format in YUV_FORMATS:
        inner[:] = yuv_to_levels(rounded_average(image, rows, columns, 256), frame.matrix, frame.full_range)
    else:
        inner[:] = area_average(image, rows, columns)
    return small


def quantise(levels: Array, scale: float, zero_point: int) -> Array:
    """`levels / 255` (levels may be negative) as TFLite int8: rounded half up, saturated."""
    q = np.floor(levels / 255 / scale + 0.5) + zero_point
    saturated: Array = np.clip(q, -128, 127).astype(np.int8)
    return saturated


def grey(rgb: Array) -> Array:
    """Grey levels `(height, width)`, int64, of RGB levels."""
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    levels: Array = (77 * red + 150 * green + 29 * blue + 128) >> 8
    return levels


def motion(frames: Sequence[Array]) -> Array:
    """Differences t-(t-1), t-(t-2), |t-(t-1)| of the grey frames, int64 `(frames, height, width, 3)`.

    Before the first frame the scene stood still.
    """
    greys = [grey(frame) for frame in frames]
    pasts = [(g, greys[max(t - 1, 0)], greys[max(t - 2, 0)]) for t, g in enumerate(greys)]
    return np.stack([np.stack([g - g1, g - g2, abs(g - g1)], axis=-1) for g, g1, g2 in pasts])


def ring_frames(
    frames: Sequence[Frame],
    height: int,
    width: int,
    dtype: str = "int8",
    scale: float = 1 / 255,
    zero_point: int = -128,
    *,
    motion_input: str = "none",
    crop: str = "stretch",
    region: Region | None = None,
    mean: Sequence[float] = (0, 0, 0),
    std: Sequence[float] = (1, 1, 1),
) -> Array:
    """What a FrameRing holds after these frames are pushed in turn: `(frames, height, width, 3)` of `dtype`."""
    rounded = dtype != "float32" or motion_input != "none"
    values = np.stack([shrunk(f, height, width, rounded=rounded, crop=crop, region=region) for f in frames])
    if motion_input != "none":
        values = motion(list(values))
    if dtype == "float32":
        scaled: Array = ((values / 255 - np.array(mean)) / np.array(std)).astype(np.float32)
        return scaled
    return quantise(values, scale, zero_point) if dtype == "int8" else values
