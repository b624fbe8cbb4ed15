"""Pictures as files, and drawing on pictures, with Pillow."""

from __future__ import annotations

import functools
import io
import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Picture: TypeAlias = npt.NDArray[np.uint8]
    Color: TypeAlias = tuple[int, int, int]

# OpenCV's default too.
_JPEG_QUALITY = 95


def jpeg(bgr: Picture) -> bytes:
    """Return a picture, uint8 `(height, width, 3)` BGR, as a JPEG file."""
    return _encoded(bgr, format="JPEG", quality=_JPEG_QUALITY)


def png(bgr: Picture) -> bytes:
    """Return a picture, uint8 `(height, width, 3)` BGR, as a PNG file."""
    # Level 1 is several times faster, and little larger.
    return _encoded(bgr, format="PNG", compress_level=1)


def _encoded(bgr: Picture, **options: Any) -> bytes:
    from PIL import Image

    height, width = bgr.shape[:2]
    file = io.BytesIO()
    # Pillow turns the order of the colors around faster than numpy.
    Image.frombuffer("RGB", (width, height), np.ascontiguousarray(bgr), "raw", "BGR", 0, 1).save(file, **options)
    return file.getvalue()


def decoded(content: bytes) -> Picture | None:
    """Return a picture file as uint8 `(height, width, 3)` BGR, turned as its camera was held; None if it is damaged.

    Check its size first, because the decoder allocates what the header claims: `edgehar.sources.headers.picture_size`.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content), formats=("BMP", "JPEG", "PNG", "TIFF", "WEBP")) as image:
            rgb = _eight_bits(ImageOps.exif_transpose(image)).convert("RGB")
            return np.frombuffer(bytearray(rgb.tobytes("raw", "BGR")), np.uint8).reshape(rgb.height, rgb.width, 3)
    except Exception:  # a damaged file raises almost anything
        return None


def _eight_bits(image: Any) -> Any:
    """Return an image of 16 bits a pixel as one of 8."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))


def resized(pixels: npt.NDArray[Any], width: int, height: int, how: Literal["cubic", "linear", "area"]) -> Any:
    """Return a picture in another size.

    Args:
        pixels: uint8 `(height, width, 3)`, or float32 `(height, width)`.
        width: columns of the result.
        height: rows.
        how: "cubic" and "linear" interpolate, for larger pictures; "area" averages, for smaller ones.
    """
    from PIL import Image

    filters = {"cubic": Image.Resampling.BICUBIC, "linear": Image.Resampling.BILINEAR, "area": Image.Resampling.BOX}
    return np.array(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), filters[how]))


def repeated(pixels: Picture, width: int, height: int) -> Picture:
    """Return a picture in another size, each pixel a copy of the nearest one."""
    rows = np.arange(height) * pixels.shape[0] // height
    columns = np.arange(width) * pixels.shape[1] // width
    return np.ascontiguousarray(pixels[rows][:, columns])


def text_width(text: str, size: float) -> float:
    """Return the width of a line of text, in pixels."""
    return float(_font(size).getlength(text))


def write(picture: Picture, text: str, place: tuple[float, float], size: float, color: Color) -> None:
    """Write a line of text on a picture.

    Args:
        picture: uint8 `(height, width, 3)`; written to. Text outside is cut off.
        text: one line.
        place: left end of the base line, x and y in pixels.
        size: of the font, in pixels.
        color: in the order of the picture's channels.
    """
    from PIL import Image, ImageDraw

    if not text:
        return
    font = _font(size)
    left, top, right, bottom = (math.floor(side) for side in font.getbbox(text, anchor="ls"))
    mask = Image.new("L", (max(1, right - left + 2), max(1, bottom - top + 2)))
    ImageDraw.Draw(mask).text((-left, -top), text, font=font, fill=255, anchor="ls")
    _blend(
        picture, np.asarray(mask, np.float32) / np.float32(255), round(place[0]) + left, round(place[1]) + top, color
    )


def _blend(picture: Picture, share: npt.NDArray[np.float32], left: int, top: int, color: Color) -> None:
    """Mix a color into a picture, by the share of each pixel, at a place that may lie partly outside."""
    height, width = picture.shape[:2]
    rows = slice(max(0, top), min(height, top + share.shape[0]))
    columns = slice(max(0, left), min(width, left + share.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = share[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, np.newaxis]
    under = picture[rows, columns]
    under[...] = np.rint(under * (1 - part) + np.array(color, np.float32) * part)


@functools.lru_cache(maxsize=32)
def _font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(max(1.0, size))


def fill_box(picture: Picture, box: tuple[int, int, int, int], color: Color) -> None:
    """Fill left, top, right and bottom, all inside, with a color; what lies outside the picture is cut off."""
    left, top, right, bottom = box
    picture[max(0, top) : max(0, bottom + 1), max(0, left) : max(0, right + 1)] = color


def polygon_mask(height: int, width: int, polygons: Sequence[Sequence[tuple[int, int]]]) -> npt.NDArray[np.bool_]:
    """Return which pixels polygons cover, their edges included: bool `(height, width)`.

    Args:
        height: rows.
        width: columns.
        polygons: corners of each, x and y in pixels.
    """
    from PIL import Image, ImageDraw

    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    for corners in polygons:
        draw.polygon(list(corners), fill=1, outline=1)
    return np.array(image)
