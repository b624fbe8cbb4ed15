"""Description of the machine, without its name or owner."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import re
from pathlib import Path

from edgehar._version import __version__
from edgehar.bench.frames import largest_cache_bytes
from edgehar.bench.results import Machine
from edgehar.bench.threads import cores
from edgehar.errors import RuntimeUnavailableError
from edgehar.model.runtime import load_runtime

# Flags of /proc/cpuinfo for the instructions that kernels choose from, weakest first.
_SIMD = ("sse2", "sse4_1", "sse4_2", "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "amx_int8")
_SIMD_OF_ARM = ("neon", "asimd", "asimddp", "i8mm", "sve")
# "CPU part" of Arm cores.
_ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse N1",
    "0xd40": "Neoverse V1",
    "0xd49": "Neoverse N2",
}


def describe(proc: Path = Path("/proc")) -> Machine:
    """Describe the machine from the files below `proc`."""
    cpuinfo = _read(proc / "cpuinfo")
    flags = (_field(cpuinfo, "flags") or _field(cpuinfo, "Features") or "").split()
    return Machine(
        cpu=_cpu(cpuinfo, _read(proc / "device-tree/model").strip("\0 \n")),
        cores=cores(),
        simd=tuple(flag for flag in (*_SIMD, *_SIMD_OF_ARM) if flag in flags),
        largest_cache_bytes=largest_cache_bytes(),
        memory_bytes=_memory(proc, "MemTotal"),
        system=_system(),
        versions=_versions(),
    )


def free_bytes(proc: Path = Path("/proc")) -> int:
    """Return the memory that is available without displacing other programs."""
    return _memory(proc, "MemAvailable")


def _cpu(cpuinfo: str, board: str) -> str:
    part = _field(cpuinfo, "CPU part")
    core = _field(cpuinfo, "model name") or (_ARM_CORES.get(part, f"CPU part {part}") if part else None)
    return ", ".join(filter(None, (board, core))) or platform.machine()


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _memory(proc: Path, name: str) -> int:
    found = _field(_read(proc / "meminfo"), name)
    return int(found.split()[0]) * 1024 if found else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, {platform.machine()}"


def _versions() -> dict[str, str]:
    import cv2
    import numpy as np

    versions = {
        "edgehar": __version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "OpenCV": cv2.__version__,
    }
    # Both are optional.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["Pillow"] = importlib.metadata.version("pillow")
    with contextlib.suppress(RuntimeUnavailableError):
        runtime = load_runtime()
        versions[runtime.package] = runtime.version
    return versions
