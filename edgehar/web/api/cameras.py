"""Cameras: what they are, what they see now, and their last hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from edgehar.events.options import thresholds_as_scores
from edgehar.web.answers import CameraInfo, Cameras, LiveState, Strip, ThresholdCounts
from edgehar.web.api.operation import Operation, Parameter
from edgehar.web.board import BIN_S, BINS
from edgehar.web.counts import threshold_counts
from edgehar.web.guard import RefusedError, json_response, visitor_of
from edgehar.web.live import BOUNDARY
from edgehar.web.responses import StreamedResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from edgehar.web.camera import WebCamera
    from edgehar.web.live import Kind
    from edgehar.web.services import Services

_MULTIPART = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
# Streams at a time; every open page has one.
MOST_STREAMS = 128
_NOT_FOUND = ((404, "There is no such camera."),)


def number_of(request: Request, services: Services) -> int:
    """Return the number of the camera in the path; raises RefusedError if there is none."""
    return _number(request.path_params["camera"], services.cameras)


def _number(key: str, cameras: Sequence[WebCamera]) -> int:
    for number, camera in enumerate(cameras):
        if camera.key == key:
            return number
    raise RefusedError(404, "no-camera", "there is no camera of this name")


async def list_cameras(_: Request, services: Services) -> Response:
    """List the cameras."""
    return json_response(Cameras([_info(camera) for camera in services.cameras]))


def _info(camera: WebCamera) -> CameraInfo:
    rules, frame = camera.rules(), camera.frame()
    return CameraInfo(
        camera=camera.key,
        name=camera.name,
        model=camera.manifest.name,
        labels=list(camera.manifest.labels),
        actions=camera.actions,
        thresholds={label: rules.thresholds.get(label, rules.threshold) for label in camera.manifest.labels},
        marks=thresholds_as_scores(rules, camera.manifest.labels),
        pictures=camera.view.pictures,
        state=camera.state().value,
        width=None if frame is None else frame.width,
        height=None if frame is None else frame.height,
        region=None if camera.view.region is None else list(camera.view.region),
    )


async def read_state(request: Request, services: Services) -> Response:
    """Return the newest answer."""
    return json_response(services.feed.state(number_of(request, services)))


async def read_strip(request: Request, services: Services) -> Response:
    """Return the last hour."""
    camera = services.cameras[number_of(request, services)]
    board = services.board.cameras[camera.name]
    start_s, scores = board.strip()
    events = [event.to_dict() for event in board.events]
    return json_response(
        Strip(start_s, BIN_S, {label: scores.get(label, [0] * BINS) for label in camera.actions}, events)
    )


async def read_counts(request: Request, services: Services) -> Response:
    """Return what other thresholds would have done in the last day and week."""
    camera = services.cameras[number_of(request, services)]
    return json_response(await threshold_counts(services, camera))


async def read_picture(request: Request, services: Services) -> Response:
    """Return the newest picture."""
    jpeg = await services.feed.picture(number_of(request, services))
    if jpeg is None:
        raise RefusedError(404, "no-picture", "no picture has come yet, or pictures are off")
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def stream_camera(request: Request, services: Services) -> Response:
    """Send the pictures of one camera."""
    number = number_of(request, services)
    if services.cameras[number].view.pictures == "none":
        raise RefusedError(404, "no-picture", "pictures are off")
    return _stream(request, services, [number], ["picture"])


async def stream_live(request: Request, services: Services) -> Response:
    """Send everything about some cameras on one connection, because browsers open six at most."""
    keys = request.query_params.getlist("camera")
    numbers = [_number(key, services.cameras) for key in dict.fromkeys(keys)] or list(range(len(services.cameras)))
    kinds: list[Kind] = ["state", "picture"]
    if request.query_params.get("input") == "1":
        kinds.append("input")
    return _stream(request, services, numbers, kinds)


def _stream(request: Request, services: Services, numbers: list[int], kinds: list[Kind]) -> Response:
    if services.feed.viewers >= MOST_STREAMS:
        raise RefusedError(503, "too-many-viewers", f"{MOST_STREAMS} pages are open already; close some")
    # nginx would otherwise keep the parts until its buffer is full.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    visitor = visitor_of(request)

    def allowed() -> bool:
        return visitor.session is None or services.sessions.find(visitor.token) is not None

    return StreamedResponse(services.feed.parts(numbers, kinds, allowed), media_type=_MULTIPART, headers=headers)


OPERATIONS = (
    Operation("GET", "/cameras", list_cameras, "All cameras.", Cameras),
    Operation("GET", "/cameras/{camera}", read_state, "The newest answer.", LiveState, refusals=_NOT_FOUND),
    Operation(
        "GET", "/cameras/{camera}/counts", read_counts,
        "Events that each threshold would have started in the last day and week; takes seconds.", ThresholdCounts,
        refusals=_NOT_FOUND,
    ),
    Operation("GET", "/cameras/{camera}/strip", read_strip, "The last hour.", Strip, refusals=_NOT_FOUND),
    Operation(
        "GET", "/cameras/{camera}/picture.jpg", read_picture, "The newest picture.", media_type="image/jpeg",
        refusals=_NOT_FOUND,
    ),
    Operation(
        "GET", "/cameras/{camera}/live.mjpg", stream_camera, "Live pictures, as an <img> shows them.",
        media_type="multipart/x-mixed-replace", refusals=_NOT_FOUND,
    ),
    Operation(
        "GET", "/live", stream_live,
        "Live pictures and answers of several cameras. Each part has X-Camera (number in GET /cameras), X-Kind "
        "(state, picture or input) and Content-Length.",
        media_type="multipart/x-mixed-replace",
        query=(
            Parameter("camera", "only these cameras", many=True),
            Parameter("input", "1 to send also what the network sees", "integer"),
        ),
        refusals=(*_NOT_FOUND, (503, "Too many pages are open.")),
    ),
)  # fmt: skip
