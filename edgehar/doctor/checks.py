"""All checks in order. A check that fails does not keep the others from running."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edgehar.doctor.cameras import check_cameras
from edgehar.doctor.finding import Finding
from edgehar.doctor.models import check_models
from edgehar.doctor.receivers import check_broker, check_webhook
from edgehar.doctor.recording import check_recording
from edgehar.doctor.software import check_back_ends, check_kernel, check_python, check_runtime
from edgehar.doctor.surroundings import check_clock, check_disk, check_heat_and_power

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar.config import Config

_log = logging.getLogger(__name__)

CHECKS: dict[str, Callable[[Config], Iterator[Finding]]] = {
    "Python": check_python,
    "runtime": check_runtime,
    "kernel": check_kernel,
    "models": check_models,
    "sources": check_back_ends,
    "cameras": check_cameras,
    "recording": check_recording,
    "broker": check_broker,
    "webhook": check_webhook,
    "clock": check_clock,
    "disk": check_disk,
    "heat and power": check_heat_and_power,
}


def examine(config: Config) -> Iterator[Finding]:
    """Run every check, and yield each finding at once."""
    for name, check in CHECKS.items():
        try:
            yield from check(config)
        except ImportError as error:
            library = (error.name or "a library").partition(".")[0]
            yield Finding(name, "fail", f"{library} cannot be imported: {error}", "reinstall edgehar: see install.md")
        except Exception as error:
            # An unforeseen problem of the machine; the other checks may explain it.
            _log.debug("%s", name, exc_info=True)
            fix = "run again with --verbose and report the traceback"
            yield Finding(name, "fail", f"unexpected {type(error).__name__}: {error}", fix)
