"""Event files for TensorBoard, written without TensorFlow, for every backend of Keras.

A file is a row of records (TensorFlow's TFRecord): the length as uint64, its masked CRC-32C, the bytes, their masked
CRC-32C, all little-endian. The bytes of each are a protocol buffer `Event`, of which only scalars are needed.
"""

from __future__ import annotations

import functools
import itertools
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Names in TensorBoard of the columns of a history.
TAGS = {
    "loss": "loss/training",
    "val_loss": "loss/validation",
    "accuracy": "accuracy/training",
    "val_accuracy": "accuracy/validation",
    "learning_rate": "learning_rate",
}
_CASTAGNOLI = 0x82F63B78
_BYTES, _FIXED32, _FIXED64, _VARINT = 2, 5, 1, 0
_numbers = itertools.count()


class EventFile:
    """A new event file.

    Args:
        folder: folder of the event files; created. Files of an interrupted training stay and are still shown.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / f"{name}.{next(_numbers)}").open("xb")
        self._write(_field(3, _BYTES, b"brain.Event:2"))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write scalars by name, and leave them readable at once."""
        values = b"".join(
            _field(1, _BYTES, _field(1, _BYTES, tag.encode()) + _field(2, _FIXED32, struct.pack("<f", value)))
            for tag, value in scalars.items()
        )
        self._write(_field(2, _VARINT, _varint(step)) + _field(5, _BYTES, values))

    def epoch(self, row: Mapping[str, float]) -> None:
        """Write a row of a training's history."""
        self.add(int(row["epoch"]), {TAGS.get(name, name): value for name, value in row.items() if name != "epoch"})

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def _write(self, event: bytes) -> None:
        event = _field(1, _FIXED64, struct.pack("<d", time.time())) + event
        length = struct.pack("<Q", len(event))
        self._file.write(length + _masked_crc(length) + event + _masked_crc(event))
        self._file.flush()


def _field(number: int, kind: int, content: bytes) -> bytes:
    length = _varint(len(content)) if kind == _BYTES else b""
    return _varint(number << 3 | kind) + length + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _masked_crc(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@functools.cache
def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return table
