"""What the API answers with: one struct for each answer. The OpenAPI document is generated from them."""

from __future__ import annotations

from typing import Any

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused.

    Attributes:
        error: for people, in English.
        code: for programs, and for pages to say it in another language.
    """

    error: str
    code: str


class SessionInfo(msgspec.Struct, frozen=True):
    """Who is asking.

    Attributes:
        logged_in: whether the other paths may be used.
        password: whether there is a password at all.
        csrf: what requests that change something must send in `X-CSRF-Token`.
    """

    logged_in: bool
    password: bool
    csrf: str | None


class CameraInfo(msgspec.Struct, frozen=True):
    """One camera.

    Attributes:
        camera: its name in paths of this API.
        name: its name in records.
        model: name of its model.
        labels: the classes of its model.
        actions: those that may open an event.
        thresholds: score that each label needs.
        pictures: "full", "blurred" or "none".
        state: state of its stream.
        width: pixels of the newest frame, before masks and region; None before the first.
        height: likewise.
    """

    camera: str
    name: str
    model: str
    labels: list[str]
    actions: list[str]
    thresholds: dict[str, float]
    pictures: str
    state: str
    width: int | None
    height: int | None


class Cameras(msgspec.Struct, frozen=True):
    """All cameras, in the order of their numbers in the live stream."""

    cameras: list[CameraInfo]


class LiveState(msgspec.Struct, frozen=True):
    """The newest answer about a camera.

    Attributes:
        camera: its name in paths.
        state: state of its stream.
        fresh: whether a frame came within the last seconds.
        label: the newest answer; None before the first.
        score: its score, 0 to 1.
        scores: score of each class.
        event: label of the event that goes on now; None if there is none.
        event_since: when that began (UTC, ISO 8601).
    """

    camera: str
    state: str
    fresh: bool
    label: str | None
    score: float | None
    scores: dict[str, float]
    event: str | None
    event_since: str | None


class Strip(msgspec.Struct, frozen=True):
    """The scores of the last hour.

    Attributes:
        start_s: when the first step began, in seconds since 1970.
        step_s: length of a step in seconds.
        scores: for each label that may open an event, the highest score of each step: 1 to 255 for 0 to 1, and 0 for a
            step without an answer.
        events: the latest events, as in the records.
    """

    start_s: float
    step_s: float
    scores: dict[str, list[int]]
    events: list[dict[str, Any]]
