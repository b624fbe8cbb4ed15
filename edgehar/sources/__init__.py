"""Where frames come from: `open_source` finds the back end for a camera, file, folder, stream or iterable."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.credentials import without_credentials
from edgehar.errors import ConfigError, SourceError
from edgehar.sources.base import Source
from edgehar.sources.registry import BY_SCHEME

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgehar.frames import Frame

__all__ = ["Source", "open_source"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")
# Options that tell a back end what its frames are for: those that can make nothing of them are not given them.
_HINTS = ("target_size", "tap")
# Options of files, whatever reads them.
_REPLAY = ("loop", "realtime")
_IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def open_source(
    source: str | int | os.PathLike[str] | Source | Iterable[Frame | npt.NDArray[np.uint8]], **options: Any
) -> Source:
    """Open a source of frames.

    Args:
        source: one of
            - `"camera:0"` or `0`: a USB or other V4L2 camera, by its number in `/dev/videoN`;
            - `"picamera2:0"`: a camera module of a Raspberry Pi, by its number in libcamera's list;
            - the path of a video file, or an `rtsp://`, `rtsps://`, `http://` or `https://` address;
            - a folder of images, a glob such as `"shots/*.png"`, or one image: frames in natural order of the names;
            - `"synthetic:walking?duration_s=4"`: drawn figures, see `edgehar.sources.synthetic.source`;
            - `"stdin:?width=640&height=480&format=bgr24"`: raw frames on standard input, see `edgehar.sources.stdin`;
            - an iterable of `Frame`s or of uint8 `(height, width, 3)` BGR arrays; a source is given back as it is.
        **options: passed to the back end: `rate_hz` for images, arrays, standard input and cameras, `width` and
            `height` (pixels) for V4L2 cameras, `controls` (libcamera's, by name) for camera modules, `open_timeout_s`
            and `transport` ("tcp" or "udp", for RTSP) for video, `read_timeout_s` for video and camera modules, `loop`
            (begin again at the end) and `realtime` (at the pace of a camera, and like one) for files and images.
            `target_size`, the height and width that frames will be shrunk to, lets cameras give frames as small as
            that allows; other sources do not mind it.

    Returns:
        The source. Its frames are uint8, in the `PixelFormat` that costs least: often I420 for video, YUYV for V4L2
        cameras, BGR24 for images. `FrameRing` and `Classifier` take them all, `edgehar.pictures.as_bgr` makes BGR.

    Raises:
        SourceError: there is no such camera or file, or it cannot be read.
        ConfigError: the scheme or what follows it is not understood.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, int):
        source = f"camera:{source}"
    if not isinstance(source, str | os.PathLike):
        from edgehar.sources.arrays import ArraySource

        return ArraySource(source, **_without_hints(ArraySource, options))
    uri = os.fspath(source)
    back_end = BY_SCHEME[_scheme(uri)]
    try:
        cls: Any = back_end.load()
    except SourceError as error:
        raise SourceError(f"{without_credentials(uri)}: {error}") from error.__cause__
    replay = {name: options.pop(name) for name in _REPLAY if name in options} if back_end.replays else {}
    options = _without_hints(cls, options)
    _check_options(cls, uri, options)

    def open_it() -> Source:
        opened: Source = cls.from_uri(uri, **options)
        return opened

    if not any(replay.values()):
        return open_it()
    from edgehar.sources.arrays import DEFAULT_RATE_HZ
    from edgehar.sources.replay import ReplaySource

    loop, realtime = (bool(replay.get(name)) for name in _REPLAY)
    period_s = 1.0 / options.get("rate_hz", DEFAULT_RATE_HZ)
    return ReplaySource(open_it, loop=loop, realtime=realtime, period_s=period_s, tap=options.get("tap"))


def _without_hints(back_end: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options, but for hints that a back end can make nothing of."""
    if not any(hint in options for hint in _HINTS):
        return options
    import inspect

    known = inspect.signature(back_end).parameters
    return {name: value for name, value in options.items() if name in known or name not in _HINTS}


def _check_options(back_end: Any, uri: str, options: dict[str, Any]) -> None:
    if not options:
        return
    import inspect

    known = inspect.signature(back_end).parameters
    takes_any = "options" in inspect.signature(back_end.from_uri).parameters
    for name in options:
        if not takes_any or name not in known:
            raise ConfigError(f"{without_credentials(uri)}: {name} is no option of this kind of source; leave it out")


def _scheme(uri: str) -> str:
    """The scheme of a URI, or the one that a plain path stands for."""
    path = Path(uri)
    if path.is_dir() or (path.suffix.lower() in _IMAGE_SUFFIXES and "://" not in uri):
        return "images"
    found = _SCHEME.match(uri)
    if found is None or path.exists():
        return "images" if glob.has_magic(uri) and not path.exists() else "file"
    if found[1] not in BY_SCHEME:
        known = ", ".join(sorted(BY_SCHEME))
        raise ConfigError(f"{without_credentials(uri)}: unknown kind of source {found[1]!r}; known: {known}")
    return found[1]
