"""Addresses of sources: scheme, back end, and a name that is safe to print."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from edgehar.credentials import without_credentials
from edgehar.errors import ConfigError
from edgehar.printable import printable
from edgehar.sources.registry import BY_SCHEME

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# Files that FFmpeg decodes as video. A raw stream (.h264, .hevc) has its frame rate in its headers.
VIDEO_SUFFIXES = frozenset(
    [
        *(".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265"),
        *(".hevc", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mpv"),
        *(".mts", ".mxf", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    ]
)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_NETWORK = frozenset({"http", "https", "rtsp", "rtsps"})
_V4L2_NODE = re.compile(r"/dev/(video[0-9]+|v4l/by-(id|path)/[^/]+)")


def normalized(source: str | os.PathLike[str]) -> str:
    """Return an address with its scheme in lower case, and a path as it is.

    Raises:
        ConfigError: it is empty, or holds a NUL character.
    """
    uri = os.fspath(source)
    if not uri or "\0" in uri:
        reason = "holds a NUL character" if uri else "is empty"
        raise ConfigError(f"source '{printable(uri)}' {reason}; give a camera, a file or an address")
    found = _SCHEME.match(uri)
    if found is None or found[1].lower() not in BY_SCHEME or Path(uri).exists():
        return uri
    return found[1].lower() + uri[found.end(1) :]


def scheme_of(uri: str) -> str:
    """Return the scheme of a normalized address, or the scheme that a plain path stands for.

    Raises:
        ConfigError: no back end reads this scheme.
    """
    if _V4L2_NODE.fullmatch(uri):
        return "camera"
    path = Path(uri)
    if path.is_dir() or (path.suffix.lower() in IMAGE_SUFFIXES and "://" not in uri):
        return "images"
    found = _SCHEME.match(uri)
    if found is None or path.exists():
        return "images" if glob.has_magic(uri) and not path.exists() else "file"
    if found[1] in _NETWORK and not uri.startswith(f"{found[1]}://"):
        raise ConfigError(f"{name_of(uri)}: not an address; write {found[1]}://user:password@host/path")
    if found[1] not in BY_SCHEME:
        known = ", ".join(sorted(BY_SCHEME))
        raise ConfigError(f"{name_of(uri)}: unknown kind of source {found[1]!r}; known: {known}")
    return found[1]


def credentials_hint(uri: str) -> str:
    """Return a hint for an address whose password seems to hold an unencoded `@`, `#`, `?` or `/`; "" if none does."""
    user, at, _ = uri.partition("://")[2].rpartition("@")
    is_host_and_path = re.match(r"[^:/?#@]+(:[0-9]+)?/", user)
    if at and ":" in user and re.search("[@#?/]", user) and not is_host_and_path:
        return "; in a user or password write @ as %40, # as %23, / as %2F and ? as %3F"
    return ""


def name_of(uri: str) -> str:
    """Return the name of a source in records and messages: its address without credentials, printable."""
    return printable(uri if "://" not in uri and Path(uri).exists() else without_credentials(uri))
