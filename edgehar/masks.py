"""Parts of the picture that nobody may see: masks and the region, applied to whatever leaves the camera's frame."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from edgehar.pictures import as_bgr

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.frames import Frame

    Image: TypeAlias = npt.NDArray[np.uint8]

# Corners of a polygon, each x and y as shares 0 to 1 of the picture.
Polygon: TypeAlias = tuple[tuple[float, float], ...]
# A blurred picture has this many blocks along its longer side: enough for a posture, not for a face.
_BLOCKS = 40


def polygon_problem(polygon: Polygon) -> str | None:
    """Return the reason why a polygon cannot be used as a mask; None if it can."""
    if len(polygon) < 3:
        return f"has {len(polygon)} corners; give at least 3"
    if not all(0 <= share <= 1 for corner in polygon for share in corner):
        return "has a corner outside the picture; x and y are shares from 0 to 1"
    edges = list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))
    for first, edge in enumerate(edges):
        for second in range(first + 2, len(edges) - (first == 0)):
            if _cross(*edge, *edges[second]):
                return (
                    f"crosses itself (the edges after corner {first + 1} and after corner {second + 1}); list the "
                    "corners in order around the area"
                )
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)
    return None if abs(area) > 1e-9 else "has no area; its corners lie on one line"


def _cross(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...], d: tuple[float, ...]) -> bool:
    """Whether the line segments a-b and c-d cross in a point inside both."""

    def side(p: tuple[float, ...], q: tuple[float, ...], r: tuple[float, ...]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


@dataclass(frozen=True)
class View:
    """The part of a camera's picture that may be shown and kept.

    Attributes:
        masks: polygons that are black.
        region: left, top, width and height of the part that is looked at, as shares 0 to 1; None for all.
        pictures: "full", "blurred" (blocks in which no face can be recognized), or "none".
    """

    masks: tuple[Polygon, ...] = ()
    region: tuple[float, float, float, float] | None = None
    pictures: Literal["none", "blurred", "full"] = "full"

    @property
    def hides(self) -> bool:
        """Whether a picture differs from the camera's: a stream can then not be copied as it comes."""
        return bool(self.masks) or self.region is not None or self.pictures != "full"

    def bgr(self, frame: Frame) -> Image:
        """Return the picture that may be shown.

        Args:
            frame: of any format.

        Returns:
            uint8 `(height, width, 3)`, blue, green, red; a new array unless nothing is hidden. Masks are black, all
            outside the region is cut off.

        Raises:
            ValueError: the setting is "none": there is no such picture.
        """
        if self.pictures == "none":
            raise ValueError("pictures are off")
        pixels = as_bgr(frame)
        if not self.hides:
            return pixels
        pixels = np.array(pixels)
        if self.masks:
            pixels[self.pixels_masked(frame.height, frame.width)] = 0
        if self.region is not None:
            pixels = self._cut(pixels)
        if self.pictures == "blurred":
            pixels = _blocks(pixels)
        return np.ascontiguousarray(pixels)

    def jpeg(self, frame: Frame) -> bytes | None:
        """Return the picture that may be shown, as a JPEG file; None if pictures are off."""
        if self.pictures == "none":
            return None
        from edgehar import drawing

        return drawing.jpeg(self.bgr(frame))

    def pixels_masked(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Return which pixels are masked: bool `(height, width)`.

        Every pixel that a polygon touches is masked, and its neighbors that share a color sample with it: planar
        formats keep one for each 2x2 pixels. The array is shared and read-only.
        """
        return _pixels_masked(self.masks, height, width)

    def mask_frame(self, height: int, width: int) -> Image:
        """Return a gray picture that is 255 where a mask is and 0 elsewhere: uint8 `(height, width)`."""
        return self.pixels_masked(height, width).astype(np.uint8) * 255

    def _cut(self, pixels: Image) -> Image:
        assert self.region is not None
        x, y, wide, high = self.region
        left, right = _span(x, wide, pixels.shape[1])
        top, bottom = _span(y, high, pixels.shape[0])
        return pixels[top:bottom, left:right]


@functools.lru_cache(maxsize=8)
def _pixels_masked(masks: tuple[Polygon, ...], height: int, width: int) -> npt.NDArray[np.bool_]:
    from edgehar.drawing import polygon_mask

    rounded: list[list[tuple[int, int]]] = []
    for polygon in masks:
        corners = np.array(polygon, np.float64) * (width, height) - 0.5
        # Corners lie between pixels, so the polygon is drawn with its corners in each direction.
        directions = (np.rint(corners), np.floor(corners), np.ceil(corners))
        rounded += [[(int(x), int(y)) for x, y in whole] for whole in directions]
    grown = np.pad(polygon_mask(height, width, rounded), 1)
    grown = grown[:-2] | grown[1:-1] | grown[2:]
    grown = grown[:, :-2] | grown[:, 1:-1] | grown[:, 2:]
    padded = np.pad(grown, ((0, height % 2), (0, width % 2)))
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).any(axis=(1, 3))
    masked = np.ascontiguousarray(blocks.repeat(2, 0).repeat(2, 1)[:height, :width])
    masked.setflags(write=False)
    return masked


def _span(begin: float, length: float, pixels: int) -> tuple[int, int]:
    """Return first pixel and the one after the last of a share of a side, never less than one pixel."""
    # As the kernel rounds.
    first = min(pixels - 1, math.floor(begin * pixels + 0.5))
    return first, max(first + 1, min(pixels, math.floor((begin + length) * pixels + 0.5)))


def _blocks(pixels: Image) -> Image:
    """Return the picture in blocks, each of its mean color."""
    from edgehar import drawing

    height, width = pixels.shape[:2]
    share = _BLOCKS / max(height, width)
    shrunk = drawing.resized(pixels, max(1, round(width * share)), max(1, round(height * share)), "area")
    return drawing.repeated(shrunk, width, height)
