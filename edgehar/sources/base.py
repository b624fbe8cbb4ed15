"""Base classes of all sources of frames."""

from __future__ import annotations

import abc
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from edgehar.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.packet import Packet
    from av.video.stream import VideoStream

    from edgehar.frames import Frame
    from edgehar.sources.options import DecodeMode


class AccessRefusedError(SourceError):
    """A camera or server refuses the user name or password. Frequent retries would lock the user out."""


class OffHoursError(SourceError):
    """The settings say that this source is not to be read now. It is opened again later."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a source decodes video now.

    Attributes:
        mode: what is decoded: "full", "skip-loop-filter", "reference-only" or "key".
        hardware: name of the hardware that decodes; None for software.
        busy_s: seconds that decoding has taken since the source was opened.
    """

    mode: str
    hardware: str | None
    busy_s: float


class Source(abc.ABC):
    """Frames in capture order. Iterate it and close it, or use it as a context manager.

    Attributes:
        name: name of this source in results, without credentials.
        live: True if frames arrive at their own pace and late frames are worthless (a camera); False if every frame
            counts and the reader sets the pace (a file). Frames of a live source have `captured_s` on the clock of
            `time.monotonic`, never later than they arrive.
        reopens: whether a live source that failed may deliver frames again when it is reopened.
        burst_s: longest time for which frames may be held back and then delivered at once, in seconds.
        needs: tells whether a frame will be used, by its capture time and the time between frames, both in seconds. A
            frame that will not be may carry the picture before it. None if all are used. Set it like `tap`.
        tap: gets the encoded packets of a video source, if it is set before the first frame is read.
    """

    live: bool = False
    reopens: bool = True
    burst_s: float = 0.0
    tap: PacketTap | None = None
    needs: Callable[[float, float], bool] | None = None
    name: str

    @classmethod
    def from_uri(cls, uri: str, options: Any) -> Self:
        """Open an address with the options struct of this kind of source.

        Raises:
            SourceError: the source does not exist or cannot be read.
            ConfigError: the address is invalid.
        """
        raise NotImplementedError(f"{cls.__name__} has no address")

    @classmethod  # noqa: B027 - most kinds need nothing beyond their imports
    def check(cls) -> None:
        """Check whether this kind of source works here. Raises SourceError if a library is missing."""

    @property
    def damaged(self) -> int:
        """Frames dropped so far because they were damaged."""
        return 0

    @property
    def decoding(self) -> Decoding | None:
        """How video is decoded now; None if nothing is decoded."""
        return None

    def use_decode_mode(self, mode: DecodeMode) -> None:  # noqa: B027 - most sources decode nothing
        """Request another mode, if the options leave the mode to the load of the device. Any thread may call this."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the source ends. Raises SourceError if it cannot be read."""

    def close(self) -> None:  # noqa: B027 - many sources hold nothing
        """Release the device or file. Safe to call twice, and from another thread than the reader's."""

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
    """A source that reads from a native handle, which must not be released while another thread reads from it.

    Subclasses implement `_read` and `_release`. Only one thread at a time calls them, and `_release` is called once.
    """

    def __init__(self) -> None:
        self._handle_lock = threading.Lock()
        self._closing = False
        self._released = False

    @abc.abstractmethod
    def _read(self) -> Frame | None:
        """Return the next frame, or None at the end. Raises SourceError if the handle fails."""

    @abc.abstractmethod
    def _release(self) -> None:
        """Release the handle."""

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._read_unless_closed()) is not None:
            yield frame

    def close(self) -> None:
        """Release the handle now, or as soon as a read in another thread returns. Never waits for that read."""
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
