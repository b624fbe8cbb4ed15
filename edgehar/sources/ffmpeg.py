"""Open files and addresses with FFmpeg (PyAV), with typed errors that never show a password."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
from typing import TYPE_CHECKING

import av
from av.stream import Disposition

from edgehar.errors import SourceError
from edgehar.sources.address import credentials_hint
from edgehar.sources.avio import ffmpeg, is_available
from edgehar.sources.base import AccessRefusedError
from edgehar.sources.peers import connections, redirected_to
from edgehar.sources.playlists import HLS, open_playlist
from edgehar.sources.redirect import authorities, redirect_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from edgehar.sources.options import VideoOptions

_RTSP = "rtsp,rtsps,rtp,rtcp,srtp,udp,tcp,tls"
# Protocols that each scheme needs. A file may not open the network, the network may not open files, and what came over
# TLS may not go on without it.
_PROTOCOLS = {
    "file": "file,crypto,data",
    "http": "http,https,httpproxy,tcp,tls,crypto,data",
    "https": "https,httpproxy,tcp,tls,crypto,data",
    "rtsp": _RTSP,
    "rtsps": _RTSP,
}
_LISTS = frozenset({"concat", "imf"})
# Formats without video, which FFmpeg reads to their end before it returns.
_TEXTS = frozenset(
    [
        *("aqtitle", "ass", "ffmetadata", "jacosub", "lrc", "mcc", "microdvd", "mpl2", "mpsub", "pjs", "realtext"),
        *("sami", "sbg", "scc", "srt", "stl", "subviewer", "subviewer1", "tedcaptions", "vobsub", "vplayer", "webvtt"),
    ]
)
_MOST_REDIRECTS = 5
# Largest allocation of FFmpeg in bytes: a plane of 8192 x 8192 pixels and some.
_MOST_BYTES = 100 << 20
_limited = False


def open_container(uri: str, name: str, options: VideoOptions) -> InputContainer:
    """Open a path or address.

    Raises:
        AccessRefusedError: the server refuses the user name or password.
        SourceError: it does not exist or cannot be read, or its server redirects to another host.
    """
    limit_allocations()
    # FFmpeg would read the text before a colon in a path as a protocol.
    address = uri if is_network(uri) or uri.startswith("file:") else f"file:{uri}"
    settings = _settings(uri, options)
    for _ in range(_MOST_REDIRECTS):
        try:
            return _open(address, name, settings, options)
        except (av.FFmpegError, OSError) as error:
            target = redirect_of(address, options) if address.startswith("http") and _may_be_redirect(error) else None
            if target is None:
                refused = isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError)
                message = _why_not_opened(error, network=is_network(uri)) + _hint(error, uri, settings)
                break
            address = target
    else:
        refused, message = False, f"the server redirects more than {_MOST_REDIRECTS} times; give the final address"
    # Not chained, because FFmpeg's error repeats the address with its credentials.
    raise (AccessRefusedError if refused else SourceError)(f"{name}: {message}")


def _open(address: str, name: str, settings: dict[str, str], options: VideoOptions) -> InputContainer:
    """Open an address. Raises SourceError if it is RTSP and led to another host."""
    checked = address.startswith("rtsp") and options.redirects == "same-host"
    before = connections() if checked else {}
    timeout = (options.open_timeout_s, options.read_timeout_s)
    try:
        # Titles and the like are in any encoding, and are not used.
        container = av.open(address, options=settings, timeout=timeout, metadata_errors="replace")
    except av.FFmpegError as error:
        lists = {**settings, "format_whitelist": _formats()}
        may_be = _is_bounded(address) and _is_unlisted(error)
        playlist = open_playlist(address, name, lists, options) if may_be else None
        if playlist is None:
            raise
        return playlist
    other = redirected_to(address, before) if checked else None
    if other is not None:
        container.close()
        raise SourceError(f'{name}: the server redirects to {other}; give that address, or set redirects to "any"')
    return container


def _may_be_redirect(error: Exception) -> bool:
    """Return whether an error may be FFmpeg's refusal of a redirect, which has no error of its own."""
    return getattr(error, "errno", None) == errno.EIO


def _is_unlisted(error: Exception) -> bool:
    """Return whether an error may be FFmpeg's refusal of a format that is not listed, which has no error of its own."""
    return getattr(error, "errno", None) == errno.EINVAL


