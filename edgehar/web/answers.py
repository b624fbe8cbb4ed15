"""Answers of the API: one struct for each. The OpenAPI document is generated from them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgehar.teaching.firing import Fired


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused.

    Attributes:
        error: for people, in English.
        code: for programs, and for pages to say it in another language.
    """

    error: str
    code: str


class SessionInfo(msgspec.Struct, frozen=True):
    """The user who asks.

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
        actions: labels that may open an event.
        thresholds: what each label needs, as it is set.
        marks: score that each label needs; other than `thresholds` if evidence is compared.
        pictures: "full", "blurred" or "none".
        state: state of its stream.
        width: pixels of the newest frame, before masks and region; None before the first.
        height: likewise.
        region: the part of the frame that pictures show: left, top, width and height in shares; None for all of it.
    """

    camera: str
    name: str
    model: str
    labels: list[str]
    actions: list[str]
    thresholds: dict[str, float]
    marks: dict[str, float]
    pictures: str
    state: str
    width: int | None
    height: int | None
    region: list[float] | None


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
        region: the part of the frame that pictures show: left, top, width and height in shares; None for all of it.
    """

    camera: str
    state: str
    fresh: bool
    label: str | None
    score: float | None
    scores: dict[str, float]
    event: str | None
    event_since: str | None
    region: list[float] | None


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


class LabelInfo(msgspec.Struct, frozen=True):
    """A person's label of an event.

    Attributes:
        verdict: "right", "wrong" (nothing was to report), or "other".
        label: what it was: the label of the event, "ordinary", or another class.
        time: when that was said (UTC, ISO 8601).
    """

    verdict: Literal["right", "wrong", "other"]
    label: str
    time: str


class EventInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    Attributes:
        id: of the event; "-2", "-3" follow for the later parts of a long one.
        camera: name of the camera in paths.
        camera_name: its name in records.
        label: the action; "" if the recording is sealed.
        time: when it began (UTC, ISO 8601).
        duration_s: how long it lasted, in seconds; None while it goes on.
        peak_score: its highest score, 0 to 1.
        going_on: whether it goes on now.
        picture: whether there is a picture of the peak.
        clip: whether there is a clip.
        clip_s: length of the clip in seconds.
        codec: of the clip, as FFmpeg names it.
        sealed: whether the files are encrypted.
        uploaded: whether a server has a copy.
        note: what is missing of the recording, and why.
        verdict: what a person said; None if nobody did.
    """

    id: str
    camera: str
    camera_name: str
    label: str
    time: str
    duration_s: float | None
    peak_score: float | None
    going_on: bool
    picture: bool = False
    clip: bool = False
    clip_s: float | None = None
    codec: str = ""
    sealed: bool = False
    uploaded: bool = False
    note: str = ""
    verdict: LabelInfo | None = None


class EventPage(msgspec.Struct, frozen=True):
    """Some events, newest first.

    Attributes:
        events: the events.
        next: what to pass as `before` for the following ones; None if there are no more.
    """

    events: list[EventInfo]
    next: str | None


class EventChoices(msgspec.Struct, frozen=True):
    """The values by which events can be filtered.

    Attributes:
        cameras: names of cameras in paths, with their names in records.
        labels: actions.
        recorded: whether events are recorded; otherwise the list has only the latest, and forgets them at the end.
    """

    cameras: dict[str, str]
    labels: list[str]
    recorded: bool


class EventDetail(msgspec.Struct, frozen=True):
    """An event with its scores.

    Attributes:
        event: the event.
        labels: the classes, in the order of `scores`.
        times_s: for each answer, seconds from the begin of the clip to the newest frame of its window.
        scores: for each answer, the score of each class.
        start_s: begin of the event, in seconds from the begin of the clip; None if unknown.
        end_s: end of the event, likewise.
        model: name of the model.
    """

    event: EventInfo
    labels: list[str]
    times_s: list[float]
    scores: list[list[float]]
    start_s: float | None
    end_s: float | None
    model: str


