"""Picture files for the pages, made by the FFmpeg that a run has loaded: Pillow would take 3 MB more memory."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# Quantizer scale of FFmpeg: about quality 75 of other programs.
_JPEG_SCALE = 4
# FF_QP2LAMBDA in libavutil/avutil.h.
_LAMBDA = 118


def jpeg(rgb: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture, uint8 `(height, width, 3)` in the order red, green, blue, as a JPEG file."""
    # The usual Huffman tables, because finding better ones takes a second pass.
    return _encoded("mjpeg", rgb, "yuvj420p", {"huffman": "default"})


def png(rgb: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture, uint8 `(height, width, 3)` in the order red, green, blue, as a PNG file."""
    # Level 1 is several times faster, and little larger.
    return _encoded("png", rgb, "rgb24", {"compression_level": "1"})


def _encoded(codec: str, rgb: npt.NDArray[np.uint8], pixels: str, options: dict[str, str]) -> bytes:
    import av
    from av.codec.context import Flags

    frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(rgb), format="rgb24").reformat(format=pixels)
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, pixels
    context.time_base, context.thread_count, context.options = Fraction(1), 1, options
    if codec == "mjpeg":
        context.flags |= Flags.qscale
        context.qmin = context.qmax = _JPEG_SCALE
        context.global_quality = _JPEG_SCALE * _LAMBDA
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
