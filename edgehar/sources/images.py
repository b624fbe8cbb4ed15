"""Frames from image files: a folder, a glob or one file."""

from __future__ import annotations

import glob
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edgehar import drawing
from edgehar.errors import SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.printable import printable
from edgehar.sources.address import IMAGE_SUFFIXES
from edgehar.sources.base import Source
from edgehar.sources.headers import picture_size
from edgehar.sources.options import StillOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

_log = logging.getLogger(__name__)

_DEFAULT = StillOptions()
_MOST_BYTES = 256 << 20
# 4096 x 4096. A header of some bytes may claim any size, and the decoder allocates it.
_MOST_PIXELS = 1 << 24


class ImagesSource(Source):
    """Image files as frames, in natural order of their names (`shot2` before `shot10`).

    A file that is not an image is skipped with a warning.
    """

    def __init__(self, name: str, paths: Sequence[Path], options: StillOptions = _DEFAULT) -> None:
        """Make a source of image files.

        Args:
            name: name of the source in results.
            paths: the files, in order.
            options: the rate of the images.
        """
        self.name = name
        self._paths = paths
        self._rate_hz = options.rate_hz
        self._skipped = 0

    @property
    def damaged(self) -> int:
        """Files skipped so far because they are not readable images."""
        return self._skipped

    @classmethod
    def from_uri(cls, uri: str, options: StillOptions = _DEFAULT) -> Self:
        """Open a folder, a glob or one image file, with or without `images:` before it.

        Raises:
            SourceError: there is no image.
        """
        pattern = uri.removeprefix("images:")
        path = Path(pattern)
        if path.is_dir():
            paths = [entry for entry in path.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
            missing = "the folder holds no images; give a video file, or a folder of .png or .jpg files"
        elif path.exists():
            paths, missing = [path], ""
        else:
            # Path.glob does not accept absolute patterns.
            found = glob.glob(pattern, recursive=True)  # noqa: PTH207
            paths = [path for path in map(Path, found) if path.is_file()]
            missing = "no such image, and no file matches; check the path, and quote a glob on the command line"
        if not paths:
            raise SourceError(f"{printable(pattern)}: {missing}")
        return cls(printable(pattern), sorted(paths, key=_natural), options)

    def __iter__(self) -> Iterator[Frame]:
        readable = 0
        for sequence, path in enumerate(self._paths):
            pixels = _decode(path)
            if pixels is None:
                self._skipped += 1
                _log.warning("%s: skipped: not a readable image", printable(str(path)))
                continue
            readable += 1
            yield Frame(pixels, PixelFormat.BGR24, sequence / self._rate_hz, time.monotonic(), sequence)
        if not readable:
            raise SourceError(f"{self.name}: none of its {len(self._paths)} files is a readable image")


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", str(path))]


def _decode(path: Path) -> npt.NDArray[np.uint8] | None:
    """Return the image as uint8 `(height, width, 3)` BGR, or None if it is not readable."""
    try:
        # A named pipe would block, and a huge file is not a picture.
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    size = picture_size(content)
    if size is None or size[0] * size[1] > _MOST_PIXELS:
        return None
    return drawing.decoded(content)
