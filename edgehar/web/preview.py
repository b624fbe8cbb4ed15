"""Small pictures for the pages: of a camera, and of what its network sees. Nothing hidden is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgehar import drawing
from edgehar._ring import Resizer
from edgehar.frames import Frame, PixelFormat
from edgehar.web import images

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.masks import View
    from edgehar.model.manifest import Manifest

    Image: TypeAlias = npt.NDArray[np.uint8]

# A blurred picture has as many blocks along its longer side as `edgehar.masks` gives it.
_BLOCKS = 40
_LEAST_PX = 8


class Preview:
    """Pictures of a camera's frames, at most `longest_px` on the longer side. Not thread-safe.

    The kernel shrinks frame and mask alike, so every pixel that averages a masked one, in part or wholly, is black.
    """

    def __init__(self, view: View, longest_px: int) -> None:
        """Show what `view` allows."""
        self._view, self._longest_px = view, longest_px
        self._size = (0, 0)
        self._resizer: Resizer | None = None
        self._hidden: npt.NDArray[np.bool_] | None = None
        # One buffer for all pictures: uint8 `(height, width, 3)`, red, green, blue.
        self._pixels = np.empty((0, 0, 3), np.uint8)

    def bgr(self, frame: Frame) -> Image:
        """Return the picture: uint8 `(height, width, 3)`, blue, green, red.

        Raises:
            ValueError: pictures are off, or the frame's size is out of range.
        """
        return np.ascontiguousarray(self._rgb(frame)[..., ::-1])

    def _rgb(self, frame: Frame) -> Image:
        if self._view.pictures == "none":
            raise ValueError("pictures are off")
        if (frame.height, frame.width) != self._size:
            self._fit(frame.height, frame.width)
        assert self._resizer is not None
        pixels = self._pixels
        self._resizer.resize_into(frame, pixels)
        if self._hidden is not None:
            pixels[self._hidden] = 0
        return _enlarged(pixels, self._longest_px) if self._view.pictures == "blurred" else pixels

    def jpeg(self, frame: Frame) -> bytes | None:
        """Return the picture as a JPEG file; None if pictures are off."""
        return None if self._view.pictures == "none" else images.jpeg(self._rgb(frame))

    def close(self) -> None:
        """Free the memory of the kernel."""
        if self._resizer is not None:
            self._resizer.close()
        self._resizer, self._size = None, (0, 0)

    def _fit(self, height: int, width: int) -> None:
        self.close()
        _, _, wide, high = self._view.region or (0.0, 0.0, 1.0, 1.0)
        longest = self._longest_px if self._view.pictures == "full" else _BLOCKS
        share = min(1.0, longest / max(height * high, width * wide))
        rows, columns = (max(_LEAST_PX, round(side * share)) for side in (height * high, width * wide))
        self._resizer = Resizer(rows, columns, dtype="uint8", region=self._view.region)
        self._pixels = np.empty((rows, columns, 3), np.uint8)
        self._hidden = None
        if self._view.masks:
            mask = Frame(self._view.mask_frame(height, width), PixelFormat.GRAY8, 0.0, 0.0, 0)
            with Resizer(rows, columns, dtype="float32", region=self._view.region) as resizer:
                self._hidden = np.any(resizer.resize(mask) > 0, axis=2)
        self._size = (height, width)


def input_png(codes: npt.NDArray[np.int8], manifest: Manifest, view: View) -> bytes | None:
    """Return what the network sees as a PNG file; None if pictures are off.

    Args:
        codes: int8 `(height, width, 3)`, the encoder's input; or `(2, height, width, 3)`, the two looks at a frame,
            which are shown side by side.
        manifest: of the model. The three differences of a model with motion input become red, green and blue: gray is
            no change.
        view: what may be shown. If pictures are blurred, only the whole one is, no finer than other blurred pictures.
    """
    if view.pictures == "none":
        return None
    looks = codes if codes.ndim == 4 else codes[np.newaxis]
    codes = np.hstack(list(looks[:1] if view.pictures == "blurred" else looks))
    quantization = manifest.quantization.input
    values = (codes.astype(np.float32) - quantization.zero_point) * quantization.scale
    if manifest.input.motion != "none":
        values = 0.5 + values / 2
    levels = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    longest = max(levels.shape[:2])
    if view.pictures == "blurred" and longest > _BLOCKS:
        width, height = (max(1, round(side * _BLOCKS / longest)) for side in (levels.shape[1], levels.shape[0]))
        levels = drawing.resized(levels, width, height, "area")
    return images.png(levels)


def _enlarged(pixels: Image, longest_px: int) -> Image:
    height, width = pixels.shape[:2]
    factor = max(1, longest_px // max(height, width))
    return drawing.repeated(pixels, width * factor, height * factor)