class ThresholdCounts(msgspec.Struct, frozen=True):
    """Events that other thresholds would have started.

    Attributes:
        source: "history": every answer of the model that runs now, by the rules in force. "recordings": the peaks of
            recorded events, which say nothing about thresholds below the one they were recorded with. "none": neither
            is kept.
        day_s: time that the history watched in the last 24 hours, in seconds; None of recordings.
        week_s: the same of the last seven days.
        labels: the counts of each label that may open an event.
    """

    source: Literal["history", "recordings", "none"]
    day_s: float | None
    week_s: float | None
    labels: dict[str, Fired]


class Output(msgspec.Struct, frozen=True):
    """The outputs of records.

    Attributes:
        name: of the output.
        connected: whether its receiver can be reached; None if that is not known.
        waiting: events that wait on disk.
        dropped: events that were lost.
    """

    name: str
    connected: bool | None
    waiting: int
    dropped: int


class Storage(msgspec.Struct, frozen=True):
    """The folder of the recordings.

    Attributes:
        folder: its path.
        recordings: how many there are.
        bytes: what they take.
        free_bytes: what is free on the disk.
        uploaded: recordings that a server has.
        uploading: whether recordings are uploaded.
    """

    folder: str
    recordings: int
    bytes: int
    free_bytes: int
    uploaded: int
    uploading: bool


class LogLine(msgspec.Struct, frozen=True):
    """One line of the log.

    Attributes:
        time: when it was written (UTC, ISO 8601).
        level: "info", "warning" or "error".
        text: what it says, without passwords.
    """

    time: str
    level: str
    text: str


class StatusInfo(msgspec.Struct, frozen=True):
    """The state of the run.

    Attributes:
        version: of edgehar.
        started: when it began (UTC, ISO 8601).
        cameras: the newest status of each camera, as in the records.
        outputs: where records go.
        storage: the recordings; None if nothing is recorded.
        log: the latest lines, oldest first.
    """

    version: str
    started: str
    cameras: list[dict[str, Any]]
    outputs: list[Output]
    storage: Storage | None
    log: list[LogLine]


class SettingInfo(msgspec.Struct, frozen=True):
    """One setting.

    Attributes:
        path: its keys, and numbers of tables: ["camera", 0, "threshold"].
        description: one sentence, in English.
        words: the values it accepts, in words that follow "it must be".
        value: its value; None if it is not set. Passwords are masked.
        default: what holds without it; None if that is left to the model or to nothing.
        origin: "default", or the file, variable or option that sets it.
        editable: whether it can be changed here.
        kind: of its value: "boolean", "integer", "number", "choice", "texts", or "other".
        choices: of a choice.
        least: of a number; None without a bound.
        most: likewise.
    """

    path: list[str | int]
    description: str
    words: str
    value: Any
    default: Any
    origin: str
    editable: bool
    kind: Literal["boolean", "integer", "number", "choice", "texts", "other"]
    choices: list[str]
    least: float | None
    most: float | None


class SettingsTable(msgspec.Struct, frozen=True):
    """The settings of one table.

    Attributes:
        title: as in the file, for example "[[camera]] hall"; "" for the top.
        description: one sentence, in English.
        settings: its keys.
    """

    title: str
    description: str
    settings: list[SettingInfo]


class SettingsInfo(msgspec.Struct, frozen=True):
    """All settings.

    Attributes:
        file: the configuration file; None if there is none, and nothing can be changed.
        version: of the file; changes are refused if it is another by then.
        can_undo: whether there is an earlier version to go back to.
        tables: the settings.
    """

    file: str | None
    version: str
    can_undo: bool
    tables: list[SettingsTable]


class SettingsResult(msgspec.Struct, frozen=True):
    """The result of a change.

    Attributes:
        version: of the file now.
        changed: tables and keys that differ now.
        restart: those of them that need a restart of the program.
    """

    version: str
    changed: list[str]
    restart: list[str]
