"""Pictures of many small pictures, with words over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgehar.errors import DatasetError
from edgehar.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Picture = npt.NDArray[np.uint8]

_MARGIN = 6
_LINE = 16
_PAPER, _INK, _FAINT = 255, (20, 20, 20), (110, 110, 110)
# OpenCV's PNG encoder refuses more.
_MOST_ROWS_PIXELS = 1_000_000


class SheetRow(NamedTuple):
    """A line of pictures: words over it, and for each picture uint8 `(height, width, 3)` BGR and words under it."""

    title: str
    pictures: Sequence[Picture]
    captions: Sequence[str]


def write_sheet(path: Path, title: str, rows: Sequence[SheetRow], *, width: int, height: int) -> None:
    """Write rows of pictures as a PNG file.

    Args:
        path: the file, written atomically.
        title: the words at the top; lines are broken to the width of the sheet.
        rows: the pictures; each is fitted into a tile, small ones are enlarged without smoothing.
        width: of a tile, in pixels.
        height: of a tile, in pixels.

    Raises:
        DatasetError: the sheet is too tall for a PNG file.
        OSError: the file cannot be written.
    """
    import cv2

    columns = max(len(row.pictures) for row in rows)
    across = _MARGIN + columns * (width + _MARGIN)
    strips = [_words(title, across, _INK, thick=True), *(_strip(row, across, width, height) for row in rows)]
    sheet = np.concatenate(strips)
    if len(sheet) > _MOST_ROWS_PIXELS:
        raise DatasetError(f"{path}: {len(rows)} rows are too many for one picture; choose fewer with --classes")
    done, encoded = cv2.imencode(".png", sheet)
    if not done:
        raise DatasetError(f"{path}: the picture cannot be encoded; choose fewer classes with --classes")
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """Return a picture resized to fit uint8 `(height, width, 3)`, undistorted, with gray borders."""
    import cv2

    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    tile = np.full((height, width, 3), 225, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = resized
    return tile


def missing(words: str, width: int, height: int) -> Picture:
    """Return a gray tile that says why there is no picture."""
    tile = np.full((height, width, 3), 225, np.uint8)
    _write(tile, words, 4, height // 2, _FAINT)
    return tile


def _strip(row: SheetRow, across: int, width: int, height: int) -> Picture:
    tiles = np.full((height + (_LINE if any(row.captions) else 0) + _MARGIN, across, 3), _PAPER, np.uint8)
    for number, (picture, caption) in enumerate(zip(row.pictures, row.captions, strict=True)):
        left = _MARGIN + number * (width + _MARGIN)
        tiles[:height, left : left + width] = fitted(picture, width, height)
        if caption:
            _write(tiles[:, left : left + width], _shortened(caption, width), 0, height + _LINE - 5, _FAINT)
    return np.concatenate([_words(row.title, across, _INK), tiles])


def _words(text: str, across: int, color: tuple[int, int, int], *, thick: bool = False) -> Picture:
    """Draw lines of words, wrapped at the width of the sheet."""
    lines, line = [], ""
    for word in text.split():
        if line and _width(f"{line} {word}") > across - 2 * _MARGIN:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    lines.append(line)
    band = np.full((len(lines) * _LINE + 4, across, 3), _PAPER, np.uint8)
    for number, words in enumerate(lines):
        _write(band, words, _MARGIN, (number + 1) * _LINE - 3, color, thickness=2 if thick else 1)
    return band


def _shortened(text: str, width: int) -> str:
    """Return the end of a text that is too wide, because file names differ at the end."""
    if _width(text) <= width:
        return text
    while text and _width(f"..{text}") > width:
        text = text[1:]
    return f"..{text}"


def _width(text: str) -> int:
    import cv2

    return int(cv2.getTextSize(_plain(text), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0])


def _write(
    image: Picture, text: str, left: int, baseline: int, color: tuple[int, int, int], *, thickness: int = 1
) -> None:
    import cv2

    # OpenCV cannot draw on every view of an array, so it draws on a copy.
    canvas = np.ascontiguousarray(image)
    cv2.putText(canvas, _plain(text), (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, thickness, cv2.LINE_AA)
    image[...] = canvas


def _plain(text: str) -> str:
    """Return ASCII text; the font has no other characters."""
    return text.encode("ascii", "replace").decode()
