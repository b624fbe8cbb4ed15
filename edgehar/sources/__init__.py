"""Sources of frames. `open_source` finds the back end for a camera, file, folder, stream or iterable."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError, SourceError
from edgehar.sources.base import Source

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.sources.options import SourceOptions

__all__ = ["Source", "open_source"]


def open_source(
    source: str | int | os.PathLike[str] | Source | Iterable[Frame | npt.NDArray[np.uint8]], **options: Any
) -> Source:
    """Open a source of frames.

    Args:
        source: one of
            - `"camera:0"`, `0`, `"/dev/video0"` or `"/dev/v4l/by-id/..."`: a USB or other V4L2 camera;
            - `"picamera2:0"`: a camera module of a Raspberry Pi, by its number in libcamera's list;
            - the path of a video file, or an `rtsp://`, `rtsps://`, `http://` or `https://` address;
            - a folder of images, a glob such as `"shots/*.png"`, or one image: frames in natural order of the names;
            - `"synthetic:walking?duration_s=4"`: drawn figures, see `edgehar.sources.synthetic.source`;
            - `"stdin:?width=640&height=480&format=bgr24"`: raw frames on standard input, see `edgehar.sources.stdin`;
            - an iterable of `Frame`s or of uint8 `(height, width, 3)` BGR arrays;
            - a source, which is returned unchanged.
        **options: options of the back end, see `edgehar.sources.options`. Files and images also take `loop` (start
            again at the end) and `realtime` (deliver frames at the pace of a camera). Every source accepts
            `target_size`, the height and width that frames will be resized to; cameras then send smaller frames.

    Returns:
        The source. Its frames are uint8, in the cheapest `PixelFormat`: often I420 for video, YUYV for V4L2 cameras,
        BGR24 for images. `Resizer`, `FrameRing` and `Classifier` take all formats; `edgehar.pictures.as_bgr` converts.

    Raises:
        SourceError: the camera or file does not exist or cannot be read.
        ConfigError: the address is invalid, or an option does not exist or has a wrong value.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, int):
        source = f"camera:{source}"
    if not isinstance(source, str | os.PathLike):
        from edgehar.sources.arrays import ArraySource
        from edgehar.sources.options import StillOptions

        return ArraySource(source, _options("arrays", StillOptions, options))
    return _open_address(source, options)


def _open_address(source: str | os.PathLike[str], options: dict[str, Any]) -> Source:
    from edgehar.sources.address import name_of, normalized, scheme_of
    from edgehar.sources.options import ReplayOptions
    from edgehar.sources.registry import BY_SCHEME

    uri = normalized(source)
    name, back_end = name_of(uri), BY_SCHEME[scheme_of(uri)]
    replayed = ReplayOptions.__struct_fields__ if back_end.replays else ()
    replay = _options(name, ReplayOptions, {key: options[key] for key in replayed if key in options})
    own = _options(name, back_end.options, {key: options[key] for key in options if key not in replayed})
    try:
        reader = back_end.load()
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from error.__cause__
    if not (replay.loop or replay.realtime):
        return reader.from_uri(uri, own)
    from edgehar.sources.options import DEFAULT_RATE_HZ
    from edgehar.sources.replay import ReplaySource

    rate_hz = getattr(own, "rate_hz", DEFAULT_RATE_HZ)
    return ReplaySource(lambda: reader.from_uri(uri, own), replay, period_s=1.0 / rate_hz)


def _options(name: str, kind: type[SourceOptions], given: dict[str, Any]) -> Any:
    """Return the options of a back end, without hints that it has no use for."""
    from edgehar.sources.options import HINTS, make_options

    try:
        return make_options(
            kind, {key: value for key, value in given.items() if key in kind.__struct_fields__ or key not in HINTS}
        )
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
