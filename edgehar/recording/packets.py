"""Encoded packets of the last seconds, kept in memory for clips that begin before their event.

The thread that reads the camera puts packets in; the recorder's thread takes them out. Packets are held as plain bytes,
because a PyAV packet is changed by muxing and belongs to a container that may be closed meanwhile.
"""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.packet import Packet
    from av.video.stream import VideoStream

# Streams of these codecs are copied into clips as they come.
COPIED_CODECS = ("h264", "hevc")
# The codecs of our own encoders.
_ENCODED = {"libx264": "h264", "h264_v4l2m2m": "h264", "mjpeg": "mjpeg"}
# A file is read no further than this ahead of the recorder, in seconds of waiting.
_FILE_WAIT_S = 10.0
# Memory that a packet takes beside its data, in bytes.
_PACKET_BYTES = 300
# Parameter sets are searched in the first bytes of a key frame.
_PARAMETER_BYTES = 1024
_START_CODES = (b"\x00\x00\x01", b"\x00\x00\x00\x01")
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}


@dataclass(slots=True)
class Segment:
    """A stretch of one encoded stream without interruption: one connection, one codec, one picture size.

    Attributes:
        codec: FFmpeg's name.
        time_base: unit of `pts` and `dts`, in seconds.
        signature: equal for segments whose packets may follow each other in one file.
        offset_s: add it to a presentation time in seconds to get the capture time.
        header: a small file with the first key frame, from which a muxer learns the stream; None before that frame.
    """

    codec: str
    time_base: Fraction
    signature: tuple[Any, ...] = ()
    offset_s: float | None = None
    shift_s: float = 0.0
    header: bytes | None = None

    def captured_s(self, stamp_s: float) -> float:
        """Return the capture time of a presentation time; both in seconds."""
        return stamp_s + (self.offset_s or 0.0) + self.shift_s


@dataclass(slots=True, frozen=True)
class StoredPacket:
    """One encoded packet.

    Attributes:
        sequence: number of the packet in its ring, without gaps.
        data: encoded bytes.
        pts: presentation time, in units of the segment's `time_base`.
        dts: decode time, in the same units.
        duration: in the same units; 0 if unknown.
        is_key: whether decoding can start here.
        segment: the stream it belongs to.
    """

    sequence: int
    data: bytes
    pts: int
    dts: int
    duration: int
    is_key: bool
    segment: Segment

    @property
    def captured_s(self) -> float:
        """Capture time of the picture, in seconds on the source's clock."""
        return self.segment.captured_s(float(self.pts * self.segment.time_base))


@dataclass(slots=True)
class _Gop:
    """A key frame and the packets that depend on it."""

    packets: list[StoredPacket] = field(default_factory=list)
    size: int = 0


