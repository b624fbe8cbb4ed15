"""Frames from video files and network streams, through PyAV (FFmpeg)."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import av
from av.video.reformatter import Colorspace, VideoReformatter

from edgehar.errors import SourceError
from edgehar.frames import Frame, PixelFormat, YuvMatrix
from edgehar.sources.address import name_of
from edgehar.sources.base import Decoding, HandleSource
from edgehar.sources.clock import FileClock, LiveClock, StampChoice
from edgehar.sources.contexts import How
from edgehar.sources.decoding import Decoder, LeftOut
from edgehar.sources.ffmpeg import open_container, reason_of, video_stream
from edgehar.sources.options import AUTO_MODES, VideoOptions
from edgehar.sources.orientation import UPRIGHT, orientation
from edgehar.sources.planes import in_place, is_full_range, yuv_matrix
from edgehar.sources.playlists import opener_of
from edgehar.sources.timing import clock_fault, is_live, rate_hz, was_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edgehar.sources.base import PacketFeed
    from edgehar.sources.options import DecodeMode

_log = logging.getLogger(__name__)

_DEFAULT = VideoOptions()
# A file with less than this share of the frames that its header promises is reported as damaged.
_COMPLETE = 0.95
# Formats that need not store presentation times.
_GUESSED = frozenset({"avi", "mxf"})
# Steps from frame to frame from which the frame rate is known.
_STEPS = 16
# Formats without an index, which are cut and joined at any packet.
_CUT_ANYWHERE = frozenset({"mpeg", "mpegts"})
# Longest segment of live HLS and DASH, in seconds. The frames of a segment arrive at once.
_SEGMENT_S = 15.0


class VideoSource(HandleSource):
    """The first video stream of a file or address, upright. It can be read once.

    Frames have the decoder's format, most often I420, and are read-only views of its memory if `Resizer` can read that.
    Other frames (more than 8 bits, 4:2:2 and 4:4:4 planes, palettes, rotated ones) are converted to BGR24. You may keep
    frames: each holds its memory as long as it lives. Damaged frames are dropped.

    `captured_s` is computed from the stream's presentation times, so a variable frame rate is respected. It counts
    seconds since the first frame for files. For live streams it is mapped to the monotonic clock by arrival, or is the
    time of arrival if the stream has no usable presentation times.

    Attributes:
        name: the path, or the address without credentials.
        live: True for streams without an end.
    """

    def __init__(self, uri: str, options: VideoOptions = _DEFAULT) -> None:
        """Open a file or address.

        Args:
            uri: a path, or an `rtsp://`, `rtsps://`, `http://` or `https://` address.
            options: timeouts, transport and TLS.

        Raises:
            SourceError: it does not exist, cannot be read, or has no video; AccessRefusedError for a wrong password.
        """
        super().__init__()
        self.name = name_of(uri)
        self._container = open_container(uri, self.name, options)
        self._stream = video_stream(self._container, self.name, options)
        self.live = is_live(uri, self._container) if options.live is None else options.live
        self.burst_s = _SEGMENT_S if self.live and self._container.format.name in ("hls", "dash") else 0.0
        tick = self._stream.time_base
        self._tick = None if tick is None else (tick.numerator, tick.denominator)
        self._clock = self._make_clock()
        self._reformatter = VideoReformatter()
        joined = self.live or self._container.format.name in _CUT_ANYWHERE
        self._adapts = options.decode == "auto" and self.live
        how = How(_first_mode(options.decode, live=self.live), options.decoder_threads, options.hwaccel)
        self._decoder = Decoder(self._stream, self.name, how, live=self.live, joined=joined)
        self._decoded = self._decoder.decode(self._packets())
        self._codec = self._stream.codec_context.name
        self._stamps = StampChoice()
        self._loss_is_logged = False
        self._cut = False
        self._feed: PacketFeed | None = None
        # For pictures that are left out: the last frame, its capture time less its presentation time, and the latest
        # steps from one presentation time to the next.
        self._last: Frame | None = None
        self._offset_s, self._last_stamp_s = 0.0, 0.0
        self._steps_s: deque[float] = deque(maxlen=_STEPS)
        self._first_stamp_s: float | None = None
        self._span_s = 0.0
        self._opened_s = time.monotonic()

    @classmethod
    def from_uri(cls, uri: str, options: VideoOptions = _DEFAULT) -> Self:
        """Open a path, `file:` path or address."""
        return cls(uri, options)

    @property
    def damaged(self) -> int:
        """Frames dropped so far because they were damaged."""
        return self._decoder.damaged

    @property
    def decoding(self) -> Decoding:
        """How video is decoded now."""
        codec = self._decoder.codec
        return Decoding(codec.mode, codec.hardware, self._decoder.busy_s)

    def use_decode_mode(self, mode: DecodeMode) -> None:
        """Request another mode. It takes effect at the next IDR picture of a live stream whose mode is "auto"."""
        if self._adapts:
            self._decoder.codec.wanted = mode

    def _make_clock(self) -> FileClock | LiveClock:
        if not self.live:
            return FileClock(1.0 / rate_hz(self._container, self._stream, self.name))
        clock = LiveClock(fault=clock_fault(self._container))
        self._say_fault(clock)
        return clock

    def _say_fault(self, clock: LiveClock) -> None:
        if clock.fault is not None:
            _log.warning("%s: %s; using arrival times", self.name, clock.fault)

    def _read(self) -> Frame | None:
        decoded = next(self._decoded, None)
        if decoded is None:
            self._report_end()
            return None
        arrived_s = time.monotonic()
        stamp_s = self._stamp_s(decoded)
        captured_s = self._captured_s(stamp_s, arrived_s)
        if self._feed is not None and stamp_s is not None:
            self._feed.placed(stamp_s, captured_s)
        if self.live and self.damaged and not self._loss_is_logged:
            self._loss_is_logged = True
            _log.warning(
                "%s: packets are lost or damaged; frames are dropped up to the next key frame, and counted", self.name
            )
        # Damaged frames have numbers too, so that a gap reveals them.
        sequence = self._decoder.frames + self._decoder.damaged - 1
        if isinstance(decoded, LeftOut):
            assert self._last is not None
            frame = replace(self._last, captured_s=captured_s, arrived_s=arrived_s, sequence=sequence, cut=self._cut)
        else:
            frame = self._frame(decoded, captured_s, arrived_s, sequence)
        if self._decoder.needs is not None:
            self._last = frame
            self._note_time(stamp_s, captured_s)
        return frame

    def _note_time(self, stamp_s: float | None, captured_s: float) -> None:
        if stamp_s is not None:
            self._steps_s.append(stamp_s - self._last_stamp_s)
            self._last_stamp_s, self._offset_s = stamp_s, captured_s - stamp_s

    def _needs_picture(self, pts: int) -> bool:
        """Return whether the picture of a presentation time may be used. True until the frame rate is known."""
        if self.needs is None or self._tick is None or len(self._steps_s) < _STEPS or min(self._steps_s) <= 0:
            return True
        return self.needs(pts * self._tick[0] / self._tick[1] + self._offset_s, max(self._steps_s))

    def _captured_s(self, stamp_s: float | None, arrived_s: float) -> float:
        if stamp_s is not None:
            self._first_stamp_s = stamp_s if self._first_stamp_s is None else self._first_stamp_s
            self._span_s = max(self._span_s, stamp_s - self._first_stamp_s)
        if isinstance(self._clock, FileClock):
            captured_s = self._clock.captured_s(stamp_s, arrived_s)
            self._cut = self._clock.cut
            return captured_s
        before = self._clock.fault
        captured_s = self._clock.captured_s(stamp_s, arrived_s, waited=self._decoder.waited)
        if before is None:
            self._say_fault(self._clock)
        return captured_s

    def _stamp_s(self, decoded: VideoFrame | LeftOut) -> float | None:
        # AVI and MXF need not store presentation times. FFmpeg's invented ones are out of order with B-frames (as in
        # UCF101 and UT-Interaction). The decode times that come out with the frames are in display order.
        if self.live or isinstance(decoded, LeftOut):
            stamp = decoded.pts
        else:
            pts = None if self._container.format.name in _GUESSED else decoded.pts
            stamp = self._stamps.of(pts, decoded.dts)
        return None if stamp is None or self._tick is None else stamp * self._tick[0] / self._tick[1]

    def _release(self) -> None:
        if self._feed is not None:
            self._feed.end()
        self._decoded.close()
        self._container.close()
        # The decoder and its threads live as long as a reference to them, even after close().
        del self._decoded, self._stream, self._container
        self._last = None
        self._decoder.release()

    def _report_end(self) -> None:
        """Report the damage of a file that has ended."""
        decoder = self._decoder
        if not decoder.frames:
            raise SourceError(
                f"{self.name}: no frame can be decoded; the file is empty, truncated or damaged: copy or re-encode it"
            )
        leaves_out = decoder.codec.mode in ("reference-only", "key")
        missing = not leaves_out and decoder.frames < _COMPLETE * self._stream.frames
        if decoder.damaged or missing:
            of_all = f" of {self._stream.frames}" if missing else ""
            _log.warning("%s: damaged or truncated: %d%s frames were decoded", self.name, decoder.frames, of_all)

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Yield packets until the stream ends or fails, then None, which flushes the decoder."""
        if self.tap is not None:
            self._feed = self.tap.begin(self._stream, live=self.live)
        if self.needs is not None and self._container.format.name not in _GUESSED:
            self._decoder.needs = self._needs_picture
        opener = opener_of(self._container)
        if opener is not None:
            opener.restart()
        try:
            for packet in self._container.demux(self._stream):
                if self._feed is not None:
                    self._feed.packet(packet)
                yield packet
                if opener is not None:
                    opener.restart()
            trouble = "the stream ended"
            if self.live and was_a_file(self._container, self._span_s, time.monotonic() - self._opened_s):
                return
        except av.FFmpegError as error:
            trouble = reason_of(error)
            yield None
        if self.live:
            raise SourceError(f"{self.name}: {trouble}; check the camera and the network")

    def _frame(self, decoded: VideoFrame, captured_s: float, arrived_s: float, sequence: int) -> Frame:
        """Return a frame rotated upright: a view of the decoder's memory if the kernel can read it."""
        turned, matrix = orientation(decoded, self._codec), yuv_matrix(decoded)
        found = in_place(decoded) if matrix is not None and turned == UPRIGHT else None
        if found is not None:
            data, layout = found
            full_range = is_full_range(decoded)
            matrix = matrix or YuvMatrix.BT601
            return Frame(data, layout, captured_s, arrived_s, sequence, matrix, full_range, self._cut)
        pixels = turned.apply(self._converted(decoded, matrix))
        return Frame(pixels, PixelFormat.BGR24, captured_s, arrived_s, sequence, cut=self._cut)

    def _converted(self, decoded: VideoFrame, matrix: YuvMatrix | None) -> npt.NDArray[np.uint8]:
        """Return a frame's pixels as uint8 `(height, width, 3)` BGR. Without a matrix, FFmpeg chooses the colors."""
        try:
            # FFmpeg assumes BT.601 for video without a matrix, whatever its size. At these sizes, distributing slices
            # to threads costs more than the conversion.
            pixels: npt.NDArray[np.uint8] = self._reformatter.reformat(
                decoded,
                format="bgr24",
                threads=1,
                src_colorspace=Colorspace.ITU709 if matrix is YuvMatrix.BT709 else None,
            ).to_ndarray()  # type: ignore[assignment]
        except (av.FFmpegError, ValueError) as error:
            raise SourceError(
                f"{self.name}: its {decoded.format.name} pixels cannot be converted ({error}); re-encode it"
            ) from None
        return pixels


def _first_mode(decode: DecodeMode, *, live: bool) -> DecodeMode:
    if decode != "auto":
        return decode
    return AUTO_MODES[0] if live else "full"
