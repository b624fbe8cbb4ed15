"""Re-encode a clip at a low bit rate, as a network camera on a slow link does, and decode it."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import EdgeharError
from edgehar.frames import Frame, PixelFormat, YuvMatrix

if TYPE_CHECKING:
    from collections.abc import Iterable

    import av
    from av.video.frame import VideoFrame

    from edgehar_training.evaluation.conditions.changes import Picture

ENCODER = "libx264"
# So many frames are waited for, to know their rate: it says how many bits a frame may have.
FRAMES_TO_KNOW = 9
RATE_WITHOUT_TIMES_HZ = 25.0
KEY_FRAME_EVERY_S = 2.0


@dataclasses.dataclass(frozen=True)
class Timed:
    """A picture, uint8 `(height, width, 3)` BGR, with its number in the clip and its time in seconds."""

    picture: Picture
    index: int
    time_s: float


class Recoder:
    """H.264 by x264 as cameras encode: constant bit rate (a buffer of one second), no frames out of order, a key frame
    every two seconds, in the clip's own size (less an odd row or column) and frame rate.

    Args:
        bits_per_s: the rate.

    Attributes:
        bits: bits of all frames so far.
    """

    def __init__(self, bits_per_s: int) -> None:
        self.bits, self._bits_per_s = 0, bits_per_s
        self._waiting: list[Timed] = []
        self._given: dict[int, Timed] = {}
        self._encoder: av.VideoCodecContext | None = None
        self._decoder: av.VideoCodecContext | None = None

    def push(self, picture: Timed) -> list[Frame]:
        """Take one frame. Returns the frames that are ready, with their times and numbers."""
        self._waiting.append(picture)
        if self._encoder is None and len(self._waiting) < FRAMES_TO_KNOW:
            return []
        return self._recoded()

    def finish(self) -> list[Frame]:
        """Return the remaining frames."""
        frames = self._recoded()
        if self._encoder is not None and self._decoder is not None:
            frames += self._decoded(self._encoder.encode(None))
            frames += [self._frame(decoded) for decoded in self._decoder.decode(None)]
        return frames

    def _recoded(self) -> list[Frame]:
        frames: list[Frame] = []
        for timed in self._waiting:
            if self._encoder is None:
                self._open(timed.picture)
            frames += self._encoded(timed)
        self._waiting = []
        return frames

    def _open(self, picture: Picture) -> None:
        import av

        if ENCODER not in av.codecs_available:
            raise EdgeharError(
                f"this build of PyAV has no {ENCODER}: leave h264 out of --conditions, or install PyAV's"
            )
        times_s = [timed.time_s for timed in self._waiting]
        period_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0
        rate = Fraction(1 / period_s if period_s > 0 else RATE_WITHOUT_TIMES_HZ).limit_denominator(1001)
        encoder = av.CodecContext.create(ENCODER, "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.height, encoder.width = (side // 2 * 2 for side in picture.shape[:2])
        encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", 1 / rate, rate
        encoder.bit_rate, encoder.gop_size = self._bits_per_s, max(1, round(KEY_FRAME_EVERY_S * rate))
        encoder.thread_count = 1
        bits = str(self._bits_per_s)
        encoder.options = {"preset": "veryfast", "tune": "zerolatency", "maxrate": bits, "bufsize": bits}
        decoder = av.CodecContext.create("h264", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.thread_count = 1
        self._encoder, self._decoder = encoder, decoder

    def _encoded(self, timed: Timed) -> list[Frame]:
        import av

        assert self._encoder is not None
        rows, columns = self._encoder.height, self._encoder.width
        picture = np.ascontiguousarray(timed.picture[:rows, :columns])
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
        frame.pts, frame.time_base = timed.index, self._encoder.time_base
        self._given[timed.index] = timed
        return self._decoded(self._encoder.encode(frame))

    def _decoded(self, packets: Iterable[av.Packet[av.VideoStream]]) -> list[Frame]:
        assert self._decoder is not None
        frames = []
        for packet in packets:
            self.bits += 8 * packet.size
            frames += [self._frame(decoded) for decoded in self._decoder.decode(packet)]
        return frames

    def _frame(self, decoded: VideoFrame) -> Frame:
        from edgehar.sources.planes import in_place

        assert decoded.pts is not None
        timed = self._given.pop(decoded.pts)
        found = in_place(decoded)
        assert found is not None
        data, layout = found
        assert layout is PixelFormat.I420
        # FFmpeg turns BGR into BT.601, whatever the size, and says nothing of it.
        return Frame(data, layout, timed.time_s, timed.time_s, timed.index, YuvMatrix.BT601)
