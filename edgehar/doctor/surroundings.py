"""Checks of the clock, the disk, heat and power."""

from __future__ import annotations

import ctypes
import datetime
import getpass
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.doctor.finding import Finding, from_error
from edgehar.errors import ConfigError
from edgehar.health.machine import temperature_c, throttled_bits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.config import Config

# A clock before this was never set, because the battery of a Raspberry Pi is optional.
_EARLIEST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
# adjtimex(2): result while the clock is not synchronized, and room for its largest struct.
_TIME_ERROR, _TIMEX_BYTES = 5, 512
_UNDER_VOLTAGE, _THROTTLED = 1 << 0, 0b1110
# From this bit on, the same bits are about any time since the start.
_SINCE_START = 16


def check_clock(_config: Config) -> Iterator[Finding]:
    """Check the time, which is in events and decides whether certificates are valid."""
    now = datetime.datetime.now(datetime.UTC)
    fix = "sudo timedatectl set-ntp true"
    if now < _EARLIEST:
        yield Finding("clock", "fail", f"shows {now:%Y-%m-%d}: it was never set, and TLS fails", fix)
    elif ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _TIME_ERROR:
        yield Finding("clock", "warn", f"{now:%Y-%m-%d %H:%M} UTC, not synchronized: times may be wrong", fix)
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC, synchronized")


def check_disk(config: Config) -> Iterator[Finding]:
    """Check that events and results can be written, with enough free space."""
    from edgehar.sinks.spool.options import state_directory

    needed = config.mqtt.url is not None or config.webhook.url is not None
    try:
        folder = Path(config.spool.directory) if config.spool.directory else state_directory()
    except ConfigError as error:
        yield from_error("disk for events", error, "fail" if needed else "warn")
    else:
        # SQLite keeps a journal next to the file.
        yield _room("disk for events", folder, 2 * config.spool.max_mb, needed=needed)
    if config.file.path is not None:
        path = Path(config.file.path).absolute()
        if not path.parent.is_dir():
            yield Finding("disk for results", "fail", f"{path.parent}: does not exist", f"mkdir -p {path.parent}")
        else:
            yield _room("disk for results", path.parent, config.file.max_mb * (config.file.keep + 1), needed=True)


def _room(check: str, folder: Path, wanted_mb: float, *, needed: bool) -> Finding:
    # A missing folder will be created in the nearest existing one.
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        says = f"{there}: {getpass.getuser()} cannot write there"
        return Finding(check, "fail" if needed else "warn", says, f"ls -ld {there}; mount | grep ' ro,'")
    free_mb = shutil.disk_usage(there).free / 1e6
    if free_mb < wanted_mb:
        says = f"{folder}: {free_mb:.0f} MB free, up to {wanted_mb:.0f} MB may be needed"
        return Finding(check, "warn", says, "free space, or lower max_mb")
    return Finding(check, "ok", f"{folder}: {free_mb:.0f} MB free")


def check_heat_and_power(_config: Config) -> Iterator[Finding]:
    """Check power supply and cooling of a Raspberry Pi since it was started."""
    celsius, bits = temperature_c(), throttled_bits()
    heat = "" if celsius is None else f"{celsius:.0f} °C"
    if bits is None:
        yield Finding("heat and power", "ok", heat or "not reported by this machine")
        return
    ever = bits | bits >> _SINCE_START
    if ever & _UNDER_VOLTAGE:
        when = "is" if bits & _UNDER_VOLTAGE else "was"
        says = f"the power supply {when} too weak since the start; cameras fail then"
        yield Finding("power", "warn", says, "use the supply made for this board, and a short cable")
    if ever & _THROTTLED:
        when = "is" if bits & _THROTTLED else "was"
        says = ", ".join(filter(None, (heat, f"the processor {when} slowed down since the start")))
        yield Finding("heat", "warn", says, "add a heat sink or fan, and check the power supply")
    if not ever & (_UNDER_VOLTAGE | _THROTTLED):
        yield Finding("heat and power", "ok", ", ".join(filter(None, (heat, "never throttled since the start"))))
