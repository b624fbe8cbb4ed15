"""Checks of Python, the TFLite runtime with numpy, the compiled kernel, and the libraries of sources."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgehar.doctor.finding import Finding, from_error
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.config import Config

# Python packages installed by apt on Debian and Raspberry Pi OS.
_SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")
_PICAMERA2_LEAST = (0, 3, 20)
# The back end that only a Raspberry Pi needs.
_PI_ONLY = "picamera2"


def check_python(_config: Config) -> Iterator[Finding]:
    """Check version and word size."""
    here = "in a virtual environment" if in_virtual_environment() else "of the system"
    says = f"{platform.python_version()} {here}, {platform.machine()}"
    if sys.maxsize > 2**32:
        yield Finding("Python", "ok", says)
    else:
        yield Finding("Python", "warn", f"{says}, 32-bit: ai-edge-litert has no wheels for it", "use a 64-bit system")


def check_runtime(config: Config) -> Iterator[Finding]:
    """Check the TFLite runtime together with numpy."""
    from edgehar.model.runtime import load_runtime

    try:
        runtime = load_runtime()
    except EdgeharError as error:
        yield from_error("runtime", error)
        return
    numpy = importlib.metadata.version("numpy")
    yield Finding("runtime", "ok", f"{runtime.package} {runtime.version} with numpy {numpy}")
    yield _delegate(config)


def check_kernel(_config: Config) -> Iterator[Finding]:
    """Check that the compiled kernel loads and averages a picture correctly."""
    import numpy as np

    try:
        from edgehar._ring import Resizer

        picture = np.full((48, 64, 3), 77, np.uint8)
        right = bool((Resizer(3, 4, dtype="uint8").resize(picture) == 77).all())
    except ImportError as error:
        yield Finding("kernel", "fail", f"cannot be loaded: {error}", "pip install --force-reinstall edgehar")
        return
    if right:
        yield Finding("kernel", "ok", "loads, and resizes correctly")
    else:
        yield Finding("kernel", "fail", "resizes incorrectly", "pip install --force-reinstall edgehar; report this")


def check_back_ends(config: Config) -> Iterator[Finding]:
    """Check the needs of each kind of source. A missing library fails only if a configured camera uses it."""
    from edgehar.sources.registry import registry

    used = {_scheme(camera.source) for camera in config.cameras}
    for available in registry():
        back_end = available.back_end
        check = f"source {back_end.name}"
        needed = bool(used & set(back_end.schemes))
        if back_end.name == _PI_ONLY and (available.why_not is not None or needed or is_raspberry_pi()):
            yield from _picamera2(check, available.why_not, needed)
        elif available.why_not is None:
            yield Finding(check, "ok", back_end.reads)
        else:
            yield from_error(check, EdgeharError(available.why_not), "fail" if needed else "warn")


def _picamera2(check: str, why_not: str | None, needed: bool) -> Iterator[Finding]:
    if why_not is None:
        version = importlib.metadata.version("picamera2")
        least = ".".join(map(str, _PICAMERA2_LEAST))
        if tuple(map(int, re.findall(r"\d+", version)[:3])) < _PICAMERA2_LEAST:
            says, fix = f"picamera2 {version} is older than {least}", "sudo apt update && sudo apt full-upgrade"
            yield Finding(check, "warn", says, fix)
        else:
            yield Finding(check, "ok", f"picamera2 {version}")
    elif not needed and not is_raspberry_pi():
        yield Finding(check, "ok", "not installed; only a camera module of a Raspberry Pi needs it")
    else:
        level: Literal["warn", "fail"] = "fail" if needed else "warn"
        yield _hidden_picamera2(check, level) or from_error(check, EdgeharError(why_not), level)


def _hidden_picamera2(check: str, level: Literal["warn", "fail"]) -> Finding | None:
    """Return the most common problem: it is installed, but the virtual environment hides the system's packages."""
    if not (_SYSTEM_PACKAGES / "picamera2").is_dir() or not in_virtual_environment():
        return None
    if importlib.util.find_spec("picamera2") is not None:
        return None
    says = "the system has picamera2, but this virtual environment does not see the system's packages"
    return Finding(
        check, level, says, f"python3 -m venv --system-site-packages {sys.prefix}; then install edgehar in it"
    )


def in_virtual_environment() -> bool:
    """Return whether this Python is in a virtual environment."""
    return sys.prefix != sys.base_prefix


def is_raspberry_pi() -> bool:
    """Return whether this machine is a Raspberry Pi."""
    try:
        return Path("/proc/device-tree/model").read_text(errors="replace").startswith("Raspberry Pi")
    except OSError:
        return False


def _scheme(source: str) -> str:
    return source.partition(":")[0] if ":" in source else "file"


def _delegate(config: Config) -> Finding:
    """Check what runs the encoder; a requested Edge TPU is opened."""
    from edgehar.model.edgetpu import CPU, EDGE_TPU, edge_tpus, load_edge_tpu

    wanted, there = config.delegate, edge_tpus()
    if wanted == CPU:
        unused = '; an Edge TPU is plugged in, and used with delegate = "auto"' if there else ""
        return Finding("delegate", "ok", f"the CPU's (XNNPACK){unused}")
    try:
        load_edge_tpu(EDGE_TPU if wanted == "auto" else wanted)
    except EdgeharError as error:
        return from_error("delegate", error, "warn" if wanted == "auto" else "fail")
    return Finding("delegate", "ok", f"{wanted}: an Edge TPU opens")
