"""Open HLS with bounded playlists, because FFmpeg reads a playlist to its end, whatever it holds.

FFmpeg asks a `PlaylistOpener` for each playlist, segment and key, also to reload a live playlist. The opener reads a
playlist whole, up to a limit, before FFmpeg gets it. Other answers go to FFmpeg as they arrive.
"""

from __future__ import annotations

import io
import re
import time
import urllib.parse
from typing import TYPE_CHECKING

import av

from edgehar.errors import SourceError
from edgehar.sources.avio import Address, timed_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import InputContainer

    from edgehar.sources.options import VideoOptions

# FFmpeg's name of the format.
HLS = "hls"

_START = b"#EXTM3U"
# A day of segments of 4 s has about 2 MB.
_MOST_BYTES = 4 << 20
# What FFmpeg may keep of all playlists of an address, in bytes. An entry is an address and a struct. That of another
# playlist holds two addresses of 4 kB and buffers.
_MOST_KEPT = 64 << 20
_ENTRY, _PLAYLIST = 256, 1 << 20
_PLAYLISTS = (b"#EXT-X-STREAM-INF:", b"#EXT-X-MEDIA:")
_INITIAL = b"#EXT-X-MAP:"
_LINE_END = re.compile(rb"[\r\n\0]+")
_URI = re.compile(rb'URI="([^"]*)"')


def open_playlist(address: str, name: str, settings: Mapping[str, str], options: VideoOptions) -> InputContainer | None:
    """Open an address that FFmpeg takes for a playlist; None if it is not one.

    Args:
        address: the address, over HTTP.
        name: its name in messages.
        settings: FFmpeg's options for it.
        options: timeouts.

    Raises:
        av.FFmpegError: it cannot be opened.
        SourceError: a playlist is too large.
    """
    opener = PlaylistOpener(name, settings, options)
    if not opener.fetch_main(address):
        return None
    return av.open(
        address,
        format=HLS,
        # FFmpeg can only keep connections that it opened itself.
        options={**settings, "http_persistent": "0"},
        timeout=(options.open_timeout_s, options.read_timeout_s),
        metadata_errors="replace",
        io_open=opener,
    )


def opener_of(container: InputContainer) -> PlaylistOpener | None:
    """Return the opener of a container; None if it is not a playlist."""
    opener = getattr(container, "io_open", None)
    return opener if isinstance(opener, PlaylistOpener) else None


