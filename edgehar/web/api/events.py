"""Events: the list, one event with its scores, its files, and what a person says about it."""

from __future__ import annotations

import asyncio
import functools
import subprocess
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.responses import Response

from edgehar.errors import ConfigError
from edgehar.recording.store import safe_name, sha256_of
from edgehar.teaching.labels import judged, remove_label, write_label
from edgehar.web.answers import EventChoices, EventDetail, EventInfo, EventPage
from edgehar.web.api.operation import Operation, Parameter
from edgehar.web.files import file_response
from edgehar.web.guard import RefusedError, json_response, read_json
from edgehar.web.recordings import MOST_LISTED, Filters, day_span

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request

    from edgehar.recording.sidecar import Model, Sidecar
    from edgehar.records import Event
    from edgehar.web.camera import WebCamera
    from edgehar.web.recordings import Recordings
    from edgehar.web.services import Services

_NOT_FOUND = ((404, "There is no such event, or no such file of it."),)
# Pictures that are kept in memory, each some 60 kB.
_MOST_REASONS = 32
_FILES = {".jpg": "image/jpeg", ".mp4": "video/mp4", ".json": "application/json"}


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's label of an event.

    Attributes:
        verdict: "right", "wrong" (nothing was to report), or "other".
        label: what it was, for "other".
    """

    verdict: Literal["right", "wrong", "other"]
    label: str | None = None


async def list_events(request: Request, services: Services) -> Response:
    """List events."""
    filters, query = _filters(request), request.query_params
    limit = _number(query.get("limit", "48"), "limit", 1, MOST_LISTED)
    before = query.get("before", "")

    def read(recordings: Recordings) -> tuple[EventPage, set[str]]:
        return recordings.page(filters, before, int(limit)), set() if before else recordings.ids()

    page, known = (EventPage([], None), set()) if services.recordings is None else await _read(services, read)
    if not before:
        # Events that are not recorded, or not yet.
        fresh = [event for event in _unrecorded(services) if event.id not in known and filters.fit(event)]
        page = EventPage(sorted([*fresh, *page.events], key=lambda event: event.time, reverse=True), page.next)
    return json_response(EventPage([_shown(services, event) for event in page.events], page.next))


async def list_choices(_: Request, services: Services) -> Response:
    """Say what events can be filtered by."""
    labels = {label for camera in services.cameras for label in camera.actions}
    if services.recordings is not None:
        labels |= set(await _read(services, lambda recordings: recordings.labels()))
    cameras = {camera.key: camera.name for camera in services.cameras}
    return json_response(EventChoices(cameras, sorted(labels), services.recordings is not None))


async def read_event(request: Request, services: Services) -> Response:
    """Return an event with its scores."""
    event_id = request.path_params["id"]
    found = None
    if services.recordings is not None:
        found = await _read(services, lambda recordings: recordings.find(event_id))
    if found is None:
        event = next((event for event in _unrecorded(services) if event.id == event_id), None)
        if event is None:
            raise RefusedError(404, "no-event", "there is no event with this id")
        return json_response(EventDetail(event, [], [], [], None, None, ""))
    info, sidecar = found
    return json_response(_detail(_shown(services, info), sidecar))


async def read_file(request: Request, services: Services) -> Response:
    """Return a file of a recording; with `download=1` to be stored."""
    event_id, suffix = request.path_params["id"], f".{request.path_params['kind']}"
    path: Path | None = None
    if services.recordings is not None and suffix in _FILES:
        path = await _read(services, lambda recordings: recordings.file(event_id, suffix))
    if path is None:
        raise RefusedError(404, "no-file", "there is no such file; sealed files can be opened with edgehar seal open")
    if suffix != ".json" and _shows_nothing(services, path.parent.parent.name):
        raise RefusedError(404, "no-pictures", "pictures of this camera are off")
    name = f"{path.parent.parent.name}-{path.parent.name}-{path.name}"
    return await file_response(
        path,
        _FILES[suffix],
        asked=request.headers.get("range"),
        executor=services.executor,
        name=name if request.query_params.get("download") == "1" else None,
    )


async def read_reasons(request: Request, services: Services) -> Response:
    """Return a picture of what the answer rests on, made on demand and kept for a while."""
    event_id, explainer = request.path_params["id"], services.parts.tools.explainer
    if explainer is None or services.recordings is None:
        raise RefusedError(409, "no-explainer", "run edgehar explain on the clip")
    found = await _read(services, lambda recordings: (recordings.find(event_id), recordings.file(event_id, ".mp4")))
    if found[0] is None or found[1] is None:
        raise RefusedError(404, "no-file", "there is no such event, or no clip of it that can be read")
    info, sidecar = found[0]
    if _shows_nothing(services, info.camera):
        raise RefusedError(404, "no-pictures", "pictures of this camera are off")
    if event_id not in services.reasons:
        camera = next((camera for camera in services.cameras if camera.key == info.camera), None)
        loop = asyncio.get_running_loop()
        refusal = RefusedError(409, "other-model", "the model that gave this answer is not the one that runs now")
        if camera is None or sidecar is None:
            raise refusal
        if not await loop.run_in_executor(services.executor, _is_model, camera, sidecar.model):
            raise refusal
        async with services.examining:
            work = functools.partial(explainer.explain, found[1], camera.bundle_path(), info.label)
            try:
                jpeg = await loop.run_in_executor(services.executor, work)
            except (OSError, subprocess.SubprocessError):
                jpeg = None
        if jpeg is None:
            raise RefusedError(502, "explain", "edgehar explain failed; run it on the clip")
        services.reasons[event_id] = jpeg
        while len(services.reasons) > _MOST_REASONS:
            del services.reasons[next(iter(services.reasons))]
    return Response(services.reasons[event_id], media_type="image/jpeg", headers={"Cache-Control": "private, no-cache"})


def _is_model(camera: WebCamera, model: Model) -> bool:
    """Return whether the model of a recording is the one that answers now. Reads its file."""
    if model.sha256 is None:
        return camera.manifest.name == model.name
    try:
        return sha256_of(camera.bundle_path()) == model.sha256
    except OSError:
        return False


def _shows_nothing(services: Services, key: str) -> bool:
    """Return whether pictures of a camera are off now, whatever was recorded before."""
    return any(camera.key == key and camera.view.pictures == "none" for camera in services.cameras)


def _shown(services: Services, info: EventInfo) -> EventInfo:
    """Return what may be shown of an event."""
    if not _shows_nothing(services, info.camera):
        return info
    return msgspec.structs.replace(info, picture=False, clip=False)


async def write_judgement(request: Request, services: Services) -> Response:
    """Keep what a person says, beside the recording."""
    given: Judgement = await read_json(request, Judgement)
    event_id = request.path_params["id"]

    def write(recordings: Recordings) -> EventInfo | None:
        found, base = recordings.find(event_id), recordings.base(event_id)
        if found is None or base is None:
            return None
        write_label(base, judged(given.verdict, found[0].label, label=given.label, by="page"))
        return recordings.find(event_id)[0]  # type: ignore[index]

    return await _judge(services, write)


async def remove_judgement(request: Request, services: Services) -> Response:
    """Withdraw what a person said."""
    event_id = request.path_params["id"]

    def remove(recordings: Recordings) -> EventInfo | None:
        base = recordings.base(event_id)
        if base is not None:
            remove_label(base)
        found = recordings.find(event_id)
        return None if found is None else found[0]

    return await _judge(services, remove)


async def _judge(services: Services, change: Callable[[Recordings], EventInfo | None]) -> Response:
    if services.recordings is None:
        raise RefusedError(409, "not-recorded", "only recorded events can be judged; set record.directory")
    try:
        info = await _read(services, change)
    except ConfigError as error:
        raise RefusedError(422, "invalid", str(error)) from None
    except OSError as error:
        raise RefusedError(507, "disk", f"cannot be written: {error.strerror}") from None
    if info is None:
        raise RefusedError(404, "no-event", "there is no event with this id")
    return json_response(info)


async def _read(services: Services, work: Callable[[Recordings], Any]) -> Any:
    """Return what `work` gives, done by one thread at a time."""
    assert services.recordings is not None
    recordings = services.recordings
    loop = asyncio.get_running_loop()
    async with services.reading:
        return await loop.run_in_executor(services.executor, work, recordings)


def _unrecorded(services: Services) -> list[EventInfo]:
    events = [event for board in services.board.cameras.values() for event in board.events]
    return [_info(event) for event in events]


def _info(event: Event) -> EventInfo:
    return EventInfo(
        id=event.id,
        camera=safe_name(event.source),
        camera_name=event.source,
        label=event.label,
        time=event.time,
        duration_s=None if event.end_s is None else round(event.end_s - event.start_s, 2),
        peak_score=round(event.peak_score, 3),
        going_on=event.phase in ("start", "update"),
    )


def _detail(info: EventInfo, sidecar: Sidecar | None) -> EventDetail:
    if sidecar is None:
        return EventDetail(info, [], [], [], None, None, "")
    clip = sidecar.clip
    zero_s = clip.start_s if clip is not None and clip.start_s is not None else None
    if zero_s is None:
        zero_s = sidecar.answers[0].end_s if sidecar.answers else 0.0
    event = sidecar.events[-1] if sidecar.events else None
    return EventDetail(
        event=info,
        labels=list(sidecar.model.labels),
        times_s=[round(answer.end_s - zero_s, 3) for answer in sidecar.answers],
        scores=[[round(score, 3) for score in answer.scores] for answer in sidecar.answers],
        start_s=None if event is None else round(event.start_s - zero_s, 3),
        end_s=None if event is None or event.end_s is None else round(event.end_s - zero_s, 3),
        model=sidecar.model.name,
    )


def _filters(request: Request) -> Filters:
    query = request.query_params
    since = until = None
    if query.get("day"):
        try:
            since, until = day_span(query["day"], query.get("zone", "UTC"))
        except ConfigError as error:
            raise RefusedError(422, "invalid", str(error)) from None
    judged_only = {"": None, "1": True, "0": False}.get(query.get("judged", ""))
    least = _number(query.get("score") or "0", "score", 0, 1)
    return Filters(query.get("camera", ""), query.get("label", ""), since, until, least, judged_only)


def _number(text: str, name: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise RefusedError(422, "invalid", f"{name} is {text[:20]}, it must be a number from {least} to {most}")
    return value


_QUERY = (
    Parameter("camera", "only this camera, by its name in paths"),
    Parameter("label", "only this action"),
    Parameter("day", "only events that began on this day, as 2026-03-29"),
    Parameter("zone", "time zone of the day, for example Europe/Berlin; UTC by default"),
    Parameter("score", "least peak score, 0 to 1", "number"),
    Parameter("judged", "1: only events that a person has judged; 0: only the others", "integer"),
    Parameter("before", "continue after this event: `next` of the page before"),
    Parameter("limit", f"most events, up to {MOST_LISTED}; 48 by default", "integer"),
)
OPERATIONS = (
    Operation(
        "GET", "/events", list_events, "Events, newest first.", EventPage, query=_QUERY,
        refusals=((422, "A parameter is invalid."),),
    ),
    Operation("GET", "/events/choices", list_choices, "What events can be filtered by.", EventChoices),
    Operation("GET", "/events/{id}", read_event, "An event with its scores.", EventDetail, refusals=_NOT_FOUND),
    Operation(
        "GET", "/events/{id}/file.{kind}", read_file, "The picture (jpg), clip (mp4) or sidecar (json) of an event.",
        media_type="application/octet-stream", query=(Parameter("download", "1 to store it", "integer"),),
        refusals=(*_NOT_FOUND, (416, "The range is beyond the end.")),
    ),
    Operation(
        "GET", "/events/{id}/why.jpg", read_reasons,
        "The parts of the picture and the frames that the answer rests on; takes seconds the first time.",
        media_type="image/jpeg",
        refusals=(*_NOT_FOUND, (409, "Another model runs now."), (502, "The clip cannot be explained.")),
    ),
    Operation(
        "PUT", "/events/{id}/label", write_judgement, "Say whether an event is right.", EventInfo, body=Judgement,
        refusals=(*_NOT_FOUND, (409, "Events are not recorded."), (422, "The label cannot be used.")),
    ),
    Operation(
        "DELETE", "/events/{id}/label", remove_judgement, "Withdraw that.", EventInfo,
        refusals=(*_NOT_FOUND, (409, "Events are not recorded.")),
    ),
)  # fmt: skip
