"""Teaching: moments that wait for a label, lessons, and models that run in shadow, take over, or go back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from starlette.responses import Response

from edgehar.errors import ConfigError, EdgeharError
from edgehar.teaching.score_log import folder_name
from edgehar.web.api.events import Judgement
from edgehar.web.api.operation import Operation, Parameter
from edgehar.web.files import file_response
from edgehar.web.guard import RefusedError, json_response, read_json
from edgehar.web.teach_answers import InboxInfo, Lesson, Moment, TeachInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from edgehar.web.classroom import Classroom
    from edgehar.web.services import Services

_NOT_FOUND = ((404, "There is no such moment."),)
_REFUSALS = (
    (409, "A lesson is running, or the settings do not allow this."),
    (422, "The model is not known, or cannot take over."),
)
_MOST_LISTED = 200


class LessonRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model to teach.

    Attributes:
        model: as the configuration names it.
    """

    model: str


class ShadowRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the model that was taught last takes over.

    Attributes:
        model: what it replaces, as the configuration names it.
        hours: how long it runs in shadow first; 0 to take over at once.
    """

    model: str
    hours: Annotated[float, msgspec.Meta(ge=0, le=24 * 366)]


async def read_teach(_: Request, services: Services) -> Response:
    """Return what can be taught."""
    return json_response(await _do(services, lambda room: room.info()))


async def list_moments(request: Request, services: Services) -> Response:
    """Return the moments that wait for a label."""
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= _MOST_LISTED):
        raise RefusedError(422, "invalid", f"limit must be a whole number from 1 to {_MOST_LISTED}")
    return json_response(await _do(services, lambda room: room.inbox(int(text))))


async def read_moment_clip(request: Request, services: Services) -> Response:
    """Return the clip of a moment."""
    path = await _do(services, lambda room: room.clip(_id(request)))
    folder = request.path_params["folder"]
    hidden = any(camera.view.pictures == "none" and folder_name(camera.name) == folder for camera in services.cameras)
    if path is None or hidden:
        raise RefusedError(404, "no-file", "there is no such moment, or no clip of it")
    return await file_response(path, "video/mp4", asked=request.headers.get("range"), executor=services.executor)


async def write_moment_label(request: Request, services: Services) -> Response:
    """Keep what a person says about a moment."""
    given: Judgement = await read_json(request, Judgement)
    return await _moment(services, lambda room: room.label(_id(request), given.verdict, given.label))


async def remove_moment_label(request: Request, services: Services) -> Response:
    """Withdraw what a person said about a moment."""
    return await _moment(services, lambda room: room.withdraw(_id(request)))


async def remove_moment(request: Request, services: Services) -> Response:
    """Delete a moment with its label."""
    return await _moment(services, lambda room: room.remove(_id(request)))


async def start_lesson(request: Request, services: Services) -> Response:
    """Start a lesson."""
    given: LessonRequest = await read_json(request, LessonRequest)
    return json_response(await _do(services, lambda room: room.teach(given.model)))


async def stop_lesson(_: Request, services: Services) -> Response:
    """Stop the lesson that runs."""
    return json_response(await _do(services, lambda room: room.stop_lesson()))


async def put_forward(request: Request, services: Services) -> Response:
    """Have the taught model run in shadow, or take over."""
    given: ShadowRequest = await read_json(request, ShadowRequest)
    return json_response(await _do(services, lambda room: room.put_forward(given.model, given.hours)))


async def roll_back(request: Request, services: Services) -> Response:
    """Return to the model before."""
    given: LessonRequest = await read_json(request, LessonRequest)
    return json_response(await _do(services, lambda room: room.roll_back(given.model)))


def _id(request: Request) -> str:
    return f"{request.path_params['folder']}/{request.path_params['moment']}"


async def _moment(services: Services, work: Callable[[Classroom], Moment | None]) -> Response:
    found = await _do(services, work)
    if found is None:
        raise RefusedError(404, "no-moment", "there is no moment with this id")
    return json_response(found)


async def _do(services: Services, work: Callable[[Classroom], Any]) -> Any:
    """Return what `work` gives, done by one thread at a time."""
    room = services.parts.classroom
    if room is None:
        raise RefusedError(409, "no-teaching", "this run has no models that can be taught")
    loop = asyncio.get_running_loop()
    async with services.teaching:
        try:
            return await loop.run_in_executor(services.executor, work, room)
        except ConfigError as error:
            raise RefusedError(422, "invalid", str(error)) from None
        except EdgeharError as error:
            raise RefusedError(422, "model", str(error)) from None
        except OSError as error:
            raise RefusedError(507, "disk", f"cannot be written: {error.strerror}") from None


OPERATIONS = (
    Operation("GET", "/teach", read_teach, "What can be taught, and how it goes.", TeachInfo),
    Operation(
        "GET", "/inbox", list_moments, "Moments that wait for a label, events first.", InboxInfo,
        query=(Parameter("limit", "most moments", "integer"),),
    ),
    Operation(
        "GET", "/inbox/{folder}/{moment}/clip.mp4", read_moment_clip, "The clip of a moment.", media_type="video/mp4",
        refusals=_NOT_FOUND,
    ),
    Operation(
        "PUT", "/inbox/{folder}/{moment}/label", write_moment_label, "Label a moment.", Moment, body=Judgement,
        refusals=_NOT_FOUND,
    ),
    Operation(
        "DELETE", "/inbox/{folder}/{moment}/label", remove_moment_label, "Withdraw the label of a moment.", Moment,
        refusals=_NOT_FOUND,
    ),
    Operation(
        "DELETE", "/inbox/{folder}/{moment}", remove_moment, "Delete a moment with its label.", Moment,
        refusals=_NOT_FOUND,
    ),
    Operation(
        "POST", "/teach", start_lesson, "Teach a model from all labels, at low priority; takes a minute or so.",
        Lesson, body=LessonRequest, refusals=_REFUSALS,
    ),
    Operation("DELETE", "/teach", stop_lesson, "Stop the lesson that runs.", Lesson, refusals=_REFUSALS),
    Operation(
        "POST", "/teach/shadow", put_forward,
        "Have the taught model run in shadow for some hours and then take over; 0 hours: at once.", TeachInfo,
        body=ShadowRequest, refusals=_REFUSALS,
    ),
    Operation(
        "POST", "/teach/rollback", roll_back, "Drop the model in shadow, or return to the model before.", TeachInfo,
        body=LessonRequest, refusals=_REFUSALS,
    ),
)  # fmt: skip
