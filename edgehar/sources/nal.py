"""Units and bits of H.264 and H.265 streams (ITU-T H.264 and H.265, annex B and clause 9.2)."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = re.compile(rb"\x00\x00\x01")


class Loss(enum.Enum):
    """The missing parts."""

    NOTHING = enum.auto()
    BEFORE = enum.auto()  # a frame before this one
    WITHIN = enum.auto()  # a part of this frame


def units(data: bytes, length_size: int, most: int) -> Iterator[bytes]:
    """Yield the first `most` bytes of each unit of a packet.

    Args:
        data: the packet.
        length_size: bytes of the length before each unit, in containers of the MP4 family; 0 for start codes.
        most: longest beginning to yield, in bytes.
    """
    if length_size:
        at = 0
        while at + length_size < len(data):
            start = at + length_size
            at = start + int.from_bytes(data[at:start], "big")
            if start < at:
                yield data[start : min(at, start + most)]
        return
    for found in _START.finditer(data):
        if found.end() < len(data):
            yield data[found.end() : found.end() + most]


class Bits:
    """Bits of a unit, most significant first. Past the end they are 0."""

    def __init__(self, data: bytes) -> None:
        # A 3 after two zeros is inserted so that no start code appears within a unit.
        data = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        """Return the next `count` bits."""
        self._left -= count
        if self._left < 0:
            return 0
        return (self._value >> self._left) & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        """Return the next unsigned Exp-Golomb number."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32 or self._left <= 0:
                return 0
        return (1 << zeros) - 1 + self.read(zeros)
