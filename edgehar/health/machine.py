"""Readings of the machine and of this process; None for each reading that is not available."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Readings are reused for this long, because several cameras ask at once.
_FRESH_S = 1.0
_VCGENCMD_TIMEOUT_S = 1.0
# Sensors of the processor, by zone name: cpu-thermal, soc_thermal, bigcore0-thermal, x86_pkg_temp.
_PROCESSOR_ZONE = re.compile(r"cpu|soc|core|pkg", re.IGNORECASE)
_PLAUSIBLE_C = range(-40, 150)
# Bits of a Raspberry Pi's get_throttled about now; the bits from 16 on are about any time since the start.
_UNDER_VOLTAGE = 1 << 0
_FREQUENCY_CAPPED, _THROTTLED, _SOFT_LIMIT = 1 << 1, 1 << 2, 1 << 3


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of the machine at one moment.

    Attributes:
        rss_mb: memory of this process, in MB (10^6 bytes).
        cpu_share: processor time of this process since the previous readings; 1.0 is one core.
        temperature_c: temperature of the processor, in degrees Celsius.
        throttled: whether heat or power slows the processor down.
        under_voltage: whether the power supply is too weak.
    """

    rss_mb: float | None = None
    cpu_share: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    under_voltage: bool | None = None


class Machine:
    """Reads the machine at most once per second. Thread-safe."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Read the files below a folder.

        Args:
            root: folder with `proc` and `sys`.
            clock: monotonic seconds.
        """
        self._root, self._clock = root, clock
        self._lock = threading.Lock()
        self._readings: Readings | None = None
        self._vcgencmd_answers = root == Path("/")
        self._read_s, self._cpu_s = clock(), time.process_time()

    def read(self) -> Readings:
        """Return the readings. This may take some milliseconds, and up to a second for `vcgencmd`."""
        with self._lock:
            now_s = self._clock()
            if self._readings is not None and now_s - self._read_s < _FRESH_S:
                return self._readings
            cpu_s, elapsed_s = time.process_time(), now_s - self._read_s
            bits = self._bits()
            self._readings = Readings(
                rss_mb=_rss_mb(self._root),
                # A share over a shorter time means little.
                cpu_share=(cpu_s - self._cpu_s) / elapsed_s if elapsed_s >= _FRESH_S else None,
                temperature_c=temperature_c(self._root),
                throttled=None if bits is None else bool(bits & (_FREQUENCY_CAPPED | _THROTTLED | _SOFT_LIMIT)),
                under_voltage=_supply_alarm(self._root) if bits is None else bool(bits & _UNDER_VOLTAGE),
            )
            self._read_s, self._cpu_s = now_s, cpu_s
            return self._readings

    def _bits(self) -> int | None:
        bits = _bits_of_kernel(self._root)
        if bits is None and self._vcgencmd_answers:
            bits = _bits_of_vcgencmd()
            # Missing, not allowed or hung: do not try again.
            self._vcgencmd_answers = bits is not None
        return bits


def temperature_c(root: Path = Path("/")) -> float | None:
    """Return the temperature of the hottest sensor of the processor, in degrees Celsius; None if there is none."""
    found = [
        value / 1000
        for zone in (root / "sys/class/thermal").glob("thermal_zone*")
        if _PROCESSOR_ZONE.search(_text(zone / "type"))
        and (value := _whole_number(_text(zone / "temp"))) is not None
        and value // 1000 in _PLAUSIBLE_C
    ]
    return max(found, default=None)


def throttled_bits() -> int | None:
    """Return the bits of a Raspberry Pi's `get_throttled`; None on other machines, or without access."""
    bits = _bits_of_kernel(Path("/"))
    return _bits_of_vcgencmd() if bits is None else bits


def _bits_of_kernel(root: Path) -> int | None:
    for file in (root / "sys/devices/platform").glob("soc*/soc*:firmware/get_throttled"):
        if (bits := _whole_number(_text(file), base=16)) is not None:
            return bits
    return None


def _bits_of_vcgencmd() -> int | None:
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            [command, "get_throttled"], capture_output=True, text=True, timeout=_VCGENCMD_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _whole_number(answer.stdout.partition("=")[2], base=16)


def _supply_alarm(root: Path) -> bool | None:
    """Return whether the voltage sensor of a Raspberry Pi raises its alarm, or None if the kernel has no sensor."""
    for sensor in (root / "sys/class/hwmon").glob("hwmon*"):
        if _text(sensor / "name") == "rpi_volt" and (alarm := _text(sensor / "in0_lcrit_alarm")):
            return alarm != "0"
    return None


def _rss_mb(root: Path) -> float | None:
    pages = _text(root / "proc/self/statm").split()[1:2]
    return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if pages else None


def _whole_number(text: str, base: int = 10) -> int | None:
    try:
        return int(text, base)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