class PlaylistOpener:
    """Opens what FFmpeg asks for, with FFmpeg's own protocols.

    An exception would end the stream, so an answer that fails is empty, which FFmpeg skips. Only a playlist above the
    limits and the end of the time raise one, once.
    """

    def __init__(self, name: str, settings: Mapping[str, str], options: VideoOptions) -> None:
        self._name, self._options = name, options
        self._main_settings = dict(settings)
        self._settings = {
            key: settings[key] for key in ("protocol_whitelist", "tls_verify", "ca_file") if key in settings
        }
        self._ends_s = time.monotonic() + options.open_timeout_s
        self._main: bytes | None = None
        # What FFmpeg keeps of the latest text of each playlist, and what it keeps until the end.
        self._kept: dict[str, int] = {}
        self._kept_on = 0
        self._failed = False
        self._cookies: dict[str, str] = {}

    def restart(self) -> None:
        """Begin to wait for the next packet."""
        self._ends_s = time.monotonic() + self._options.read_timeout_s

    def fetch_main(self, address: str) -> bool:
        """Read the main playlist for FFmpeg's first request; False if it is not a playlist."""
        opened = self._open(address, self._main_settings)
        try:
            start = _start_of(opened)
            if not start.startswith(_START):
                return False
            self._main = self._playlist(address, opened, start)
        finally:
            opened.close()
        return True

    def __call__(self, url: str, _flags: int, options: Mapping[str, str]) -> _Text | _Answer:
        """Open an address for FFmpeg: a file object."""
        main, self._main = self._main, None
        if main is not None:
            self._ends_s = time.monotonic() + self._options.open_timeout_s
            return _Text(main)
        if self._failed:
            return _Text()
        try:
            opened = self._open(url, {**options, **self._settings, **self._cookies})
        except av.FFmpegError:
            self.check_time(url)
            return _Text()
        start = _start_of(opened)
        if not start.startswith(_START):
            return _Answer(self, url, start, opened)
        try:
            return _Text(self._playlist(url, opened, start))
        except (SourceError, av.FFmpegError):
            self._failed = True
            raise
        finally:
            opened.close()

    def _open(self, url: str, options: Mapping[str, str]) -> Address:
        opened = Address(url, options, self._is_over)
        cookies = opened.option("cookies")
        if cookies:
            self._cookies = {"cookies": cookies}
        return opened

    def check_time(self, url: str) -> None:
        """Raise ExitError if the time is over, the first time."""
        if self._is_over() and not self._failed:
            self._failed = True
            raise timed_out(url)

    def _is_over(self) -> bool:
        return self._failed or time.monotonic() > self._ends_s

    def _playlist(self, url: str, opened: Address, start: bytes) -> bytes:
        """Return the text of a playlist. Raises SourceError if it is too large."""
        text = bytearray(start)
        while piece := opened.read(1 << 15):
            text += piece
            if len(text) > _MOST_BYTES:
                raise SourceError(
                    f"{self._name}: a playlist is larger than {_MOST_BYTES >> 20} MB; give one that lists less"
                )
        if self._is_over():
            raise timed_out(url)
        base = opened.option("location") or url
        self._kept[url], kept_on = _kept(bytes(text), base)
        self._kept_on += kept_on
        if sum(self._kept.values()) + self._kept_on > _MOST_KEPT:
            raise SourceError(
                f"{self._name}: its playlists list too many streams and segments; give the address of one stream"
            )
        # FFmpeg cannot know where its request was redirected to.
        return bytes(text) if base == url else _absolute(bytes(text), base)


class _Text(io.BytesIO):
    """A playlist, or the empty answer."""

    def seekable(self) -> bool:
        """Return False, because an answer over HTTP is not either."""
        return False


class _Answer:
    """A segment or key, as it arrives."""

    def __init__(self, opener: PlaylistOpener, url: str, start: bytes, opened: Address) -> None:
        self._opener, self._url, self._start, self._opened = opener, url, start, opened

    def read(self, size: int) -> bytes:
        """Return the next bytes; none at the end. Raises ExitError if the time is over."""
        start, self._start = self._start[:size], self._start[size:]
        got = start or self._opened.read(size)
        if not got:
            self._opener.check_time(self._url)
        return got

    def close(self) -> None:
        """Close the connection."""
        self._opened.close()


def _start_of(opened: Address) -> bytes:
    """Return the first bytes of an answer, at least as many as tell a playlist, if it has them."""
    start = b""
    while len(start) < len(_START) and (piece := opened.read(64)):
        start += piece
    return start


def _kept(text: bytes, base: str) -> tuple[int, int]:
    """Return upper bounds of the bytes that FFmpeg keeps of a playlist: until it is reloaded, and until the end."""
    kept, kept_on, key = 0, 0, 0
    for line in _LINE_END.split(text):
        entry = _ENTRY + len(base) + len(line) + key
        if line.startswith(b"#EXT-X-KEY:"):
            key = len(base) + len(line)
        elif line.startswith(_PLAYLISTS):
            kept_on += _PLAYLIST
        elif line.startswith(_INITIAL):
            kept_on += entry
        elif not line.startswith(b"#"):
            kept += entry
    return kept, kept_on


def _absolute(text: bytes, base: str) -> bytes:
    """Return a playlist with absolute addresses."""

    def joined(reference: bytes) -> bytes:
        try:
            return urllib.parse.urljoin(base, reference.decode("latin-1")).encode("latin-1", "replace")
        except ValueError:
            # It is not an address.
            return reference

    def of(line: bytes) -> bytes:
        if line.startswith(b"#"):
            return _URI.sub(lambda found: b'URI="' + joined(found[1]) + b'"', line)
        return joined(line) if line.strip() else line

    return b"\n".join(of(line) for line in _LINE_END.split(text))
