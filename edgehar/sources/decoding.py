"""Decode the packets of a video, and keep damaged pictures out of the frames."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import av

from edgehar.sources.h264 import Loss, LossDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# After a loss, drop at most this many seconds of video until a key frame. Streams with intra refresh have none, and
# repair themselves meanwhile.
_REPAIR_S = 10.0
# Most frames that a decoder holds back to put them in order.
_REORDERED = 16
# A packet that took this long to arrive was waited for, in seconds.
_WAIT_S = 0.002


class Decoder:
    """Frames of a video stream, without those that the decoder flags as corrupt.

    After a loss or an error, all frames up to the next key frame are predicted from wrong pixels, so they are dropped
    too.

    Attributes:
        frames: frames returned so far.
        damaged: frames and packets dropped so far.
        waited: whether the reader had to wait for the newest packet.
    """

    def __init__(self, stream: VideoStream, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Decode a stream; `clock` gives monotonic seconds."""
        self.frames = self.damaged = 0
        self.waited = False
        self._stream, self._clock = stream, clock
        self._loss = LossDetector(stream.codec_context.extradata) if stream.codec_context.name == "h264" else None
        # Whether frames are predicted from wrong pixels, and the time of the first of them.
        self._broken = False
        self._broken_s: float | None = None
        # Times of packets that are damaged themselves, so that not even a key frame is whole.
        self._bad_pts: deque[int | None] = deque(maxlen=_REORDERED)

    def decode(self, packets: Iterable[Packet[VideoStream] | None]) -> Generator[VideoFrame]:
        """Yield the frames of packets. None flushes the decoder."""
        asked_s = self._clock()
        for packet in packets:
            now_s = self._clock()
            self.waited = now_s - asked_s >= _WAIT_S
            for frame in self._frames_of(packet):
                if self._is_whole(frame, now_s):
                    self.frames += 1
                    yield frame
                else:
                    self.damaged += 1
            asked_s = self._clock()

    def release(self) -> None:
        """Drop the reference to the stream, which would keep the decoder and its threads alive."""
        del self._stream

    def _frames_of(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            if packet is None:
                return self._stream.codec_context.decode(None)
            self._look(packet)
            return packet.decode()
        except av.FFmpegError:
            self.damaged += 1
            self._broken = True
            return []

    def _look(self, packet: Packet[VideoStream]) -> None:
        """Notice what is missing before or within a packet."""
        loss = self._loss.look(bytes(packet)) if self._loss is not None and packet.size else Loss.NOTHING
        if (packet.is_corrupt or loss is Loss.WITHIN) and packet.pts is not None:
            self._bad_pts.append(packet.pts)
        self._broken = self._broken or packet.is_corrupt or loss is not Loss.NOTHING

    def _is_whole(self, frame: VideoFrame, now_s: float) -> bool:
        at_s = now_s if frame.time is None else frame.time
        is_bad = frame.is_corrupt or frame.pts in self._bad_pts
        self._broken = self._broken or is_bad
        if self._broken and self._broken_s is None:
            self._broken_s = at_s
        if is_bad:
            return False
        if self._broken_s is not None and (frame.key_frame or not 0 <= at_s - self._broken_s < _REPAIR_S):
            self._broken, self._broken_s = False, None
        return not self._broken
