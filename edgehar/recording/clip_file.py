"""One clip: a fragmented MP4 that grows under a temporary name and can be played up to its last fragment."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import av

from edgehar.errors import SinkError
from edgehar.recording.packets import FRAGMENTED

if TYPE_CHECKING:
    from pathlib import Path

    from edgehar.recording.packets import Segment, StoredPacket

# Packets of these codecs play in Apple's players under this tag only.
_TAGS = {"hevc": "hvc1"}


class Output(Protocol):
    """A file that a clip is written to, plain or sealed."""

    sha256: str
    size: int

    def write(self, data: bytes) -> int:
        """Append bytes; OSError if the disk fails."""

    def flush(self) -> None:
        """Flush what was written to the disk; OSError if the disk fails."""

    def close(self) -> None:
        """Flush to the disk and close; OSError if the disk fails."""


class PlainOutput:
    """A file that is hashed as it is written.

    Attributes:
        sha256: of the whole file, in hexadecimal; complete after `close`.
        size: bytes written.
    """

    def __init__(self, path: Path) -> None:
        """Create the file with mode 0600; OSError if that fails."""
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._hash = hashlib.sha256()
        self.sha256, self.size = "", 0

    def write(self, data: bytes) -> int:
        """Append bytes; OSError if the disk is full or fails."""
        rest = memoryview(data)
        while rest:
            written = os.write(self._descriptor, rest)
            self._hash.update(rest[:written])
            self.size += written
            rest = rest[written:]
        return len(data)

    def flush(self) -> None:
        """Flush what was written to the disk; OSError if the disk fails."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Flush to the disk and close. Safe to call twice."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.sha256 = self._hash.hexdigest()


@dataclass(frozen=True)
class ClipFacts:
    """Facts about a finished clip.

    Attributes:
        codec: FFmpeg's name.
        width: pixels.
        height: pixels.
        frames: pictures in it.
        start_s: capture time of the first picture, in seconds on the source's clock.
        end_s: capture time of the last one.
        gaps: places where packets are missing.
    """

    codec: str
    width: int
    height: int
    frames: int
    start_s: float
    end_s: float
    gaps: int


class ClipWriter:
    """Muxes packets into a fragmented MP4. All methods raise SinkError if the disk fails."""

    def __init__(self, output: Output, segment: Segment) -> None:
        """Start a clip with the packets of a segment, of which at least one key frame has come."""
        assert segment.header is not None
        self.output = output
        self._segment = segment
        self._template = av.open(io.BytesIO(segment.header))
        source = self._template.streams.video[0]
        self._container: Any = av.open(_Guarded(output), "w", format="mp4", options=FRAGMENTED)
        self._stream = self._container.add_stream_from_template(source)
        if segment.codec in _TAGS:
            self._stream.codec_tag = _TAGS[segment.codec]
        self._size = (source.codec_context.width, source.codec_context.height)
        self._shift: int | None = None
        self._next_sequence: int | None = None
        self._last_dts = -1
        self._frames = self._gaps = 0
        self._start_s = self._end_s = 0.0

    def length_with(self, packet: StoredPacket) -> float:
        """Return the seconds of video up to a packet."""
        return packet.captured_s - self._start_s

    def takes(self, segment: Segment) -> bool:
        """Whether packets of this segment can follow in the same file."""
        return segment is self._segment or segment.signature == self._segment.signature

    def write(self, packet: StoredPacket) -> None:
        """Append a packet; the first one must be a key frame."""
        captured_s, segment = packet.captured_s, packet.segment
        if self._next_sequence is not None and packet.sequence != self._next_sequence:
            self._gaps += 1
        self._next_sequence = packet.sequence + 1
        if self._shift is None:
            self._start_s = self._end_s = captured_s
            self._shift = packet.dts
        elif segment is not self._segment:
            # Another connection: its times begin elsewhere, and follow those before by their capture times.
            later = round(max(0.0, captured_s - self._start_s) / segment.time_base)
            self._shift = packet.dts - max(later, self._last_dts + 1)
        self._segment = segment
        copy: Any = av.Packet(packet.data)
        copy.dts = max(packet.dts - self._shift, self._last_dts + 1)
        copy.pts = max(packet.pts - self._shift, copy.dts)
        copy.duration, copy.time_base = packet.duration, segment.time_base
        copy.is_keyframe, copy.stream = packet.is_key, self._stream
        self._last_dts = copy.dts
        self._frames += 1
        self._end_s = max(self._end_s, captured_s)
        self._guard(lambda: self._container.mux(copy))

    def flush(self) -> None:
        """Flush the whole fragments so far to the disk, so that a power cut does not lose them."""
        self._guard(self.output.flush)

    def close(self) -> ClipFacts:
        """Finish the file and flush it to the disk."""
        try:
            self._guard(self._container.close)
            self._guard(self.output.close)
        finally:
            self._template.close()
        return ClipFacts(self._segment.codec, *self._size, self._frames, self._start_s, self._end_s, self._gaps)

    def abandon(self) -> None:
        """Close the file after a failure; it plays up to its last whole fragment."""
        for close in (self._container.close, self.output.close, self._template.close):
            try:
                close()
            except (OSError, av.FFmpegError, SinkError):
                continue

    def _guard(self, work: Any) -> None:
        try:
            work()
        except (OSError, av.FFmpegError) as error:
            raise SinkError(f"a clip cannot be written: {getattr(error, 'strerror', None) or error}") from error


class _Guarded:
    """The output as PyAV wants it: an object with `write` only. After a failure it swallows the rest.

    FFmpeg goes on writing its trailer after a failed write.
    """

    def __init__(self, output: Output) -> None:
        self._output, self._failed = output, False

    def write(self, data: bytes) -> int:
        if self._failed:
            return len(data)
        try:
            return self._output.write(bytes(data))
        except OSError:
            self._failed = True
            raise
