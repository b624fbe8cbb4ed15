"""Decode the packets of a video, and keep damaged pictures out of the frames."""

from __future__ import annotations

import heapq
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from edgehar.errors import SourceError
from edgehar.sources import h264, h265
from edgehar.sources.contexts import How, StreamDecoder
from edgehar.sources.nal import Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# After a loss, drop at most this many seconds of video until a key frame. Streams with intra refresh have none, and
# repair themselves meanwhile.
_REPAIR_S = 10.0
# A key frame leaves the decoder within this many packets.
_REORDERED = 64
# A packet that took this long to arrive was waited for, in seconds.
_WAIT_S = 0.002
_DETECTORS: dict[str, type[h264.LossDetector | h265.LossDetector]] = {
    "h264": h264.LossDetector,
    "hevc": h265.LossDetector,
}
# Codecs whose decoder may begin with frames that are predicted from frames before the first one received.
_PREDICTED = frozenset({"hevc", "mpeg1video", "mpeg2video", "mpeg4"})
# Decoders that free packets in threads of their own. To free a packet's number there takes Python's lock, which the
# thread that closes the decoder holds while it waits for them.
_FREE_IN_THREADS = frozenset({"libdav1d"})
_FULL = How()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A picture that was not decoded, because neither another picture nor the reader needs it.

    Attributes:
        pts: its presentation time, in units of the stream's time base.
    """

    pts: int


class Decoder:
    """Frames of a video stream, without damaged ones.

    After a loss or an error, all frames up to the next key frame are predicted from wrong pixels, so they are dropped
    too.

    Attributes:
        frames: frames returned so far.
        damaged: frames and packets dropped so far. What a live stream sends before its first key frame is not counted.
        waited: whether the reader had to wait for the newest packet.
        busy_s: seconds spent decoding so far.
        codec: decodes the packets; its mode may be changed.
        needs: tells whether the reader needs the picture of a presentation time; None if it needs all.
    """

    def __init__(
        self,
        stream: VideoStream,
        name: str,
        how: How = _FULL,
        *,
        live: bool = False,
        joined: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Decode a stream.

        Args:
            stream: the stream.
            name: name of its source in errors.
            how: what to decode, and with what.
            live: whether it is a live stream.
            joined: whether it may begin between two key frames, as live streams and cut recordings do.
            clock: monotonic seconds.
        """
        self.frames = self.damaged = 0
        self.waited = False
        self.busy_s = 0.0
        self._live, self._clock = live, clock
        self._tick_s = None if stream.time_base is None else float(stream.time_base)
        codec = stream.codec_context
        self.codec = StreamDecoder(codec, name, how)
        self._name = name
        self._is_numbered = codec.name not in _FREE_IN_THREADS
        detector = _DETECTORS.get(codec.name)
        self._loss = None if detector is None else detector(codec.extradata)
        self.needs: Callable[[int], bool] | None = None
        # Presentation times of pictures that were left out, and not yet yielded.
        self._left_out: list[int] = []
        self._newest_pts: int | None = None
        self._number = 0
        # Presentation times and numbers of the latest packets, if the decoder does not return the numbers.
        self._numbers: deque[tuple[int | None, int]] = deque(maxlen=_REORDERED)
        self._was_corrupt = False
        self._has_begun = False
        self._breaks = _Breaks(starts_broken=joined and codec.name in _PREDICTED)
        # Time of the first frame that was predicted from wrong pixels; None if the last frame was whole.
        self._broken_s: float | None = None

    def decode(self, packets: Iterable[Packet[VideoStream] | None]) -> Generator[VideoFrame | LeftOut]:
        """Yield the frames of packets, and pictures that were left out, in order. None flushes the decoder.

        Raises SourceError if they would take too much memory.
        """
        asked_s = self._clock()
        for packet in packets:
            now_s = self._clock()
            self.waited = now_s - asked_s >= _WAIT_S
            frames = self._frames_of(packet)
            self.busy_s += self._clock() - now_s
            for frame in self._merged(frames, is_end=packet is None) if self._left_out else frames:
                if self._broken_s is None if isinstance(frame, LeftOut) else self._is_whole(frame, now_s):
                    self.frames += 1
                    self._newest_pts = frame.pts
                    yield frame
                else:
                    self._count_damage()
            asked_s = self._clock()

    def release(self) -> None:
        """Drop the decoder, because a reference would keep it and its threads alive."""
        self.codec.release()

    def _frames_of(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            if packet is None:
                return self.codec.decode(None)
            self._number += 1
            if self._is_numbered:
                packet.opaque = self._number
            else:
                self._numbers.append((packet.pts, self._number))
            self._look(packet)
            if self._may_leave_out(packet):
                return []
            return self.codec.decode(packet, begins=self._loss is not None and self._loss.begins)
        except av.FFmpegError:
            self._count_damage()
            self._breaks.add(self._number)
            return []

    def _may_leave_out(self, packet: Packet[VideoStream]) -> bool:
        """Return whether nobody needs the picture of a packet, and note it."""
        if self._loss is None or self._loss.is_needed or self.needs is None or packet.pts is None:
            return False
        # A decoder that returned a later picture already would put this one in the wrong place.
        is_late = self._newest_pts is not None and packet.pts <= self._newest_pts
        if is_late or self.needs(packet.pts):
            return False
        heapq.heappush(self._left_out, packet.pts)
        return True

    def _merged(self, frames: list[VideoFrame], *, is_end: bool) -> Iterator[VideoFrame | LeftOut]:
        """Yield frames, each after the pictures before it that were left out."""
        for frame in frames:
            while self._left_out and frame.pts is not None and self._left_out[0] < frame.pts:
                yield LeftOut(heapq.heappop(self._left_out))
            yield frame
        while is_end and self._left_out:
            yield LeftOut(heapq.heappop(self._left_out))

    def _count_damage(self) -> None:
        self.damaged += not self._live or self.frames > 0

    def _look(self, packet: Packet[VideoStream]) -> None:
        """Notice what is missing before or within a packet."""
        loss = self._loss.look(bytes(packet)) if self._loss is not None and packet.size else Loss.NOTHING
        if self._loss is not None and self._loss.too_large:
            raise SourceError(
                f"{self._name}: the decoder would have to keep too many large pictures (more than level 5.2 allows); "
                "send smaller ones"
            )
        # A parser finds the end of a frame in the next packet, whose flag it then gives to the frame before it.
        if packet.is_corrupt or self._was_corrupt or loss is Loss.WITHIN:
            self._breaks.add(self._number)
        elif loss is Loss.BEFORE:
            self._breaks.add(self._number, before=True)
        self._was_corrupt = packet.is_corrupt

    def _is_refreshed(self) -> bool:
        """Return whether the decoder begins in a stream that has no key frames, but refreshes its picture bit by bit.

        FFmpeg then returns the first frame of H.264 when the whole picture is refreshed.
        """
        return isinstance(self._loss, h264.LossDetector) and not (self._has_begun or self._loss.has_key_frames)

    def _is_whole(self, frame: VideoFrame, now_s: float) -> bool:
        number = self._number_of(frame)
        if frame.is_corrupt:
            self._breaks.add(number)
        elif frame.key_frame or self._is_refreshed():
            self._breaks.heal(number)
        self._has_begun = True
        if not self._breaks.harm(number):
            self._broken_s = None
            return True
        # Not `frame.time`, which is NaN for the frames that a flush returns.
        at_s = now_s if frame.pts is None or self._tick_s is None else frame.pts * self._tick_s
        self._broken_s = at_s if self._broken_s is None else self._broken_s
        if not 0 <= at_s - self._broken_s < _REPAIR_S and not frame.is_corrupt:
            self._breaks.heal(number)
        return not self._breaks.harm(number)

    def _number_of(self, frame: VideoFrame) -> int:
        """Return the number of the packet that a frame was in."""
        if isinstance(frame.opaque, int):
            return frame.opaque
        return next((number for pts, number in self._numbers if pts == frame.pts), self._number)


class _Breaks:
    """The packets of a stream that are damaged, or before which one is missing, by their numbers in decoding order.

    A frame is damaged if there is a break between the last key frame before it and its own packet. Frames leave the
    decoder in another order than packets enter it, so breaks after the packet of a key frame outlast that key frame.
    """

    def __init__(self, *, starts_broken: bool) -> None:
        self._first: float | None = 0.0 if starts_broken else None
        self._recent: deque[float] = deque(maxlen=_REORDERED)

    def add(self, number: int, *, before: bool = False) -> None:
        """Note that a packet is damaged, or that one is missing before it."""
        place = number - 0.5 if before else float(number)
        self._recent.append(place)
        self._first = place if self._first is None else min(self._first, place)

    def heal(self, key: int) -> None:
        """Forget the breaks before a key frame, unless its own packet is damaged."""
        if float(key) not in self._recent:
            self._first = min((place for place in self._recent if place > key), default=None)

    def harm(self, number: int) -> bool:
        """Return whether the frame of a packet is damaged."""
        return self._first is not None and self._first <= number