class PacketRing:
    """Encoded packets of the last seconds, bounded by time and by bytes. It begins with a key frame at all times.

    The thread that reads a stream puts packets in through a `Feed`; any other thread may read.

    Attributes:
        dropped: packets that were thrown out because one group of pictures alone was larger than `max_bytes`.
    """

    def __init__(self, *, keep_s: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty ring.

        Args:
            keep_s: seconds of video to keep; whole groups of pictures are dropped, so it holds up to one more.
            max_bytes: bytes of memory for packets at most, whatever `keep_s` asks for.
            clock: monotonic seconds.
        """
        self.dropped = 0
        self.clock = clock
        self._keep_s, self._max_bytes = keep_s, max_bytes
        self._changed = threading.Condition()
        self._gops: deque[_Gop] = deque()
        self._bytes = 0
        self._next = 0
        self._least = 0
        self._wanted: int | None = None
        self._shift_s = 0.0
        self._feed: Feed | None = None

    def begin(self, stream: VideoStream, *, live: bool, waits: bool = False) -> Feed | None:
        """Take packets of an open stream, and no more of the one before it.

        Args:
            stream: the stream.
            live: whether it comes from a camera, whose capture times are those of the clock.
            waits: whether its reader may wait for the recorder, so that no packet of a file is lost.

        Returns:
            What takes them; None if packets of this codec cannot be copied.
        """
        context = stream.codec_context
        known = context is not None and context.name in (*COPIED_CODECS, *_ENCODED)
        with self._changed:
            self._feed = Feed(self, stream, live=live, waits=waits) if known else None
            return self._feed

    def end_feed(self) -> None:
        """Take no more packets of the present stream."""
        with self._changed:
            self._feed = None

    def begin_anew(self) -> None:
        """Give packets that are here already only to the clips that have begun."""
        with self._changed:
            self._least = self._next

    def shifted(self, by_s: float) -> None:
        """Learn that frames get this many seconds added to their capture time after the video source."""
        self._shift_s = by_s
        if self._feed is not None:
            self._feed.segment.shift_s = by_s

    @property
    def shift_s(self) -> float:
        """Seconds that are added to capture times after the video source."""
        return self._shift_s

    def append(
        self, feed: Feed, segment: Segment, data: bytes, times: tuple[int, int, int], *, is_key: bool, waits: bool
    ) -> None:
        """Put in a packet; pts, dts and duration are `times`. Nothing if `feed` was replaced by another."""
        with self._changed:
            if waits:
                self._wait_for_recorder(len(data))
            if feed is not self._feed:
                return
            if is_key:
                self._gops.append(_Gop())
            elif not self._gops:
                self.dropped += 1
                self._next += 1
                return
            gop = self._gops[-1]
            gop.packets.append(StoredPacket(self._next, data, *times, is_key, segment))
            gop.size += len(data) + _PACKET_BYTES
            self._bytes += len(data) + _PACKET_BYTES
            self._next += 1
            self._trim()

    def _wait_for_recorder(self, size: int) -> None:
        """Hold back the reader of a file while the recorder still needs what would be dropped."""
        self._changed.wait_for(
            lambda: self._wanted is None or self._bytes + size <= self._max_bytes or self._oldest() > self._wanted,
            _FILE_WAIT_S,
        )

    def _trim(self) -> None:
        newest_s = self._gops[-1].packets[-1].captured_s
        while len(self._gops) > 1:
            second = self._gops[1].packets[0]
            wanted = self._wanted is not None and second.sequence > self._wanted
            if self._bytes <= self._max_bytes and (wanted or newest_s - second.captured_s < self._keep_s):
                return
            self._drop_oldest()
        if self._bytes > self._max_bytes:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        gop = self._gops.popleft()
        self._bytes -= gop.size
        if not self._gops:
            self.dropped += len(gop.packets)

    def _oldest(self) -> int:
        return self._gops[0].packets[0].sequence if self._gops else self._next

    # The recorder's thread.

    @property
    def size(self) -> int:
        """Bytes of memory held."""
        return self._bytes

    def start_for(self, captured_s: float) -> int:
        """Return the number of the key packet to start at, so that the picture of `captured_s` is in the clip.

        That is the last key frame at or before it; the oldest one held if all are later; the next one to come if none
        is held. Never one from before `begin_anew`.
        """
        with self._changed:
            found = self._oldest()
            for gop in self._gops:
                first = gop.packets[0]
                if first.captured_s > captured_s:
                    break
                found = first.sequence
            return max(found, self._least)

    def after(self, sequence: int, limit: int = 64) -> list[StoredPacket]:
        """Return the packets from `sequence` on, oldest first, at most `limit`.

        If packets were dropped meanwhile, the first one returned has a higher number, and is a key frame.
        """
        with self._changed:
            found: list[StoredPacket] = []
            for gop in self._gops:
                last = gop.packets[-1].sequence
                if last < sequence:
                    continue
                begin = max(0, sequence - gop.packets[0].sequence)
                found += islice(gop.packets, begin, begin + limit - len(found))
                if len(found) >= limit:
                    break
            return found

    def want(self, sequence: int | None) -> None:
        """Keep packets from `sequence` on for longer than `keep_s`, within `max_bytes`. None: nothing is wanted."""
        with self._changed:
            self._wanted = sequence
            self._changed.notify_all()


class Feed:
    """Puts the packets of one open stream into a ring. All methods are called by the thread that reads the stream.

    Attributes:
        segment: what the packets belong to now.
    """

    def __init__(self, ring: PacketRing, stream: VideoStream, *, live: bool, waits: bool) -> None:
        """Use `PacketRing.begin`."""
        self._ring, self._live, self._waits = ring, live, waits
        self._stream: Any = stream
        # MP4 and its family store lengths in place of start codes (avcC and hvcC, ISO/IEC 14496-15).
        self._has_start_codes = bytes(stream.codec_context.extradata or b"")[:1] != b"\x01"
        self._parameters: bytes | None = None
        self._last_dts: int | None = None
        self.segment = self._new_segment()

    def packet(self, packet: Packet[VideoStream]) -> None:
        """Keep a packet. Packets before the first key frame, and packets without a picture, are skipped."""
        if self._stream is None or packet.size == 0:
            return
        data, is_key = bytes(packet), packet.is_keyframe
        if self._has_start_codes and not has_picture(data, self.segment.codec):
            return
        if is_key and self.segment.header is not None and self._is_other_stream(packet, data):
            self.segment = self._new_segment()
        segment = self.segment
        if segment.header is None:
            if not is_key:
                return
            self._parameters = parameter_sets(data, segment.codec)
            extradata = bytes(self._stream.codec_context.extradata or b"")
            segment.signature = (segment.codec, segment.time_base, extradata, self._parameters)
            segment.header = self._header_of(packet, data, has_start_codes=extradata[:1] != b"\x01")
        times = self._times(packet)
        if segment.offset_s is None:
            stamp_s = float(times[0] * segment.time_base)
            segment.offset_s = self._ring.clock() - stamp_s if self._live else -stamp_s
        self._ring.append(self, segment, data, times, is_key=is_key, waits=self._waits)

    def placed(self, stamp_s: float, captured_s: float) -> None:
        """Learn the capture time of the frame with this presentation time, both in seconds."""
        self.segment.offset_s = captured_s - stamp_s

    def end(self) -> None:
        """Forget the stream, which is about to be closed. Its packets stay in the ring."""
        self._stream = None

    def _new_segment(self) -> Segment:
        context = self._stream.codec_context
        time_base = self._stream.time_base or context.time_base or Fraction(1, 90_000)
        self._last_dts = None
        codec = _ENCODED.get(context.name, context.name)
        return Segment(codec, Fraction(time_base), shift_s=self._ring.shift_s)

    def _is_other_stream(self, packet: Any, data: bytes) -> bool:
        if packet.has_sidedata("new_extradata"):
            return True
        found = parameter_sets(data, self.segment.codec)
        return found is not None and found != self._parameters

    def _header_of(self, packet: Any, data: bytes, *, has_start_codes: bool) -> bytes:
        """Return a small file with the stream and one key frame, because a stream must not outlive its container.

        It has the same kind of packets as the stream: with start codes (MPEG-TS) or with lengths (MP4).
        """
        file = io.BytesIO()
        as_ts = has_start_codes and self.segment.codec != "mjpeg"
        with av.open(file, "w", format="mpegts" if as_ts else "mp4", options={} if as_ts else FRAGMENTED) as container:
            stream = container.add_stream_from_template(self._stream)
            copy: Any = av.Packet(data)
            copy.pts = copy.dts = 0
            copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, True, stream
            container.mux(copy)
        return file.getvalue()

    def _times(self, packet: Packet[VideoStream]) -> tuple[int, int, int]:
        """Return pts, dts and duration; the decode times of a segment always rise."""
        duration = packet.duration or 0
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            # A file of bare H.264 has no times at all.
            rate = self._stream.average_rate or self._stream.guessed_rate or 25
            duration = duration or max(1, round(1 / (rate * self.segment.time_base)))
            dts = 0 if self._last_dts is None else self._last_dts + duration
        if self._last_dts is not None:
            dts = max(dts, self._last_dts + 1)
        self._last_dts = dts
        pts = packet.pts if packet.pts is not None else dts
        return max(pts, dts), dts, duration


def parameter_sets(data: bytes, codec: str) -> bytes | None:
    """Return the H.264 or H.265 parameter sets at the start of a key frame with start codes; None if there are none.

    Two key frames with equal sets belong to the same stream: same codec, profile and picture size.
    """
    head = data[:_PARAMETER_BYTES]
    if not head.startswith(_START_CODES):
        return None
    units = [unit.rstrip(b"\x00") for unit in head.split(b"\x00\x00\x01")]
    if codec == "hevc":
        sets = [unit for unit in units if unit and unit[0] >> 1 & 0x3F in (32, 33, 34)]  # VPS, SPS, PPS
    else:
        sets = [unit for unit in units if unit and unit[0] & 0x1F in (7, 8)]  # SPS, PPS
    return b"\x00".join(sets) or None


def has_picture(data: bytes, codec: str) -> bool:
    """Return whether an H.264 or H.265 packet with start codes holds a part of a picture. Long ones do, without a look.

    When a connection ends, what comes before a picture may come without it.
    """
    if len(data) > _PARAMETER_BYTES or not data.startswith(_START_CODES):
        return True
    kinds = [unit[0] for unit in data.split(b"\x00\x00\x01")[1:] if unit]
    if codec == "hevc":
        return any(kind >> 1 & 0x3F < 32 for kind in kinds)
    return any(1 <= kind & 0x1F <= 5 for kind in kinds)
