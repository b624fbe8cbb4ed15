"""Frames from video files and network streams, through PyAV (FFmpeg)."""

from __future__ import annotations

import logging
import ssl
import time
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from edgehar.credentials import without_credentials
from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat, YuvMatrix
from edgehar.sources.base import AccessRefusedError, HandleSource
from edgehar.sources.clock import FileClock, LiveClock
from edgehar.sources.planes import in_place, is_full_range, yuv_matrix

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import numpy.typing as npt
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edgehar.sources.base import PacketFeed, PacketTap

_log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
_FALLBACK_RATE_HZ = 25.0
# Where Debian and Raspberry Pi OS keep the certificate authorities.
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# A file that gives less than this share of the frames its header promises is reported as damaged.
_COMPLETE = 0.95
TRANSPORTS = ("tcp", "udp")


class VideoSource(HandleSource):
    """The first video stream of a file or address, upright, frame by frame. It can be read once.

    Frames come in the format of the decoder, most often I420, as read-only views of its memory, where `FrameRing` can
    read that; the others (more than 8 bits, 4:2:2 and 4:4:4 planes, palettes, what has to be turned) are converted to
    BGR24. Frames may be kept: they hold their memory for as long as they live.

    `captured_s` comes from the presentation times of the stream, so that a variable frame rate is respected: seconds
    since the first frame for files, put on the monotonic clock by their arrival for live ones.

    Attributes:
        name: the path, or the address without credentials.
        live: True for streams that have no end.
    """

    def __init__(
        self,
        uri: str,
        *,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        transport: str = "tcp",
        tls_verify: bool = True,
        ca_file: str | None = None,
        tap: PacketTap | None = None,
    ) -> None:
        """Open a file or address.

        Args:
            uri: a path, or an `rtsp://`, `rtsps://`, `http://` or `https://` address.
            open_timeout_s: how long a server may take to answer.
            read_timeout_s: how long a stream may stand still.
            transport: how RTSP streams come: "tcp" passes firewalls and loses no packets, "udp" is what some cameras
                need.
            tls_verify: whether `rtsps://` and `https://` servers must show a certificate that is trusted and theirs.
            ca_file: the authorities trusted, as PEM; those of the system when None.
            tap: gets the packets before they are decoded.

        Raises:
            SourceError: it is not there, cannot be read, or has no video; AccessRefusedError for a wrong password.
            ConfigError: no such transport.
        """
        super().__init__()
        self.name = without_credentials(uri)
        if transport not in TRANSPORTS:
            raise ConfigError(f"{self.name}: transport is {transport!r}, it must be one of {', '.join(TRANSPORTS)}")
        options = _options(uri, transport, tls_verify=tls_verify, ca_file=ca_file)
        self._container = _open(uri, self.name, (open_timeout_s, read_timeout_s), options)
        self._stream = self._video_stream()
        self.live = "://" in uri and not uri.startswith("file:") and self._container.duration is None
        tick = self._stream.time_base
        self._tick = None if tick is None else (tick.numerator, tick.denominator)
        rate_hz = float(self._stream.average_rate or self._stream.guessed_rate or _FALLBACK_RATE_HZ)
        self._clock = LiveClock() if self.live else FileClock(1.0 / rate_hz)
        self._reformatter = VideoReformatter()
        self._decoded = self._decode()
        self._sequence = 0
        self._tap = tap
        self._feed: PacketFeed | None = None

    @classmethod
    def from_uri(cls, uri: str, **options: Any) -> Self:
        """Open a path, `file:` path or address."""
        return cls(uri, **options)

    def _video_stream(self) -> VideoStream:
        streams = self._container.streams.video
        if not streams:
            self._container.close()
            raise SourceError(f"{self.name}: holds no video; give a file that does")
        if streams[0].codec_context is None:
            self._container.close()
            raise SourceError(f"{self.name}: there is no decoder for its video; re-encode it: ffmpeg -i IN OUT.mp4")
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
        # AVI stores no presentation times. Those that FFmpeg makes up run to and fro where B-frames are packed (as in
        # UCF101 and UT-Interaction); the decode times that come out with the frames count them as they are shown.
        stamp = decoded.dts if self._container.format.name == "avi" else decoded.pts
        return None if stamp is None or self._tick is None else stamp * self._tick[0] / self._tick[1]

    def _release(self) -> None:
        if self._feed is not None:
            self._feed.end()
        self._decoded.close()
        self._container.close()
        # Closed or not, the decoder and its threads live as long as something refers to them.
        del self._decoded, self._stream, self._container

    def _decode(self) -> Generator[VideoFrame]:
        """Every frame that can be decoded; what cannot is passed over, and reported once at the end."""
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
                f"{self.name}: no frame can be decoded; it is empty, cut off or damaged: copy or re-encode it"
            )
        missing = frames < _COMPLETE * self._stream.frames
        if damaged or missing:
            of_all = f" of {self._stream.frames}" if missing else ""
            _log.warning("%s: damaged or cut off: %d%s frames could be decoded", self.name, frames, of_all)

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Packets until the file ends or breaks off, then None to get out the frames that the decoder holds back."""
        if self._tap is not None:
            self._feed = self._tap.begin(self._stream, live=self.live)
        try:
            for packet in self._container.demux(self._stream):
                if self._feed is not None:
                    self._feed.packet(packet)
                yield packet
            trouble = "the stream ended"
        except av.FFmpegError as error:
            trouble = _reason(error)
            yield None
        if self.live:
            raise SourceError(f"{self.name}: {trouble}; check the camera and the network")

    def _frame(self, decoded: VideoFrame, captured_s: float, arrived_s: float) -> Frame:
        """A frame upright, as its display matrix says: in the decoder's own memory where the kernel can read that."""
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
        """A frame's pixels as uint8 `(height, width, 3)` BGR; with no matrix, by what FFmpeg knows of its colours."""
        try:
            # FFmpeg takes video that does not name its matrix for BT.601, whatever its size. One thread: at these sizes
            # handing slices to others costs more than converting.
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


