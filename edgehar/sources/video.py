"""Frames from video files and network streams, through PyAV (FFmpeg)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Self

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from edgehar.errors import SourceError
from edgehar.frames import Frame, PixelFormat, YuvMatrix
from edgehar.sources.address import name_of
from edgehar.sources.base import HandleSource
from edgehar.sources.clock import FileClock, LiveClock
from edgehar.sources.ffmpeg import is_network, open_container, reason_of
from edgehar.sources.options import DEFAULT_RATE_HZ, VideoOptions
from edgehar.sources.planes import in_place, is_full_range, yuv_matrix

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import numpy.typing as npt
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edgehar.sources.base import PacketFeed

_log = logging.getLogger(__name__)

_DEFAULT = VideoOptions()
# A file with less than this share of the frames that its header promises is reported as damaged.
_COMPLETE = 0.95


class VideoSource(HandleSource):
    """The first video stream of a file or address, upright. It can be read once.

    Frames have the decoder's format, most often I420, and are read-only views of its memory if `Resizer` can read that.
    Other frames (more than 8 bits, 4:2:2 and 4:4:4 planes, palettes, rotated ones) are converted to BGR24. You may keep
    frames: each holds its memory as long as it lives.

    `captured_s` is computed from the stream's presentation times, so a variable frame rate is respected. It counts
    seconds since the first frame for files. For live streams it is mapped to the monotonic clock by arrival.

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
        self._stream = self._video_stream()
        self.live = is_network(uri) and self._container.duration is None
        tick = self._stream.time_base
        self._tick = None if tick is None else (tick.numerator, tick.denominator)
        rate_hz = float(self._stream.average_rate or self._stream.guessed_rate or DEFAULT_RATE_HZ)
        self._clock = LiveClock() if self.live else FileClock(1.0 / rate_hz)
        self._reformatter = VideoReformatter()
        self._decoded = self._decode()
        self._sequence = 0
        self._feed: PacketFeed | None = None

    @classmethod
    def from_uri(cls, uri: str, options: VideoOptions = _DEFAULT) -> Self:
        """Open a path, `file:` path or address."""
        return cls(uri, options)

    def _video_stream(self) -> VideoStream:
        streams = self._container.streams.video
        if not streams:
            self._container.close()
            raise SourceError(f"{self.name}: contains no video; give a file with video")
        if streams[0].codec_context is None:
            self._container.close()
            raise SourceError(f"{self.name}: no decoder for its video; re-encode it: ffmpeg -i IN OUT.mp4")
        return streams[0]

    def _read(self) -> Frame | None:
        decoded = next(self._decoded, None)
        if decoded is None:
            return None
        arrived_s = time.monotonic()
        stamp_s = self._stamp_s(decoded)
        captured_s = self._clock.captured_s(stamp_s, arrived_s)
        if self._feed is not None and stamp_s is not None:
            self._feed.placed(stamp_s, captured_s)
        self._sequence += 1
        return self._frame(decoded, captured_s, arrived_s)

    def _stamp_s(self, decoded: VideoFrame) -> float | None:
        # AVI stores no presentation times. FFmpeg's invented ones are out of order with packed B-frames (as in UCF101
        # and UT-Interaction). The decode times that come out with the frames are in display order.
        stamp = decoded.dts if self._container.format.name == "avi" else decoded.pts
        return None if stamp is None or self._tick is None else stamp * self._tick[0] / self._tick[1]

    def _release(self) -> None:
        if self._feed is not None:
            self._feed.end()
        self._decoded.close()
        self._container.close()
        # The decoder and its threads live as long as a reference to them, even after close().
        del self._decoded, self._stream, self._container

    def _decode(self) -> Generator[VideoFrame]:
        """Yield every frame that can be decoded. Report the skipped ones once, at the end."""
        damaged = frames = 0
        for packet in self._packets():
            try:
                decoded = packet.decode() if packet is not None else self._stream.codec_context.decode(None)
            except av.FFmpegError:
                damaged += 1
                continue
            frames += len(decoded)
            yield from decoded
        if not frames:
            raise SourceError(
                f"{self.name}: no frame can be decoded; the file is empty, truncated or damaged: copy or re-encode it"
            )
        missing = frames < _COMPLETE * self._stream.frames
        if damaged or missing:
            of_all = f" of {self._stream.frames}" if missing else ""
            _log.warning("%s: damaged or truncated: %d%s frames were decoded", self.name, frames, of_all)

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Yield packets until the file ends or fails, then None, which flushes the decoder."""
        if self.tap is not None:
            self._feed = self.tap.begin(self._stream, live=self.live)
        try:
            for packet in self._container.demux(self._stream):
                if self._feed is not None:
                    self._feed.packet(packet)
                yield packet
            trouble = "the stream ended"
        except av.FFmpegError as error:
            trouble = reason_of(error)
            yield None
        if self.live:
            raise SourceError(f"{self.name}: {trouble}; check the camera and the network")

    def _frame(self, decoded: VideoFrame, captured_s: float, arrived_s: float) -> Frame:
        """Return a frame rotated upright: a view of the decoder's memory if the kernel can read it."""
        quarter_turns, matrix = round(decoded.rotation / 90), yuv_matrix(decoded)
        found = in_place(decoded) if matrix is not None and not quarter_turns else None
        sequence = self._sequence - 1
        if found is not None:
            data, layout = found
            full_range = is_full_range(decoded)
            return Frame(data, layout, captured_s, arrived_s, sequence, matrix or YuvMatrix.BT601, full_range)
        pixels = self._converted(decoded, matrix)
        if quarter_turns:
            pixels = np.ascontiguousarray(np.rot90(pixels, quarter_turns))
        return Frame(pixels, PixelFormat.BGR24, captured_s, arrived_s, sequence)

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
