"""State of a spool beside its events: the numbers in use, and the hours that the device was on.

It is kept in a file of its own, so that events that vanish from the others are noticed and counted.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS = struct.Struct("<4sQQQQdd36s")
_MAGIC = b"\xf5\xffS1"
_CRC = struct.Struct("<I")
# Two copies are written in turns, because a power cut may tear the one that is being written.
_SLOT_BYTES = 128
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class SpoolState:
    """The state of a spool.

    Attributes:
        generation: how often it was written.
        first: first number of the unbroken run of numbers up to `last`.
        last: highest number given to an event.
        base: lowest number that may still be waiting.
        on_s: the spool's clock when this was written, in seconds.
        boot_s: seconds since the boot `boot_id` at that time.
        boot_id: which boot of the device.
    """

    generation: int = 0
    first: int = 0
    last: int = 0
    base: int = 0
    on_s: float = 0.0
    boot_s: float = 0.0
    boot_id: str = ""


class StateFile:
    """The file of a spool's state. All methods may raise OSError."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it with mode 0600."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self.state = max(self._read(), key=lambda state: state.generation, default=None)

    def _read(self) -> list[SpoolState]:
        content = os.pread(self._descriptor, 2 * _SLOT_BYTES, 0)
        states = (_decode(content[start : start + _SLOT_BYTES]) for start in (0, _SLOT_BYTES))
        return [state for state in states if state is not None]

    def write(self, state: SpoolState) -> None:
        """Store a state; the one before stays readable until it is complete."""
        generation = 1 if self.state is None else self.state.generation + 1
        self.state = replace(state, generation=generation)
        os.pwrite(self._descriptor, _encode(self.state), generation % 2 * _SLOT_BYTES)

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _encode(state: SpoolState) -> bytes:
    fields = _FIELDS.pack(
        _MAGIC, state.generation, state.first, state.last, state.base, state.on_s, state.boot_s,
        state.boot_id.encode()[:36],
    )  # fmt: skip
    return (fields + _CRC.pack(zlib.crc32(fields))).ljust(_SLOT_BYTES, b"\0")


def _decode(slot: bytes) -> SpoolState | None:
    if len(slot) < _FIELDS.size + _CRC.size:
        return None
    fields, crc = slot[: _FIELDS.size], slot[_FIELDS.size : _FIELDS.size + _CRC.size]
    if (zlib.crc32(fields),) != _CRC.unpack(crc):
        return None
    magic, generation, first, last, base, on_s, boot_s, boot_id = _FIELDS.unpack(fields)
    if magic != _MAGIC:
        return None
    return SpoolState(generation, first, last, base, on_s, boot_s, boot_id.rstrip(b"\0").decode(errors="replace"))


class DeviceClock:
    """Seconds that the device has been on, as far as the spool saw it. The age of an event is measured with it.

    The wall clock takes no part, because on a device without a battery clock it may be wrong by years until the network
    sets it. Time in which the device is off is unknown to such a device, and does not count.
    """

    def __init__(self, boot_clock: Callable[[], float] | None = None, boot_id: str | None = None) -> None:
        """Start at the boot.

        Args:
            boot_clock: seconds since the boot, including suspend.
            boot_id: identifies the boot.
        """
        self._boot_clock = boot_clock or _seconds_since_boot
        self.boot_id = _this_boot() if boot_id is None else boot_id
        self._ahead_s = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self._boot_clock() + self._ahead_s

    def continue_from(self, state: SpoolState) -> None:
        """Continue from a stored state, of this boot or an earlier one."""
        same = state.boot_id == self.boot_id and state.boot_s <= self._boot_clock()
        self._ahead_s = max(self._ahead_s, state.on_s - (state.boot_s if same else 0.0))

    def not_before(self, time_s: float) -> None:
        """Be no earlier than `time_s`: no event is of the future."""
        self._ahead_s = max(self._ahead_s, time_s - self._boot_clock())

    @property
    def boot_s(self) -> float:
        """Seconds since the boot."""
        return self._boot_clock()


def _seconds_since_boot() -> float:
    import time

    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _this_boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
