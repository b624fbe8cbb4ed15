"""The history of scores on disk: one append-only file for each camera and day, in checksummed blocks.

A block holds up to some minutes of answers: their times as differences, and the head's int8 scores, compressed. It is
written in one go. A block that a crash or power cut has torn fails its checksum: reading skips to the next one, and
writing goes on behind it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

SUFFIX = ".scores"
# Magic number, bytes that follow the header, CRC-32 of these.
_HEADER = struct.Struct("<4sII")
_MAGIC = b"EHS\x01"
_LONGEST_BLOCK = 1 << 20
_LARGEST_STEP_MS = 65_535


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """The contents of a block, as MessagePack."""

    model: str
    head: str
    labels: list[str]
    scale: float
    zero_point: int
    started_ms: int
    steps_ms: bytes
    codes: bytes


@dataclass(frozen=True)
class Block:
    """Answers of one camera and model without a gap.

    Attributes:
        model: name of the bundle.
        head: the first digits of its head's SHA-256, which tell heads of one name apart.
        labels: the classes.
        scale: of the scores' quantization.
        zero_point: the same.
        started_ms: wall clock of the first answer, in milliseconds since 1970 UTC.
        steps_ms: time from the answer before, by the camera's clock, uint16 `(answers,)`; the first is 0.
        codes: quantized scores, int8 `(answers, labels)`.
    """

    model: str
    head: str
    labels: tuple[str, ...]
    scale: float
    zero_point: int
    started_ms: int
    steps_ms: npt.NDArray[np.uint16]
    codes: npt.NDArray[np.int8]

    @property
    def seconds(self) -> float:
        """Time from the first answer to the last."""
        return float(self.steps_ms.sum()) / 1e3

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        """Wall clock of every answer, in seconds since 1970 UTC, float `(answers,)`."""
        return np.asarray((self.started_ms + np.cumsum(self.steps_ms, dtype=np.int64)) / 1e3)

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Scores 0 to 1, float `(answers, labels)`."""
        return np.asarray((self.codes.astype(np.float64) - self.zero_point) * self.scale)

    def encode(self) -> bytes:
        """Return the block as stored in a file."""
        stored = _Stored(
            self.model,
            self.head,
            list(self.labels),
            self.scale,
            self.zero_point,
            self.started_ms,
            self.steps_ms.astype("<u2").tobytes(),
            # By label: neighbours in time resemble each other, and compress well.
            np.ascontiguousarray(self.codes.T).tobytes(),
        )
        packed = zlib.compress(msgspec.msgpack.encode(stored), 6)
        return _HEADER.pack(_MAGIC, len(packed), zlib.crc32(packed)) + packed


@dataclass
class Scan:
    """Findings of reading a file, besides its blocks.

    Attributes:
        damaged: stretches that were skipped.
    """

    damaged: int = 0


def read_blocks(path: Path, scan: Scan | None = None) -> Iterator[Block]:
    """Read the blocks of a file, in their order; damaged ones are skipped and counted.

    Raises:
        OSError: the file cannot be read.
    """
    content, scan = path.read_bytes(), scan or Scan()
    at, lost = 0, False
    while at < len(content):
        block, size = _block_at(content, at)
        if block is not None:
            at, lost = at + size, False
            yield block
            continue
        scan.damaged += not lost
        lost = True
        at = content.find(_MAGIC, at + 1)
        if at < 0:
            return


def _block_at(content: bytes, at: int) -> tuple[Block | None, int]:
    if len(content) - at < _HEADER.size:
        return None, 0
    magic, size, checksum = _HEADER.unpack_from(content, at)
    packed = content[at + _HEADER.size : at + _HEADER.size + size]
    if magic != _MAGIC or size > _LONGEST_BLOCK or len(packed) < size or zlib.crc32(packed) != checksum:
        return None, 0
    try:
        stored = msgspec.msgpack.decode(zlib.decompressobj().decompress(packed, _LONGEST_BLOCK), type=_Stored)
        steps = np.frombuffer(stored.steps_ms, "<u2")
        codes = np.frombuffer(stored.codes, np.int8).reshape(len(stored.labels), len(steps)).T
    except (zlib.error, msgspec.DecodeError, ValueError):
        return None, 0
    block = Block(
        stored.model,
        stored.head,
        tuple(stored.labels),
        stored.scale,
        stored.zero_point,
        stored.started_ms,
        steps,
        codes,
    )
    return block, _HEADER.size + size


