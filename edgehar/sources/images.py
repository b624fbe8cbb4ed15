"""Frames from image files: a folder, a glob or one file."""

from __future__ import annotations

import glob
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np

from edgehar.errors import SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.sources.arrays import DEFAULT_RATE_HZ, checked_rate_hz
from edgehar.sources.base import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

_log = logging.getLogger(__name__)

_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class ImagesSource(Source):
    """Image files as frames, in natural order of their names (`shot2` before `shot10`).

    A file that is no image is skipped with a warning.
    """

    def __init__(self, name: str, paths: Sequence[Path], *, rate_hz: float = DEFAULT_RATE_HZ) -> None:
        """Make a source of image files.

        Args:
            name: how results name it.
            paths: the files, in order.
            rate_hz: images a second, from which their capture times are made.

        Raises:
            ConfigError: `rate_hz` is not above 0.
        """
        self.name = name
        self._paths = paths
        self._rate_hz = checked_rate_hz(rate_hz)

    @classmethod
    def from_uri(cls, uri: str, **options: Any) -> Self:
        """Open a folder, a glob or one image file, with or without `images:` before it.

        Raises:
            SourceError: there is no image.
        """
        pattern = uri.removeprefix("images:")
        path = Path(pattern)
        if path.is_dir():
            paths = [entry for entry in path.iterdir() if entry.suffix.lower() in _SUFFIXES and entry.is_file()]
            missing = "is a folder without images; give a video file, or a folder of .png or .jpg files"
        elif path.exists():
            paths, missing = [path], ""
        else:
            # Path.glob takes no absolute pattern.
            found = glob.glob(pattern, recursive=True)  # noqa: PTH207
            paths = [path for path in map(Path, found) if path.is_file()]
            missing = "no such image, and no file matches; check the path, and quote a glob on the command line"
        if not paths:
            raise SourceError(f"{pattern}: {missing}")
        return cls(pattern, sorted(paths, key=_natural), **options)

    def __iter__(self) -> Iterator[Frame]:
        readable = 0
        for sequence, path in enumerate(self._paths):
            pixels = _decode(path)
            if pixels is None:
                _log.warning("%s: skipped: not an image that can be read", path)
                continue
            readable += 1
            yield Frame(pixels, PixelFormat.BGR24, sequence / self._rate_hz, time.monotonic(), sequence)
        if not readable:
            raise SourceError(f"{self.name}: none of its {len(self._paths)} files is an image that can be read")


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", str(path))]


def _decode(path: Path) -> npt.NDArray[np.uint8] | None:
    """The image as uint8 `(height, width, 3)` BGR, or None. Read by us: cv2.imread prints what it cannot read."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError:
        return None
    if not content.size:
        return None
    try:
        pixels: npt.NDArray[np.uint8] | None = cv2.imdecode(content, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return pixels
