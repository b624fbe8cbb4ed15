"""What every source of frames has in common."""

from __future__ import annotations

import abc
import threading
from typing import TYPE_CHECKING, Protocol, Self

from edgehar.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.packet import Packet
    from av.video.stream import VideoStream

    from edgehar.frames import Frame


class AccessRefusedError(SourceError):
    """A camera or server refuses the user or password. To try often would lock the user out."""


class Source(abc.ABC):
    """Frames in capture order. Iterate it, and close it (or use it as a context manager).

    Attributes:
        name: how results name this source, without credentials.
        live: True when frames come at their own pace and late ones are worth nothing (a camera); False when every
            frame counts and the reader sets the pace (a file). The frames of a live source are captured on the clock of
            `time.monotonic`, never later than they arrive.
        reopens: whether a live source that broke off may give frames again when it is opened anew.
    """

    live: bool = False
    reopens: bool = True
    name: str

    @classmethod  # noqa: B027 - most kinds need no more than what importing them needs
    def check(cls) -> None:
        """See whether sources of this kind can be opened here; SourceError when a library is missing."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Frames until the source ends; SourceError when it cannot be read."""

    def close(self) -> None:  # noqa: B027 - many sources hold nothing
        """Let go of the device or file. Safe to call twice, and from another thread than the one that iterates."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PacketFeed(Protocol):
    """Gets the encoded packets of one open stream from the thread that reads it. It must return at once."""

    def packet(self, packet: Packet[VideoStream]) -> None:
        """Take a packet, before it is decoded."""

    def placed(self, stamp_s: float, captured_s: float) -> None:
        """Learn the capture time of the frame with this presentation time, both in seconds."""

    def end(self) -> None:
        """Forget the stream, which is about to be closed."""


class PacketTap(Protocol):
    """Gets the encoded packets of a video source, over all its connections."""

    def begin(self, stream: VideoStream, *, live: bool) -> PacketFeed | None:
        """Learn of an open stream, which replaces the one before it; None if its packets are not wanted."""

    def shifted(self, by_s: float) -> None:
        """Learn that frames get this many seconds added to their capture time after the video source."""


class HandleSource(Source):
    """A source that reads from a native handle, which must never be let go of while another thread reads from it.

    Subclasses give `_read` and `_release`; both are only ever called by one thread at a time, and `_release` once.
    """

    def __init__(self) -> None:
        self._handle_lock = threading.Lock()
        self._closing = False
        self._released = False

    @abc.abstractmethod
    def _read(self) -> Frame | None:
        """The next frame, or None at the end; SourceError when the handle gives no more."""

    @abc.abstractmethod
    def _release(self) -> None:
        """Let go of the handle."""

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._read_unless_closed()) is not None:
            yield frame

    def close(self) -> None:
        """Let go of the handle now, or, when a read is under way in another thread, as soon as that read returns."""
        self._closing = True
        if self._handle_lock.acquire(blocking=False):
            try:
                self._release_once()
            finally:
                self._handle_lock.release()

    def _read_unless_closed(self) -> Frame | None:
        with self._handle_lock:
            frame = None if self._closing else self._read()
            if self._closing:
                self._release_once()
                return None
            return frame

    def _release_once(self) -> None:
        if not self._released:
            self._released = True
            self._release()


def checked_target_size(target_size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Height and width that frames will be shrunk to, as given; ConfigError when they are no two sizes."""
    if target_size is not None and (len(target_size) != 2 or min(target_size) < 1):
        raise ConfigError(f"target_size is {target_size}, it must be height and width in pixels, for example (60, 60)")
    return target_size