def folder_name(source: str) -> str:
    """Return a safe folder name for a source: its readable characters, and a digest that tells similar names apart."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", source).strip("-")[:40] or "source"
    return f"{readable}-{hashlib.sha256(source.encode(errors='surrogatepass')).hexdigest()[:8]}"


def day_file(folder: Path, started_ms: int) -> Path:
    """Return the file of the UTC day of a time in milliseconds since 1970."""
    day = datetime.datetime.fromtimestamp(started_ms / 1e3, datetime.UTC).strftime("%Y-%m-%d")
    return folder / f"{day}{SUFFIX}"


def day_files(folder: Path) -> list[Path]:
    """Return the files of a camera, the oldest first."""
    return sorted(folder.glob(f"????-??-??{SUFFIX}"))


def prune(folder: Path, *, keep_days: int, max_bytes: int, today: datetime.date) -> int:
    """Delete days older than `keep_days`, then the oldest days until the rest fits; return how many went.

    The newest file always stays. A file dated in the future, from a clock that was wrong, counts as the newest.
    """
    files = day_files(folder)
    oldest = (today - datetime.timedelta(days=keep_days)).isoformat()
    sizes = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            sizes[path] = path.stat().st_size
    total, gone = sum(sizes.values()), 0
    for path in files[:-1]:
        if path.stem >= oldest and total <= max_bytes:
            break
        total -= sizes.get(path, 0)
        path.unlink(missing_ok=True)
        gone += 1
    return gone


class BlockBuilder:
    """Gathers answers until a block is full, or until time does not go on evenly."""

    def __init__(
        self, model: str, head: str, labels: tuple[str, ...], scale: float, zero_point: int, *, answers: int = 256
    ) -> None:
        """Start a builder for one camera and model; a block is full after so many `answers`."""
        self._fixed = (model, head, labels, scale, zero_point)
        self._answers = answers
        self._started_ms = self._last_ms = 0
        self._last_s = 0.0
        self._steps: list[int] = []
        self._codes: list[bytes] = []

    def __len__(self) -> int:
        return len(self._steps)

    def fits(self, captured_s: float, unix_ms: int, *, tolerance_ms: int = 2_000) -> bool:
        """Whether an answer goes on evenly from the one before, by both clocks, and the block is not full."""
        if not self._steps:
            return True
        step_ms = round((captured_s - self._last_s) * 1e3)
        even = 0 <= step_ms <= _LARGEST_STEP_MS and abs(unix_ms - self._last_ms - step_ms) <= tolerance_ms
        return even and len(self._steps) < self._answers

    def add(self, captured_s: float, unix_ms: int, codes: npt.NDArray[np.int8]) -> None:
        """Add an answer that fits: capture time in seconds, wall clock in milliseconds, int8 `(labels,)`."""
        if not self._steps:
            self._started_ms = self._last_ms = unix_ms
            self._last_s = captured_s
        step_ms = round((captured_s - self._last_s) * 1e3)
        self._steps.append(step_ms)
        # Rounded steps must not add up to a drift.
        self._last_s += step_ms / 1e3
        self._last_ms = unix_ms
        self._codes.append(codes.tobytes())

    def take(self) -> Block | None:
        """Return the block so far and start the next; None if there is no answer."""
        if not self._steps:
            return None
        model, head, labels, scale, zero_point = self._fixed
        codes = np.frombuffer(b"".join(self._codes), np.int8).reshape(-1, len(labels))
        block = Block(model, head, labels, scale, zero_point, self._started_ms, np.array(self._steps, np.uint16), codes)
        self._steps, self._codes = [], []
        return block
