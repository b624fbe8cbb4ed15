"""Answers of the API about teaching: moments that wait for a label, a running lesson, and models that take over."""

from __future__ import annotations

from typing import Literal

import msgspec


class Moment(msgspec.Struct, frozen=True):
    """A moment in the inbox.

    Attributes:
        id: folder of its camera and its name, as in paths.
        camera_name: name of the camera in records.
        time: of the answer that it was kept for (UTC, ISO 8601).
        why: "event", "unsure" (near a threshold), "unusual" (unlike what was seen before), or "random".
        answer: what the model said.
        score: its score, 0 to 1.
        scores: score of each class.
        clip: whether there is a clip.
        label: what a person said; None if nobody did.
    """

    id: str
    camera_name: str
    time: str
    why: Literal["event", "unsure", "unusual", "random"]
    answer: str
    score: float
    scores: dict[str, float]
    clip: bool
    label: str | None


class InboxInfo(msgspec.Struct, frozen=True):
    """Moments that wait for a label.

    Attributes:
        moments: those to ask about next, events first.
        waiting: how many wait in all.
        labeled: moments and recordings with each label.
        classes: classes of the models, and labels that were given.
    """

    moments: list[Moment]
    waiting: int
    labeled: dict[str, int]
    classes: list[str]


class LabelScore(msgspec.Struct, frozen=True):
    """Answers to the held-out clips of one label.

    Attributes:
        clips: how many there are.
        before: right answers of the old head.
        after: right answers of the new head.
    """

    clips: int
    before: int
    after: int


class LessonResult(msgspec.Struct, frozen=True):
    """How held-out clips were answered.

    Attributes:
        labels: by label.
        before: share that the old head got right, mean over labels.
        after: the same of the new head.
        protocol: how clips were held out.
        ordinary: random moments without a label; `before` and `after` count those reported as an action.
        left_out: clips that could not be read.
        problem: why the new head was refused, in English; None if it was not.
    """

    labels: dict[str, LabelScore]
    before: float
    after: float
    protocol: str
    ordinary: LabelScore
    left_out: int
    problem: str | None


class Lesson(msgspec.Struct, frozen=True):
    """A lesson, or the last one.

    Attributes:
        model: what it started from, as the configuration names it.
        state: "running", "done" (a new model is there), "refused" by its results, "failed", or "stopped".
        done: clips that were read.
        total: clips in all; 0 until that is known.
        result: the results; None before the end.
        error: why it failed, in English; "" otherwise.
        taught: name of the new model; "" if there is none.
    """

    model: str
    state: Literal["running", "done", "refused", "failed", "stopped"]
    done: int = 0
    total: int = 0
    result: LessonResult | None = None
    error: str = ""
    taught: str = ""


class ShadowInfo(msgspec.Struct, frozen=True):
    """A model that answers beside the present one, and starts no events.

    Attributes:
        name: of the model.
        hours: how long it is to be watched.
        watched_h: hours watched so far, over all cameras; written once a minute.
        answers: answers of each.
        different: answers with another label.
        alarms: events of the present model in that time.
        shadow_alarms: events that the other would have started.
    """

    name: str
    hours: float
    watched_h: float
    answers: int
    different: int
    alarms: int
    shadow_alarms: int


class ModelState(msgspec.Struct, frozen=True):
    """One model of the configuration.

    Attributes:
        model: as the configuration names it.
        running: name of the model that answers now.
        cameras: names of its cameras.
        changed: time of the last change (UTC, ISO 8601); "" if there was none.
        note: why it was made, in English.
        can_return: whether there is something to roll back.
        shadow: the model in shadow; None if there is none.
    """

    model: str
    running: str
    cameras: list[str]
    changed: str
    note: str
    can_return: bool
    shadow: ShadowInfo | None


class TeachInfo(msgspec.Struct, frozen=True):
    """What can be taught, and how it goes.

    Attributes:
        inbox: whether moments are kept for labels.
        clips: whether they are kept with clips.
        swap: whether a model can take over without a restart.
        models: the models of the configuration.
        lesson: the lesson that runs, or the last one; None before the first.
    """

    inbox: bool
    clips: bool
    swap: bool
    models: list[ModelState]
    lesson: Lesson | None
