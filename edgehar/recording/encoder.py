"""Encodes the frames of cameras that give no H.264 or H.265, and pictures of which a part is hidden.

It has its own thread, a short queue that drops frames, and a bound on its share of one core. The thread does not run at
low priority: one that is set aside while it holds Python's lock would delay the thread that classifies.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.video.frame import PictureType

from edgehar.capture.mailbox import Closed, Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.masks import View
    from edgehar.recording.options import RecordOptions
    from edgehar.recording.packets import PacketRing

_log = logging.getLogger(__name__)

# Best first: the H.264 block of Raspberry Pis up to 4, then software.
_CANDIDATES = ("h264_v4l2m2m", "libx264", "mjpeg")
_SETTINGS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "crf": "26", "forced-idr": "1"},
    "mjpeg": {},
    "h264_v4l2m2m": {},
}
_BIT_RATES = {"mjpeg": 8_000_000, "h264_v4l2m2m": 2_500_000}
_TICKS_HZ = 90_000
# A clip can begin at any key frame.
_KEY_FRAME_EVERY_S = 2.0
_FRAMES_WAITING = 4
_PROBE_SIZE = 256


class FrameEncoder:
    """Encodes frames into a ring of packets.

    Attributes:
        codec: FFmpeg's name of the encoder.
        skipped: frames left out, because encoding was busy or its share of the processor was used up.
    """

    def __init__(
        self,
        ring: PacketRing,
        view: View,
        options: RecordOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Start the thread.

        Args:
            ring: gets the packets.
            view: what of the picture is encoded.
            options: encoder, frames a second, and share of a core.
            clock: monotonic seconds.
            cpu_clock: processor seconds of the calling thread.
        """
        self.codec = choose_encoder(options.encoder)
        self.skipped = 0
        self._ring, self._view, self._options = ring, view, options
        self._clock, self._cpu_clock = clock, cpu_clock
        self._frames: Mailbox[Frame] = Mailbox(_FRAMES_WAITING, drop_oldest=False)
        self._next_s = float("-inf")
        self._rest_until_s = float("-inf")
        self._container: Any = None
        self._stream: Any = None
        self._feed: Any = None
        self._size = (0, 0)
        self._first_s = self._key_s = 0.0
        self._last_tick = -1
        self._live = True
        self._encoding = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="edgehar-encoder", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame, *, live: bool) -> None:
        """Encode a frame, soon. A live source never waits here; of a file no frame is lost."""
        if frame.captured_s < self._next_s - 1.0:
            self._next_s = frame.captured_s  # the source began again
        if frame.captured_s < self._next_s - 1e-6:
            return
        period_s = 1.0 / self._options.encoder_fps
        self._next_s = max(self._next_s + period_s, frame.captured_s + period_s / 2)
        self._live = live
        if live:
            if self._clock() < self._rest_until_s:
                self.skipped += 1
                return
            self._frames.drop_when_full()
        with contextlib.suppress(Closed):
            self._frames.put(frame)

    def use_view(self, view: View) -> None:
        """Encode another part of the picture; waits for the frame that is being encoded."""
        with self._encoding:
            self._view = view
            # The next frame begins a stream, so that a clip can begin with it.
            self._drop_stream()

    def close(self, timeout_s: float = 2.0) -> None:
        """Encode what waits, and end."""
        self._frames.close()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                frame = self._frames.get()
                began_s = self._cpu_clock()
                try:
                    with self._encoding:
                        self._encode(frame)
                except (av.FFmpegError, OSError, ValueError):
                    _log.exception("%s: a frame could not be encoded; it is left out of clips", self.codec)
                    self._drop_stream()
                used_s = self._cpu_clock() - began_s
                if self._live:
                    self._rest_until_s = self._clock() + used_s / self._options.encoder_share - used_s
        with contextlib.suppress(av.FFmpegError):
            self._flush()
        self._drop_stream()

    def _encode(self, frame: Frame) -> None:
        pixels = self._view.bgr(frame)
        # Color samples of 4:2:0 cover 2x2 pixels.
        pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
        tick = round((frame.captured_s - self._first_s) * _TICKS_HZ)
        if self._stream is None or self._size != pixels.shape[:2] or tick <= self._last_tick:
            self._begin(pixels, frame.captured_s)
            tick = 0
        picture = as_picture(pixels, self.codec)
        picture.pts, picture.time_base = tick, Fraction(1, _TICKS_HZ)
        if tick == 0 or frame.captured_s - self._key_s >= _KEY_FRAME_EVERY_S:
            picture.pict_type, self._key_s = PictureType.I, frame.captured_s
        self._last_tick = tick
        for packet in self._stream.encode(picture):
            self._feed.packet(packet)
        self._feed.placed(tick / _TICKS_HZ, frame.captured_s)

    def _begin(self, pixels: npt.NDArray[np.uint8], captured_s: float) -> None:
        if self._stream is not None:
            self._flush()
        self._drop_stream()
        self._size, self._first_s = (pixels.shape[0], pixels.shape[1]), captured_s
        self._container, self._stream = open_encoder(self.codec, *self._size, self._options.encoder_fps)
        self._feed = self._ring.begin(self._stream, live=self._live, waits=not self._live)
        self._feed.placed(0.0, captured_s)

    def _flush(self) -> None:
        if self._stream is not None and self._last_tick >= 0:
            for packet in self._stream.encode(None):
                self._feed.packet(packet)

    def _drop_stream(self) -> None:
        self._container = self._stream = None
        self._last_tick = -1


def open_encoder(codec: str, height: int, width: int, rate_hz: float) -> tuple[Any, Any]:
    """Return a container in memory and its stream, which encodes; keep both. av.FFmpegError if it cannot be had."""
    container: Any = av.open(io.BytesIO(), "w", format="mp4" if codec == "mjpeg" else "mpegts")
    stream = container.add_stream(codec, rate=Fraction(rate_hz).limit_denominator(1000), options=_SETTINGS[codec])
    stream.height, stream.width = height, width
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, _TICKS_HZ)
    context.gop_size = max(1, round(rate_hz * _KEY_FRAME_EVERY_S))
    if codec in _BIT_RATES:
        context.bit_rate = _BIT_RATES[codec]
    context.thread_count = 1
    return container, stream


def as_picture(pixels: npt.NDArray[np.uint8], codec: str) -> Any:
    """Return pixels, uint8 `(height, width, 3)` BGR, as the encoder takes them."""
    picture = av.VideoFrame.from_ndarray(pixels, format="bgr24")
    return picture.reformat(format="yuvj420p" if codec == "mjpeg" else "yuv420p", threads=1)


@functools.cache
def choose_encoder(wanted: str = "auto") -> str:
    """Return the name of the encoder to use: the one asked for, or the best that encodes a frame here.

    MJPEG, which is built into FFmpeg, is the last resort.
    """
    if wanted != "auto":
        return wanted
    return next((codec for codec in _CANDIDATES if why_not(codec) is None), "mjpeg")


def why_not(codec: str) -> str | None:
    """Return the reason why an encoder does not work here; None if it does. It encodes one frame."""
    import numpy as np

    if codec not in av.codecs_available:
        return "this build of FFmpeg does not have it"
    try:
        _, stream = open_encoder(codec, _PROBE_SIZE, _PROBE_SIZE, 15)
        picture = as_picture(np.zeros((_PROBE_SIZE, _PROBE_SIZE, 3), np.uint8), codec)
        picture.pts, picture.time_base = 0, Fraction(1, _TICKS_HZ)
        packets = [*stream.encode(picture), *stream.encode(None)]
    except (av.FFmpegError, OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None if packets else "it gave no packet"
