"""The settings of the run: shown with their origin, changed in the configuration file, undone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import ConfigError
from edgehar.web.answers import SettingsInfo, SettingsResult
from edgehar.web.api.operation import Operation
from edgehar.web.guard import RefusedError, json_response, read_json
from edgehar.web.services import ChangedMeanwhileError, SettingChange

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

    from edgehar.web.services import Services, SettingsFile


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes that are made together.

    Attributes:
        version: of the settings that they were made for.
        changes: the settings and their new values.
    """

    version: str
    changes: list[SettingChange]


async def read_settings(_: Request, services: Services) -> Response:
    """Return every setting with its origin."""
    return json_response(await _with_file(services, lambda file: file.settings()))


async def change_settings(request: Request, services: Services) -> Response:
    """Change settings, all or none."""
    given: Changes = await read_json(request, Changes)
    result = await _with_file(services, lambda file: file.change(given.changes, given.version))
    services.parts.reload()
    return json_response(result)


async def undo_settings(_: Request, services: Services) -> Response:
    """Undo the last change."""
    result = await _with_file(services, lambda file: file.undo())
    services.parts.reload()
    return json_response(result)


async def _with_file(services: Services, work: Callable[[SettingsFile], Any]) -> Any:
    file = services.parts.tools.settings
    if file is None:
        raise RefusedError(409, "no-settings", "this run cannot show its settings")
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(services.executor, work, file)
    except ChangedMeanwhileError as error:
        raise RefusedError(409, "changed-meanwhile", str(error)) from None
    except ConfigError as error:
        raise RefusedError(422, "invalid", "\n".join(getattr(error, "problems", [str(error)]))) from None
    except ImportError as error:
        raise RefusedError(
            409, "no-tomlkit", f"{error.name} is not installed; run: pip install 'edgehar[web]'"
        ) from None
    except OSError as error:
        raise RefusedError(507, "disk", f"cannot be written: {error.strerror}") from None


_REFUSALS = (
    (409, "The file has changed meanwhile."),
    (422, "A value is not valid, or cannot be changed here."),
    (507, "The file cannot be written."),
)
OPERATIONS = (
    Operation("GET", "/settings", read_settings, "Every setting with its origin.", SettingsInfo),
    Operation(
        "PUT", "/settings", change_settings, "Change settings in the configuration file, all or none.", SettingsResult,
        body=Changes, refusals=_REFUSALS,
    ),
    Operation(
        "POST", "/settings/undo", undo_settings, "Undo the last change; again to return.", SettingsResult,
        refusals=_REFUSALS,
    ),
)  # fmt: skip
