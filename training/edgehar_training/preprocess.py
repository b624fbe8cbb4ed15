"""Small uint8 frames to what the network sees, by the compiled kernel of the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar import Frame, FrameRing, PixelFormat

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.manifest import Affine, Input

# Frames before a window that its motion input looks back at.
HISTORY = 2


class Preprocessor:
    """Turns runs of small frames into network input, exactly as the device does.

    Args:
        shape: what one frame is turned into.
        affine: quantization of the network's input.
    """

    def __init__(self, shape: Input, affine: Affine) -> None:
        self._shape, self.affine = shape, affine
        self._rings: dict[int, FrameRing] = {}

    def quantized(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """The network's input for every frame of a stream.

        Args:
            frames: uint8 `(n, height, width, 3)` RGB at the network's size, in order, from the start of the stream.

        Returns:
            int8 `(n, height, width, 3)`; real value = scale * (q - zero_point).
        """
        ring = self._ring(len(frames))
        ring.reset()
        for index, pixels in enumerate(frames):
            ring.push(Frame(pixels, PixelFormat.RGB24, 0.0, 0.0, index))
        return np.array(ring.window(), np.int8)

    def real(self, quantized: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
        """float32 values of quantized input, same shape: scale * (q - zero_point)."""
        values = np.subtract(quantized, np.float32(self.affine.zero_point), dtype=np.float32)
        values *= np.float32(self.affine.scale)
        return values

    def window(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """One window from its frames and the `HISTORY` frames before them.

        Args:
            frames: uint8 `(HISTORY + T, height, width, 3)` RGB.

        Returns:
            int8 `(T, height, width, 3)`.
        """
        return self.quantized(frames)[HISTORY:]

    def _ring(self, frames: int) -> FrameRing:
        if frames not in self._rings:
            shape = self._shape
            self._rings[frames] = FrameRing(
                frames,
                shape.height,
                shape.width,
                shape.channels,
                "int8",
                self.affine.scale,
                self.affine.zero_point,
                motion=shape.motion,
            )
        return self._rings[frames]
