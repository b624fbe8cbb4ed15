"""Open files and addresses with FFmpeg (PyAV), with typed errors that never show a password."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import av
from av.stream import Disposition

from edgehar.errors import SourceError
from edgehar.sources.base import AccessRefusedError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from edgehar.sources.options import VideoOptions

# Certificate authorities of Debian and Raspberry Pi OS.
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def open_container(uri: str, name: str, options: VideoOptions) -> InputContainer:
    """Open a path or address.

    Raises:
        AccessRefusedError: the server refuses the user name or password.
        SourceError: it does not exist or cannot be read.
    """
    # FFmpeg would read the text before a colon in a path as a protocol.
    address = uri if is_network(uri) or uri.startswith("file:") else f"file:{uri}"
    settings = _settings(uri, options)
    try:
        return av.open(address, options=settings, timeout=(options.open_timeout_s, options.read_timeout_s))
    except (av.FFmpegError, OSError) as error:
        refused = isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError)
        message = _why_not_opened(error, network=is_network(uri))
        if "tls_verify" in settings and message.startswith("cannot be opened"):
            message += ", or its certificate is not trusted: give ca_file, or set tls_verify to false"
    # Not chained, because FFmpeg's error repeats the address with its credentials.
    raise (AccessRefusedError if refused else SourceError)(f"{name}: {message}")


def video_stream(container: InputContainer, name: str, options: VideoOptions) -> VideoStream:
    """Return the first video stream of a container. Closes the container if there is none.

    Raises:
        SourceError: it has no video, or no decoder for it.
    """
    streams = [stream for stream in container.streams.video if not _is_picture(stream)]
    if not streams:
        container.close()
        raise SourceError(f"{name}: contains no video; give a file with video")
    stream = streams[0]
    if stream.codec_context is None:
        container.close()
        raise SourceError(f"{name}: no decoder for its video; re-encode it: ffmpeg -i IN OUT.mp4")
    lossy = container.format.name == "mpegts" or (container.format.name == "rtsp" and options.transport == "udp")
    if lossy:
        # Report errors instead of concealing them.
        stream.codec_context.options = {"err_detect": "explode"}
    return stream


def _is_picture(stream: VideoStream) -> bool:
    """Return whether a stream is a cover picture or thumbnail, which players show beside the file."""
    return bool(
        stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image)
    )


def is_network(uri: str) -> bool:
    """Return whether a normalized address is on the network."""
    return uri.startswith(("rtsp://", "rtsps://", "http://", "https://"))


def reason_of(error: Exception) -> str:
    """Return a short reason for an error of FFmpeg, without the address."""
    if isinstance(error, av.ExitError):
        return "no answer in time"
    return getattr(error, "strerror", None) or type(error).__name__


def _settings(uri: str, options: VideoOptions) -> dict[str, str]:
    """Return FFmpeg's options for an address."""
    settings = {}
    if uri.startswith("rtsp"):
        # Measuring the frame rate takes a second, and the frames of that second would be late.
        settings = {"rtsp_transport": options.transport, "fpsprobesize": "0"}
    if uri.startswith(("rtsps:", "https:")):
        # By default FFmpeg trusts any server, and does not know the system's certificate authorities.
        known = options.ca_file or ssl.get_default_verify_paths().cafile or _SYSTEM_AUTHORITIES
        settings |= {"tls_verify": str(int(options.tls_verify)), "ca_file": known}
    return settings


def _why_not_opened(error: Exception, *, network: bool) -> str:
    if isinstance(error, av.FileNotFoundError):
        return "no such file; check the path"
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return "the server refuses the user or password; check both, with special characters percent-encoded"
    if isinstance(error, av.InvalidDataError) and network:
        return "no answer in time, or the answer is not a video; check the address"
    if isinstance(error, av.InvalidDataError):
        return "not a readable video; it may be damaged, truncated, or not a video: copy or re-encode it"
    return f"cannot be opened: {reason_of(error)}; check the address, the network and permissions"
