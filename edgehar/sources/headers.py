"""Read the size of a picture from its header, before a decoder allocates memory for it."""

from __future__ import annotations

import re
import struct

# Start of frame markers of JPEG (ITU-T T.81, B.1.1.3), all but those for tables and arithmetic coding.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG, PNG, BMP, WebP or TIFF picture, or None if its header says none."""
    try:
        if content.startswith(b"\xff\xd8"):
            return _jpeg(content)
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return _pair(">II", content, 16)
        if content.startswith(b"BM"):
            return _pair("<ii", content, 18)
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp(content)
        if content[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(content)
    except (struct.error, IndexError):
        pass
    return None


def _pair(layout: str, content: bytes, at: int) -> tuple[int, int]:
    width, height = struct.unpack_from(layout, content, at)
    return abs(width), abs(height)


def _jpeg(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(content):
        found = re.compile(rb"\xff+([\x01-\xfe])").match(content, at)
        if found is None:
            return None
        marker, at = found[1][0], found.end()
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 3)
            return width, height
        if not (0xD0 <= marker <= 0xD8 or marker == 1):
            at += struct.unpack_from(">H", content, at)[0]
    return None


def _webp(content: bytes) -> tuple[int, int] | None:
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff(content: bytes) -> tuple[int, int] | None:
    order = "<" if content[:1] == b"I" else ">"
    (at,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, at)
    sides = {}
    for number in range(count):
        tag, kind = struct.unpack_from(f"{order}HH", content, at + 2 + 12 * number)
        if tag in (256, 257):
            layout = "H" if kind == 3 else "I"
            (sides[tag],) = struct.unpack_from(f"{order}{layout}", content, at + 10 + 12 * number)
    return (sides[256], sides[257]) if len(sides) == 2 else None
