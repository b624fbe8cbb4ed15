"""Records of the spool's files: each carries its own length and checksum, so damage costs no other record.

A file is a sequence of records. A reader that meets damaged bytes continues at the next valid record.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Starts every record. The bytes F5 and FF occur in no UTF-8 text, so a JSON payload cannot contain it.
MAGIC = b"\xf5\xffE1"
# Magic, kind, bytes of id and payload, sequence, first sequence, time, and a CRC-32 of all but the magic and itself.
_FIELDS = struct.Struct("<BHIQQd")
_CRC = struct.Struct("<I")
HEADER_BYTES = len(MAGIC) + _FIELDS.size + _CRC.size
# An event; and the removal of the events from `first` to `sequence`, both included.
EVENT, REMOVAL = 1, 2


@dataclass(frozen=True, slots=True)
class SpoolRow:
    """One event.

    Attributes:
        sequence: its number; later events have higher ones.
        id: identifies the event when it is delivered twice.
        time_s: when it was stored, in seconds of the spool's clock.
        payload: the bytes to deliver.
    """

    sequence: int
    id: str
    time_s: float
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return HEADER_BYTES + len(self.id.encode()) + len(self.payload)


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of a valid record in a file, and its header.

    Attributes:
        offset: position of the first byte.
        size: bytes of the record.
        kind: EVENT or REMOVAL.
        sequence: number of the event, or the last removed number.
        first: first number of the unbroken run of numbers up to `sequence`, or the first removed number.
        time_s: when the event was stored, in seconds of the spool's clock.
        id_size: bytes of the id.
    """

    offset: int
    size: int
    kind: int
    sequence: int
    first: int
    time_s: float
    id_size: int


def encode_event(row: SpoolRow, first: int) -> bytes:
    """Return the record of an event; numbers from `first` to the row's own were given out without a gap."""
    id_bytes = row.id.encode()
    return _encode(EVENT, id_bytes, row.payload, row.sequence, first, row.time_s)


def encode_removal(first: int, last: int) -> bytes:
    """Return the record that removes the events from `first` to `last`, both included."""
    return _encode(REMOVAL, b"", b"", last, first, 0.0)


def _encode(kind: int, id_bytes: bytes, payload: bytes, sequence: int, first: int, time_s: float) -> bytes:
    fields = _FIELDS.pack(kind, len(id_bytes), len(payload), sequence, first, time_s)
    crc = zlib.crc32(payload, zlib.crc32(id_bytes, zlib.crc32(fields)))
    return b"".join((MAGIC, fields, _CRC.pack(crc), id_bytes, payload))


def entry_at(content: bytes | memoryview, offset: int) -> Entry | None:
    """Return the record at an offset, or None if there is no valid one."""
    body = offset + HEADER_BYTES
    if body > len(content) or content[offset : offset + len(MAGIC)] != MAGIC:
        return None
    fields = content[offset + len(MAGIC) : body - _CRC.size]
    kind, id_size, payload_size, sequence, first, time_s = _FIELDS.unpack(fields)
    end = body + id_size + payload_size
    (crc,) = _CRC.unpack(content[body - _CRC.size : body])
    if end > len(content) or zlib.crc32(content[body:end], zlib.crc32(fields)) != crc:
        return None
    return Entry(offset, end - offset, kind, sequence, first, time_s, id_size)


def read_row(content: bytes | memoryview) -> SpoolRow | None:
    """Return the event whose record `content` is, or None if it is damaged."""
    entry = entry_at(content, 0)
    if entry is None or entry.size != len(content) or entry.kind != EVENT:
        return None
    text = HEADER_BYTES + entry.id_size
    return SpoolRow(
        entry.sequence, bytes(content[HEADER_BYTES:text]).decode(), entry.time_s, bytes(content[text : entry.size])
    )


def scan(content: bytes) -> Iterator[Entry | tuple[int, int]]:
    """Yield every valid record, and `(start, end)` for every stretch of damaged bytes between them.

    Zeros are space that is not written yet, and not damage.
    """
    offset, view = 0, memoryview(content)
    while offset < len(content):
        entry = entry_at(view, offset)
        if entry is not None:
            yield entry
            offset += entry.size
            continue
        start = offset
        while entry is None:
            offset = content.find(MAGIC, offset + 1)
            if offset < 0:
                offset = len(content)
                break
            entry = entry_at(view, offset)
        if content.count(0, start, offset) < offset - start:
            yield start, offset
