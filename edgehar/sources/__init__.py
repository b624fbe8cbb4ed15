"""Where frames come from: `open_source` finds the back end for a camera, file, folder, stream or iterable."""

from __future__ import annotations

import glob
import importlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError, SourceError
from edgehar.sources.base import Source
from edgehar.urls import without_credentials

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgehar.frames import Frame

__all__ = ["Source", "open_source"]

# The class behind each scheme, imported at first use: a missing library disables one back end and no other.
_BACK_ENDS = {
    "camera": "edgehar.sources.camera:CameraSource",
    "synthetic": "edgehar.sources.synthetic:SyntheticSource",
    "images": "edgehar.sources.images:ImagesSource",
    "picamera2": "edgehar.sources.picamera2:Picamera2Source",
    **dict.fromkeys(("file", "http", "https", "rtsp", "rtsps"), "edgehar.sources.video:VideoSource"),
}
_PIP_NAMES = {"cv2": "opencv-python-headless"}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")
# Options that tell a back end what its frames are for: those that can make nothing of them are not given them.
_HINTS = ("target_size",)
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
            - `"synthetic:walking?duration_s=4"`: drawn figures, see `edgehar.sources.synthetic`;
            - an iterable of `Frame`s or of uint8 `(height, width, 3)` BGR arrays; a source is given back as it is.
        **options: passed to the back end: `rate_hz` for images, arrays and cameras, `width` and `height` (pixels) for
            V4L2 cameras, `controls` (libcamera's, by name) for camera modules, `open_timeout_s` for video,
            `read_timeout_s` for video and camera modules. `target_size`, the height and width that frames will be
            shrunk to, lets cameras give frames as small as that allows; other sources do not mind it.

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
    scheme = _scheme(uri)
    module_name, _, class_name = _BACK_ENDS[scheme].partition(":")
    try:
        back_end = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        needed = _PIP_NAMES.get(library, library)
        name = without_credentials(uri)
        raise SourceError(f"{name}: this source needs {library}; run: pip install {needed}") from error
    options = _without_hints(back_end, options)
    _check_options(back_end, uri, options)
    opened: Source = back_end.from_uri(uri, **options)
    return opened


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
    if found[1] not in _BACK_ENDS:
        known = ", ".join(sorted(_BACK_ENDS))
        raise ConfigError(f"{without_credentials(uri)}: unknown kind of source {found[1]!r}; known: {known}")
    return found[1]
