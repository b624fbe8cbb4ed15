"""Convert small uint8 frames to the input of the network, with the compiled kernel of the device and optical flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from edgehar import Frame, LookResizer, PixelFormat, Resizer
from edgehar.model.manifest import Affine
from edgehar_training.settings.network import HISTORY

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.model.manifest import Input

# One step of int8 flow is 1/1024 of the frame's side for each period of the time grid, which clips at an eighth of the
# side. The input of the network is in eighths, from -1 to 1: differences of gray levels are about as large.
FLOW_STEPS_PER_SIDE = 1024
FLOW_AFFINE = Affine(scale=1 / 128, zero_point=0)
_LEVELS = Affine(scale=1 / 255, zero_point=-128)

FlowUse = Literal["none", "alone", "after"]


class Preprocessor:
    """Turns runs of small frames into network input, exactly as the device does.

    Args:
        shape: the input that a frame is converted to.
        affine: quantization of this input.
        flow: whether optical flow is not in the input, is all of it, or is its last two channels, after those of the
            frame.

    Attributes:
        affine: quantization of the first channels of the input, or of all channels if equal.
        affines: quantization of each channel.
    """

    def __init__(self, shape: Input, affine: Affine, flow: FlowUse = "none") -> None:
        self._shape, self._flow = shape, flow
        frame, moved = (affine,) * shape.channels, (FLOW_AFFINE,) * 2
        self.affines = {"none": frame, "alone": moved, "after": frame + moved}[flow]
        self.affine = self.affines[0]
        self._resizer: Resizer | LookResizer | None = None
        # One number if all channels are equal, which is faster.
        different = self.affines if len(set(self.affines)) > 1 else self.affines[:1]
        self._scale = np.array([one.scale for one in different], np.float32)
        self._zero = np.array([one.zero_point for one in different], np.float32)

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return len(self.affines)

    def quantized(
        self, frames: npt.NDArray[np.uint8], flow: npt.NDArray[np.int8] | None = None
    ) -> npt.NDArray[np.int8]:
        """Return the input of the network for every frame of a stream.

        Args:
            frames: uint8 `(n, height, width, 3)` RGB at the network's size, in order, from the start of the stream;
                with two looks, gray base pictures `(n, 240, 320)`.
            flow: int8 `(n, height, width, 2)`, motion up to each frame; required if flow is in the input.

        Returns:
            int8 `(n, height, width, channels)`, or `(n, 2, height, width, channels)` with two looks; real value =
            scale * (q - zero_point) of the channel.

        Raises:
            ValueError: the input has flow, but none is given.
        """
        if self._flow == "none":
            return self._of_frames(frames)
        if flow is None:
            raise ValueError("the network needs optical flow, but none was given")
        if self._flow == "alone":
            return np.array(flow, np.int8)
        return np.concatenate([self._of_frames(frames), flow], axis=-1)

    def real(self, quantized: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
        """Return float32 values of quantized input, of the same shape: scale * (q - zero_point) per channel."""
        values: npt.NDArray[np.float32] = np.subtract(quantized, self._zero, dtype=np.float32)
        values *= self._scale
        return values

    def window(self, frames: npt.NDArray[np.uint8], flow: npt.NDArray[np.int8] | None = None) -> npt.NDArray[np.int8]:
        """Return one window from its frames and the `HISTORY` frames before them.

        Args:
            frames: uint8 `(HISTORY + T, height, width, 3)` RGB.
            flow: int8 `(HISTORY + T, height, width, 2)`, if it is in the input.

        Returns:
            int8 `(T, height, width, channels)`.
        """
        return self.quantized(frames, flow)[HISTORY:]

    def _of_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        if self._shape.motion == "none" and self.affine == _LEVELS:
            # Frames of the network's own size pass the kernel as they are: level - 128, a flip of the highest bit.
            return np.bitwise_xor(frames, np.uint8(128)).view(np.int8)
        if self._resizer is None:
            shape, affine = self._shape, self.affine
            height, width, values = shape.height, shape.width, (affine.scale, affine.zero_point)
            if shape.crop_side is None:
                self._resizer = Resizer(height, width, 3, "int8", *values, motion=shape.motion)
            else:
                self._resizer = LookResizer(
                    height,
                    width,
                    *values,
                    crop_side=shape.crop_side,
                    stabilize=shape.stabilize,
                    steady_light=shape.steady_light,
                )
        self._resizer.reset()
        out = np.empty((len(frames), *self._shape.shape), np.int8)
        for index, pixels in enumerate(frames):
            self._resizer.resize_into(small_frame(pixels, 0.0, index), out[index])
        return out


def small_frame(pixels: npt.NDArray[np.uint8], time_s: float, index: int) -> Frame:
    """Return a picture of the cache, gray `(height, width)` or RGB `(height, width, 3)`, as a frame of a source."""
    layout = PixelFormat.GRAY8 if pixels.ndim == 2 else PixelFormat.RGB24
    return Frame(pixels, layout, time_s, 0.0, index)
