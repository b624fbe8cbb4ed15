"""Puts moments that are worth a label into the inbox, on a thread of its own, so that no frame waits for it."""

from __future__ import annotations

import errno
import logging
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from edgehar.records import Event, Prediction
from edgehar.sinks.base import Sink
from edgehar.teaching.inbox import Facts, Inbox
from edgehar.teaching.interest import Chance, Novelty, Rate, is_unsure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from edgehar.model.manifest import Manifest
    from edgehar.records import Record
    from edgehar.teaching.inbox import Why
    from edgehar.teaching.options import InboxOptions

_log = logging.getLogger(__name__)

# Events may be kept so many times as often as other moments.
_EVENTS_FACTOR = 10.0
# Share of the inbox's bound that is freed beyond what a moment needs, because every moment is read to find the oldest.
_SPARE_SHARE = 0.04
# Bytes of a moment's facts and label.
_FACTS_BYTES = 8192
# The newest share of a moment, after the answer that it is kept for.
_AFTER_SHARE = 0.5


class ClipSource(Protocol):
    """Makes a clip of a stretch of a camera's video."""

    def cut(self, folder: Path, start_s: float, end_s: float) -> tuple[Path, float] | None:
        """Write a clip that holds these capture times; return it and the seconds of it before `start_s`."""


@dataclass(frozen=True)
class WatchedCamera:
    """Facts about a camera that the inbox needs.

    Attributes:
        hop: frames between answers.
        thresholds: returns the threshold of every label that opens events.
        clips: makes clips; None to keep features only.
    """

    hop: int
    thresholds: Callable[[], Mapping[str, float]]
    clips: ClipSource | None = None


@dataclass
class _Moment:
    why: Why
    answer: Prediction
    until_s: float
    event: str | None = None


@dataclass
class _Camera:
    """The last seconds of a camera, and the moments of it that are not complete yet."""

    watched: WatchedCamera
    novelty: Novelty
    chance: Chance
    rates: dict[Why, Rate]
    answers: deque[Prediction] = field(default_factory=deque)
    moments: list[_Moment] = field(default_factory=list)