def _hint(error: Exception, uri: str, settings: dict[str, str]) -> str:
    hint = credentials_hint(uri) if is_network(uri) else ""
    if "tls_verify" in settings and not isinstance(error, av.HTTPError | av.InvalidDataError):
        hint += "; if its certificate is not trusted, give ca_file, or set tls_verify to false"
    return hint


def limit_allocations() -> None:
    """Limit what one allocation of FFmpeg may take, because streams without end and wrong headers ask for gigabytes."""
    global _limited
    if _limited:
        return
    _limited = True
    with contextlib.suppress(OSError, AttributeError):
        ffmpeg().av_max_alloc(ctypes.c_size_t(_MOST_BYTES))


def video_stream(container: InputContainer, name: str, options: VideoOptions) -> VideoStream:
    """Return the first video stream of a container. Closes the container if there is none.

    Raises:
        SourceError: it has no video, too large pictures, or no decoder for them.
    """
    streams = [stream for stream in container.streams.video if not _is_picture(stream)]
    if not streams:
        container.close()
        raise SourceError(f"{name}: contains no video; give a file with video")
    stream = streams[0]
    if stream.codec_context is None:
        container.close()
        raise SourceError(f"{name}: no decoder for its video; re-encode it: ffmpeg -i IN OUT.mp4")
    if stream.width * stream.height > options.max_pixels:
        container.close()
        raise SourceError(
            f"{name}: its pictures have {stream.width} x {stream.height} pixels, more than max_pixels allows "
            f"({options.max_pixels:,}); raise it, or re-encode it: ffmpeg -i IN -vf scale=1920:-2 OUT.mp4"
        )
    lossy = container.format.name == "mpegts" or (container.format.name == "rtsp" and options.transport == "udp")
    # The decoder of H.265 conceals errors without a flag on the frame. Those of MPEG-1 and 2 always flag it, and with
    # "explode" they refuse streams that are whole.
    codec = stream.codec_context.name
    lossy = (lossy or codec == "hevc") and codec not in ("mpeg1video", "mpeg2video")
    decoding = {"max_pixels": str(options.max_pixels)}
    # Report errors instead of concealing them.
    stream.codec_context.options = {**decoding, "err_detect": "explode"} if lossy else decoding
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
    scheme = uri.partition("://")[0] if is_network(uri) else "file"
    # A server must not make this device open ports or other protocols, for example by a session description over HTTP.
    settings = {
        "protocol_whitelist": _PROTOCOLS[scheme],
        "format_whitelist": _formats(),
        "max_pixels": str(options.max_pixels),
    }
    if scheme.startswith("rtsp"):
        # Measuring the frame rate takes a second, and the frames of that second would be late.
        settings |= {"rtsp_transport": options.transport, "fpsprobesize": "0"}
    if scheme.startswith("http"):
        settings |= {"max_redirects": "0", "fpsprobesize": "0"}
        if _is_bounded(uri):
            settings["format_whitelist"] = _formats(but=HLS)
    if scheme in ("rtsps", "https"):
        # By default FFmpeg trusts any server, and does not know the system's certificate authorities.
        settings |= {"tls_verify": str(int(options.tls_verify)), "ca_file": authorities(options)}
    return settings


def _is_bounded(address: str) -> bool:
    """Return whether playlists at an address are opened by `open_playlist`."""
    return address.startswith("http") and is_available()


@functools.cache
def _formats(but: str = "") -> str:
    """Return the formats that may be read: all but texts, `but`, and lists of files, which may name themselves."""
    return ",".join(sorted(av.formats_available - _LISTS - _TEXTS - {but}))


def _why_not_opened(error: Exception, *, network: bool) -> str:
    if isinstance(error, av.FileNotFoundError):
        return "no such file; check the path"
    if isinstance(error, av.HTTPUnauthorizedError | av.HTTPForbiddenError):
        return "the server refuses the user or password; check both, with special characters percent-encoded"
    is_not_video = isinstance(error, av.InvalidDataError) or _is_unlisted(error)
    if is_not_video and network:
        return "no answer in time, or the answer is not a video; check the address"
    if is_not_video:
        return "not a readable video; it may be damaged, truncated, or not a video: copy or re-encode it"
    return f"cannot be opened: {reason_of(error)}; check the address, the network and permissions"