def _options(uri: str, transport: str, *, tls_verify: bool, ca_file: str | None) -> dict[str, str]:
    """What FFmpeg is told about an address."""
    options = {}
    if uri.startswith("rtsp"):
        # To find out the frame rate, which nobody needs, takes a second, whose frames would then be late.
        options = {"rtsp_transport": transport, "fpsprobesize": "0"}
    if uri.startswith(("rtsps:", "https:")):
        # By itself FFmpeg believes any server, and does not know where the system keeps its authorities.
        known = ca_file or ssl.get_default_verify_paths().cafile or _SYSTEM_AUTHORITIES
        options |= {"tls_verify": str(int(tls_verify)), "ca_file": known}
    return options


def _open(uri: str, name: str, timeout_s: tuple[float, float], options: dict[str, str]) -> InputContainer:
    # A path with a colon would be taken for a protocol of FFmpeg's.
    address = uri if "://" in uri or uri.startswith("file:") else f"file:{uri}"
    try:
        return av.open(address, options=options, timeout=timeout_s)
    except (av.FFmpegError, OSError) as error:
        refused = isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError)
        message = _why_not_opened(error, network="://" in uri)
        if "tls_verify" in options and message.startswith("cannot be opened"):
            message += ", or its certificate is not trusted: give ca_file, or set tls_verify to false"
    # Not chained: FFmpeg's own error repeats the address, credentials and all.
    raise (AccessRefusedError if refused else SourceError)(f"{name}: {message}")


def _why_not_opened(error: Exception, *, network: bool) -> str:
    if isinstance(error, av.FileNotFoundError):
        return "no such file; check the path"
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return "the server refuses the user or password; check both, with special characters percent-encoded"
    if isinstance(error, av.InvalidDataError) and network:
        return "no answer in time, or none that is a video; check the address"
    if isinstance(error, av.InvalidDataError):
        return "not a video that can be read; it may be damaged, cut off, or no video at all: copy or re-encode it"
    return f"cannot be opened: {_reason(error)}; check the address, the network and permissions"


def _reason(error: Exception) -> str:
    if isinstance(error, av.ExitError):
        return "no answer in time"
    return getattr(error, "strerror", None) or type(error).__name__