class InboxSink(Sink):
    """Chooses moments and writes them. A disk that fails or is full costs moments and nothing else.

    Attributes:
        kept: moments written.
        dropped: moments that could not be written.
    """

    name = "inbox"
    essential = False

    def __init__(
        self,
        inbox: Inbox,
        options: InboxOptions,
        cameras: Mapping[str, WatchedCamera],
        models: Mapping[str, Manifest],
        *,
        chance: random.Random | None = None,
    ) -> None:
        """Create a sink; nothing is written before the first moment is complete.

        Args:
            inbox: where moments go.
            options: how many, and how much room.
            cameras: the cameras, by the name of their source.
            models: manifests by the first eight digits of the SHA-256 of their head; may grow during the run.
            chance: source of random numbers.
        """
        self._inbox, self._options, self._models = inbox, options, models
        self._watched, self._random = cameras, chance or random.Random()  # noqa: S311 - no secret
        self._cameras: dict[str, _Camera] = {}
        self.kept = self.dropped = 0
        self._in_trouble = False
        # Bytes of the inbox at most; None before the first look.
        self._held: int | None = None

    def write(self, record: Record) -> None:
        """Learn of an answer or event; never raises for what the disk does."""
        if isinstance(record, Event):
            self._event(record)
        elif isinstance(record, Prediction) and record.features is not None and record.head in self._models:
            self._answer(record)

    def close(self) -> None:
        """Write the moments that have begun."""
        for camera in self._cameras.values():
            self._finish(camera)
        if self.dropped:
            _log.warning("inbox: %d moments were not written", self.dropped)

    def _answer(self, answer: Prediction) -> None:
        camera = self._cameras.get(answer.source) or self._new_camera(answer.source)
        before = camera.answers[-1] if camera.answers else None
        if before is not None and not _continues(before, answer):
            self._finish(camera)
            before = None
        camera.answers.append(answer)
        now_s = answer.window.end_s
        for moment in [moment for moment in camera.moments if moment.until_s <= now_s]:
            self._keep(camera, moment)
        camera.moments = [moment for moment in camera.moments if moment.until_s > now_s]
        while len(camera.answers) > 1 and camera.answers[1].window.start_s < now_s - self._options.seconds:
            camera.answers.popleft()
        self._choose(camera, answer, 0.0 if before is None else now_s - before.window.end_s)

    def _choose(self, camera: _Camera, answer: Prediction, step_s: float) -> None:
        assert answer.features is not None
        # Both learn from every answer, whichever of them picks it.
        chosen, unusual = camera.chance.picks(step_s), camera.novelty.is_unusual(answer.features)
        if chosen:
            self._begin(camera, "random", answer)
        elif unusual:
            self._begin(camera, "unusual", answer)
        elif is_unsure(answer.scores, camera.watched.thresholds()):
            self._begin(camera, "unsure", answer)

    def _event(self, event: Event) -> None:
        camera = self._cameras.get(event.source)
        if event.phase == "start" and camera is not None and camera.answers:
            self._begin(camera, "event", camera.answers[-1], event.id)

    def _begin(self, camera: _Camera, why: Why, answer: Prediction, event: str | None = None) -> None:
        now_s = answer.window.end_s
        # One moment shows what happens now; an event is kept even if another moment has begun.
        if why != "event" and any(moment.why != "random" for moment in camera.moments):
            return
        if why == "random" or camera.rates[why].allows(now_s):
            camera.moments.append(_Moment(why, answer, now_s + _AFTER_SHARE * self._options.seconds, event))

    def _finish(self, camera: _Camera) -> None:
        for moment in camera.moments:
            self._keep(camera, moment)
        camera.moments.clear()
        camera.answers.clear()

    def _keep(self, camera: _Camera, moment: _Moment) -> None:
        answers = [answer for answer in camera.answers if answer.head == moment.answer.head]
        begin_s = moment.until_s - self._options.seconds
        answers = [answer for answer in answers if answer.window.start_s >= begin_s - 1e-6] or [moment.answer]
        features = joined(answers, camera.watched.hop)
        answer, manifest = moment.answer, self._models[moment.answer.head]
        facts = Facts(
            source=answer.source,
            time=answer.time,
            why=moment.why,
            model=manifest.name,
            encoder=manifest.files["encoder.tflite"],
            head=answer.head,
            answer=answer.label,
            score=round(answer.score, 4),
            scores={label: round(score, 4) for label, score in answer.scores.items()},
            hop=camera.watched.hop,
            frames=len(features),
            event=moment.event,
            start_s=round(answers[0].window.start_s, 3),
            end_s=round(answers[-1].window.end_s, 3),
        )
        clip: Path | None = None
        try:
            if self._held is None:
                # Before a clip is cut, which has a temporary name.
                self._inbox.sweep()
            if camera.watched.clips is not None:
                made = camera.watched.clips.cut(self._inbox.folder, facts.start_s, facts.end_s)
                if made is not None:
                    clip, facts = made[0], msgspec.structs.replace(facts, clip_offset_s=round(made[1], 3))
            coming = features.nbytes + _FACTS_BYTES + (0 if clip is None else clip.stat().st_size)
            self._make_room(coming)
            self._inbox.add(facts, features, clip)
        except OSError as error:
            self.dropped += 1
            if clip is not None:
                clip.unlink(missing_ok=True)
            if not self._in_trouble:
                _log.warning("%s: cannot be written: %s; moments are lost", self._inbox.folder, error.strerror)
            self._in_trouble = True
            return
        self.kept += 1
        if self._in_trouble:
            _log.info("%s: writing again; %d moments were lost", self._inbox.folder, self.dropped)
        self._in_trouble = False

    def _make_room(self, coming: int) -> None:
        """Remove old moments until so many bytes more fit; OSError if they never will."""
        most = round(self._options.max_mb * 1e6)
        if coming > most:
            raise OSError(errno.EFBIG, f"a moment of {coming / 1e6:.1f} MB is over max_mb")
        if self._held is None or self._held + coming > most:
            gone, self._held = self._inbox.make_room(max(0, round((1.0 - _SPARE_SHARE) * most) - coming))
            if gone:
                _log.info("%s: removed %d old moments to keep within %g MB", self._inbox.folder, gone, most / 1e6)
        self._held += coming

    def _new_camera(self, source: str) -> _Camera:
        per_hour = self._options.per_hour
        rates: dict[Why, Rate] = {
            "event": Rate(_EVENTS_FACTOR * per_hour),
            "unsure": Rate(per_hour),
            "unusual": Rate(per_hour),
        }
        camera = _Camera(self._watched[source], Novelty(), Chance(per_hour, self._random), rates)
        self._cameras[source] = camera
        return camera


def joined(answers: list[Prediction], hop: int) -> npt.NDArray[np.int8]:
    """Return the features of every frame of answers that follow each other, int8 `(frames, features)`."""
    windows = [answer.features for answer in answers]
    parts = [windows[0], *(None if window is None else window[-hop:] for window in windows[1:])]
    return np.concatenate([part for part in parts if part is not None])


def _continues(before: Prediction, answer: Prediction) -> bool:
    """Return whether no frame is missing between the windows of two answers."""
    step_s = answer.window.end_s - before.window.end_s
    period_s = (before.window.end_s - before.window.start_s) / max(1, before.window.frames - 1)
    overlaps = answer.window.start_s <= before.window.end_s + 1.5 * period_s
    return step_s > 0 and overlaps and answer.seq == before.seq + 1
