"""Addresses of sources: scheme, back end, and a name that is safe to print."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from edgehar.credentials import without_credentials
from edgehar.errors import ConfigError
from edgehar.sources.registry import BY_SCHEME

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
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
    if found[1] not in BY_SCHEME:
        known = ", ".join(sorted(BY_SCHEME))
        raise ConfigError(f"{name_of(uri)}: unknown kind of source {found[1]!r}; known: {known}")
    return found[1]


def name_of(uri: str) -> str:
    """Return the name of a source in records and messages: its address without credentials, printable."""
    return printable(without_credentials(uri))


def printable(text: str) -> str:
    """Return text that any terminal and any UTF-8 file can hold.

    File names need not be UTF-8 and may hold control characters. Such bytes are shown as `\\xNN`.

    >>> printable("lat\\udce9.mp4")
    'lat\\\\xe9.mp4'
    """
    decoded = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in decoded)
