"""Another stream of a camera, of which only the packets are kept: watch the sub-stream, record the main stream."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import av

from edgehar.backoff import Backoff
from edgehar.credentials import without_credentials
from edgehar.errors import SourceError
from edgehar.sources.base import AccessRefusedError
from edgehar.sources.clock import LiveClock
from edgehar.sources.ffmpeg import open_container

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.recording.packets import PacketRing
    from edgehar.sources.options import VideoOptions

_log = logging.getLogger(__name__)

_FIRST_DELAY_S, _MAX_DELAY_S = 1.0, 10.0
# Cameras lock out clients that retry a wrong password too often.
_REFUSED_DELAY_S = 60.0


class SideStream:
    """Reads packets into a ring on its own thread, without decoding them, and reconnects when that breaks off."""

    def __init__(
        self, uri: str, options: VideoOptions, ring: PacketRing, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start to read.

        Args:
            uri: address of the stream.
            options: timeouts, transport and TLS.
            ring: gets the packets.
            clock: monotonic seconds.
        """
        self.name = without_credentials(uri)
        self._uri, self._options, self._ring, self._clock = uri, options, ring, clock
        self._closing = threading.Event()
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._work, name="edgehar-record-source", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 1.0) -> None:
        """End; a read that hangs is left alone."""
        self._closing.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        backoff = Backoff(_FIRST_DELAY_S, _MAX_DELAY_S)
        while not self._closing.is_set():
            delay_s = backoff.next_delay_s()
            try:
                if self._read():
                    backoff.reset()
                trouble = "the stream ended"
            except AccessRefusedError as error:
                trouble, delay_s = str(error), _REFUSED_DELAY_S
            except (SourceError, av.FFmpegError, OSError) as error:
                trouble = str(getattr(error, "strerror", None) or error)
            if not self._closing.is_set() and trouble != self._trouble:
                self._trouble = trouble
                _log.warning("%s: %s; events have no clip until it is back", self.name, trouble)
            self._closing.wait(delay_s)

    def _read(self) -> bool:
        """Read until the stream ends; return whether there was a packet."""
        container = open_container(self._uri, self.name, self._options)
        feed = None
        count = 0
        try:
            if not container.streams.video:
                raise SourceError(f"{self.name}: has no video")
            stream = container.streams.video[0]
            feed = self._ring.begin(stream, live=True)
            if feed is None:
                codec = stream.codec_context.name if stream.codec_context is not None else "unknown"
                raise SourceError(f"{self.name}: is {codec}; record_source must be H.264 or H.265")
            times = LiveClock()
            for packet in container.demux(stream):
                if self._closing.is_set():
                    break
                if packet.dts is not None and packet.time_base is not None:
                    stamp_s = float(packet.dts * packet.time_base)
                    feed.placed(stamp_s, times.captured_s(stamp_s, self._clock()))
                feed.packet(packet)
                count += 1
                if count == 1 and self._trouble is not None:
                    self._trouble = None
                    _log.info("%s: is back", self.name)
        finally:
            if feed is not None:
                feed.end()
            container.close()
        return count > 0
