"""Files of the cache: pictures of one clip and their times, complete or detectably broken.

A shard is a `.npy` file, which numpy maps into memory, with a tail that numpy does not look at: the time of every
picture (float64), the CRC-32 of all bytes before it, and a mark.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

_HEADER_BYTES = 128
_CHUNK_BYTES = 1 << 24
_TAIL = struct.Struct("<I8s")
_MARK = b"EDGEHAR1"


class BrokenShardError(Exception):
    """A shard is cut off or altered."""


def write_shard(
    path: Path, pictures: Iterable[tuple[npt.NDArray[Any], float]], shape: tuple[int, ...], dtype: str
) -> int:
    """Write pictures as they come; no more than one of them is in memory.

    Args:
        path: the file, written atomically.
        pictures: each with its time in seconds; the first one's counts as 0.
        shape: of a picture.
        dtype: of a picture, such as "uint8".

    Returns:
        The number of pictures; without pictures, no file is written.
    """
    times_s: list[float] = []
    with whole_file(path) as temporary:
        with temporary.open("w+b") as file:
            file.write(bytes(_HEADER_BYTES))
            for picture, time_s in pictures:
                file.write(np.ascontiguousarray(picture, dtype).data)
                times_s.append(time_s)
            file.write((np.array(times_s, np.float64) - (times_s[0] if times_s else 0)).tobytes())
            file.seek(0)
            file.write(_header((len(times_s), *shape), dtype))
            file.flush()
            checksum = _checksum(file, file.seek(0, io.SEEK_END))
            file.seek(0, io.SEEK_END)
            file.write(_TAIL.pack(checksum, _MARK))
        if not times_s:
            # `whole_file` would put an empty shard in its place.
            raise BrokenShardError("no picture")
    return len(times_s)


def read_shard(path: Path, *, verify: bool) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Read pictures, memory-mapped, and their times.

    Args:
        path: the file.
        verify: read all of it and compare its checksum; else only its size is checked.

    Raises:
        FileNotFoundError: it is not there.
        BrokenShardError: it is cut off or altered.
    """
    with path.open("rb") as file:
        shape, dtype = _read_header(file)
        times_at = _HEADER_BYTES + math.prod(shape) * dtype.itemsize
        tail_at = times_at + 8 * shape[0]
        if file.seek(0, io.SEEK_END) != tail_at + _TAIL.size:
            raise BrokenShardError("it is not of the size that its beginning tells")
        file.seek(tail_at)
        checksum, mark = _TAIL.unpack(file.read())
        if mark != _MARK or (verify and _checksum(file, tail_at) != checksum):
            raise BrokenShardError("its content has changed")
        file.seek(times_at)
        times_s = np.frombuffer(file.read(8 * shape[0]), np.float64)
    return np.memmap(path, dtype, "r", _HEADER_BYTES, shape), times_s


def _read_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    header = file.read(_HEADER_BYTES)
    found = re.search(rb"'descr': '(\|u1|\|i1|<f4)'.*'shape': \(([1-9]\d*(?:, [1-9]\d*)+)\)", header)
    if found is not None:
        shape = tuple(int(side) for side in found[2].split(b", "))
        if header == _header(shape, found[1].decode()):
            return shape, np.dtype(found[1].decode())
    raise BrokenShardError("it does not begin as a shard")


def _header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Return a header of the NPY format 1.0 of fixed length, because the number of pictures is known last."""
    content = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    text = repr(content).encode("latin1")
    length = _HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + text.ljust(length - 1) + b"\n"


def _checksum(file: Any, size: int) -> int:
    file.seek(0)
    checksum = 0
    while size:
        part = file.read(min(size, _CHUNK_BYTES))
        if not part:
            raise BrokenShardError("it is cut off")
        checksum, size = zlib.crc32(part, checksum), size - len(part)
    return checksum
