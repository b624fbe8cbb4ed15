"""The state of the run, and a check of the device on request."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

import msgspec

from edgehar._version import __version__
from edgehar.web.answers import Output, StatusInfo, Storage
from edgehar.web.api.operation import Operation
from edgehar.web.guard import RefusedError, json_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from edgehar.web.recordings import Recordings
    from edgehar.web.services import Services


class Finding(msgspec.Struct, frozen=True):
    """The result of a check.

    Attributes:
        check: what was checked.
        level: "ok", "warn" or "fail".
        says: the result.
        fix: what to do about it; empty if all is well.
    """

    check: str
    level: str
    says: str
    fix: str = ""


class Findings(msgspec.Struct, frozen=True):
    """The results of all checks.

    Attributes:
        ok: whether nothing failed.
        checks: the findings.
    """

    ok: bool
    checks: list[Finding]


async def read_status(_: Request, services: Services) -> Response:
    """Return how the run is."""
    storage = None
    if services.recordings is not None:
        loop = asyncio.get_running_loop()
        async with services.reading:
            storage = await loop.run_in_executor(services.executor, _storage, services, services.recordings)
    return json_response(
        StatusInfo(
            version=__version__,
            started=services.started,
            cameras=[{"camera": camera.key, **camera.status().to_dict()} for camera in services.cameras],
            outputs=_outputs(services),
            storage=storage,
            log=services.parts.log.lines(),
        )
    )


def _storage(services: Services, recordings: Recordings) -> Storage | None:
    try:
        count, size, free = recordings.counts()
    except OSError:
        return None
    uploaded = recordings.uploaded()
    return Storage(str(recordings.folder), count, size, free, uploaded, services.parts.uploads)


def _outputs(services: Services) -> list[Output]:
    monitor = services.parts.monitor
    connected, waiting = monitor.gauges("connected"), monitor.gauges("spool_depth")
    dropped = monitor.gauges("spool_dropped")
    return [
        Output(
            name,
            bool(connected[name]) if name in connected else None,
            int(waiting.get(name, 0)),
            int(dropped.get(name, 0)),
        )
        for name in sorted({*connected, *waiting})
    ]


async def examine(_: Request, services: Services) -> Response:
    """Check the device."""
    examiner = services.parts.tools.examiner
    if examiner is None:
        raise RefusedError(409, "no-doctor", "run edgehar doctor on the device")
    if services.examining.locked():
        raise RefusedError(409, "busy", "the device is being checked already")
    loop = asyncio.get_running_loop()
    async with services.examining:
        try:
            output = await loop.run_in_executor(services.executor, examiner.examine)
            return json_response(msgspec.json.decode(output, type=Findings))
        except (OSError, subprocess.SubprocessError, msgspec.MsgspecError):
            raise RefusedError(502, "doctor", "edgehar doctor failed; run it on the device") from None


OPERATIONS = (
    Operation("GET", "/status", read_status, "How the run is.", StatusInfo),
    Operation(
        "POST", "/doctor", examine, "Check the device, as edgehar doctor does; takes seconds.", Findings,
        refusals=((409, "A check is going on."), (502, "The check failed.")),
    ),
)  # fmt: skip
