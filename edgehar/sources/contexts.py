"""The decoder of a video stream: how much it leaves out, how many threads it has, and whether it is hardware."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from edgehar.sources.hardware import hardware_context

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_log = logging.getLogger(__name__)

# FFmpeg's `skip_loop_filter` and `skip_frame` of each mode.
_LEFT_OUT = {
    "full": ("default", "DEFAULT"),
    "skip-loop-filter": ("all", "DEFAULT"),
    "reference-only": ("all", "NONREF"),
    "key": ("default", "NONKEY"),
}
# Hardware that has returned no frame for so many packets does not work, or no longer.
_MOST_SILENT = 64
# Properties that a container may know although the stream itself does not.
_COLORS = ("color_range", "color_primaries", "color_trc", "colorspace")


@dataclass(frozen=True, slots=True)
class How:
    """How to decode a stream.

    Attributes:
        mode: what to decode: "full", "skip-loop-filter", "reference-only" or "key".
        threads: threads that decode the slices of a picture; one per core if None.
        hwaccel: "none", "auto", or the name of hardware to decode with.
    """

    mode: str = "full"
    threads: int | None = None
    hwaccel: str = "none"


class StreamDecoder:
    """Decodes packets, and may change what it leaves out.

    Attributes:
        mode: what is decoded now. Hardware decodes in full.
        wanted: the mode to change to at the next packet that needs no earlier one. Any thread may set it.
        hardware: name of the hardware; None for software.
    """

    def __init__(self, first: VideoCodecContext, name: str, how: How, *, exchange: bool = False) -> None:
        """Set up a decoder.

        Args:
            first: the decoder that FFmpeg made for the stream, which has decoded nothing yet.
            name: name of the source in the log.
            how: mode, threads and hardware.
            exchange: whether to leave `first` alone, and decode with another one.
        """
        self.mode = self.wanted = how.mode
        self.hardware: str | None = None
        self._name, self._threads = name, how.threads
        self._first = self._context = first
        # Opening a decoder clears its options.
        self._options = dict(first.options)
        self._held: list[VideoFrame] = []
        self._silent = 0
        found = None if how.hwaccel == "none" else hardware_context(first, name, how.hwaccel)
        if found is not None:
            self._context, self.hardware = found
            self.mode = "full"
            self._context.copy_opaque = True
        elif exchange:
            self._exchange()
        else:
            self._set(first)

    def decode(self, packet: Packet[VideoStream] | None, *, begins: bool = False) -> list[VideoFrame]:
        """Return the frames that a packet completes; None flushes the decoder.

        Args:
            packet: the packet.
            begins: whether neither it nor a later packet needs an earlier one.

        Raises:
            av.FFmpegError: the packet cannot be decoded.
        """
        if begins and self._is_to_change():
            self._change()
        self._silent += 1
        frames = self._context.decode(packet)
        if frames:
            self._silent = 0
        if self._held:
            frames, self._held = self._held + frames, []
        return frames

    def release(self) -> None:
        """Drop the decoder, because a reference would keep its threads alive."""
        del self._first, self._context

    def _is_to_change(self) -> bool:
        if self.hardware is None:
            return self.wanted != self.mode
        return self._silent >= _MOST_SILENT

    def _change(self) -> None:
        """Continue with another decoder, and hold the frames that the present one has not returned yet."""
        with contextlib.suppress(av.FFmpegError):
            self._held += self._context.decode(None)
        if self.hardware is not None:
            _log.warning("%s: %s returns no frames; decoding in software", self._name, self.hardware)
            self.hardware = None
        self.mode = self.wanted
        self._exchange()

    def _exchange(self) -> None:
        first = self._first
        another = av.CodecContext.create(first.codec.name, "r")
        assert isinstance(another, type(first))
        another.extradata = first.extradata
        for name in _COLORS:
            setattr(another, name, getattr(first, name))
        self._set(another)
        if first.is_open:
            # Its pictures would otherwise stay in memory.
            first.flush_buffers()
        self._context = another

    def _set(self, context: VideoCodecContext) -> None:
        loop_filter, frames = _LEFT_OUT[self.mode]
        # PyAV has no attribute for the loop filter. Options are read when the decoder opens.
        context.options = {**self._options, "skip_loop_filter": loop_filter}
        context.skip_frame = frames  # type: ignore[assignment]
        # The decoder then returns the number of a packet with the frame that it became.
        context.copy_opaque = True
        if self._threads is not None:
            context.thread_count = self._threads
