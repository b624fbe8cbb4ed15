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
# A period of key frames, and the second of the encoder's buffer.
WARM_UP_S = 3.0


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
        running: the encoder has run for a while, as a camera's has: it encodes the first frames back and forth before
            the clip. Else the clip begins with a coarse picture, which becomes finer over the first second.

    Attributes:
        bits: bits of all frames of the clip so far.
    """

    def __init__(self, bits_per_s: int, *, running: bool = False) -> None:
        self.bits, self._bits_per_s, self._running, self._first = 0, bits_per_s, running, 0
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
                self._warm_up()
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

    def _warm_up(self) -> None:
        """Encode and decode the waiting frames back and forth, so that the first of the clip is next."""
        assert self._encoder is not None
        assert self._decoder is not None
        if not self._running:
            return
        turn = len(self._waiting) - 1
        for before in range(round(WARM_UP_S * self._encoder.framerate), 0, -1):
            picture = self._waiting[abs((before + turn) % (2 * turn) - turn) if turn else 0].picture
            for packet in self._encode(picture, self._first):
                self._decoder.decode(packet)
            self._first += 1

    def _encoded(self, timed: Timed) -> list[Frame]:
        self._given[self._first + timed.index] = timed
        return self._decoded(self._encode(timed.picture, self._first + timed.index))

    def _encode(self, picture: Picture, pts: int) -> list[av.Packet[av.VideoStream]]:
        import av

        assert self._encoder is not None
        cut = np.ascontiguousarray(picture[: self._encoder.height, : self._encoder.width])
        frame = av.VideoFrame.from_ndarray(cut, format="bgr24").reformat(format="yuv420p")
        frame.pts, frame.time_base = pts, self._encoder.time_base
        return self._encoder.encode(frame)

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
