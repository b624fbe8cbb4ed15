"""Teaching as the pages do it: the inbox and its labels, a lesson in the background, and taking over."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgehar.errors import ConfigError
from edgehar.inspect import trial
from edgehar.model import signature
from edgehar.model.bundle import SUFFIX, ModelBundle
from edgehar.model.network import same_encoder
from edgehar.recording.sidecar import LABEL_SUFFIX
from edgehar.records import utc_now
from edgehar.teaching.inbox import Inbox
from edgehar.teaching.labels import ORDINARY, judged, read_label, remove_label, write_label
from edgehar.web.teach_answers import InboxInfo, Lesson, ModelState, Moment, ShadowInfo, TeachInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgehar.model.manifest import Manifest
    from edgehar.model.takeover import State, Takeovers
    from edgehar.teaching.inbox import Item
    from edgehar.teaching.labels import Verdict

# Names of the models that are taught: the base, and when.
_TAUGHT = re.compile(r"-taught-\d{8}T\d{6}$")
_LONGEST_BASE = 40


class Teacher(Protocol):
    """Runs lessons, one at a time. Its methods return at once."""

    def teach(self, model: str, folders: Sequence[Path], out: Path) -> Lesson:
        """Start a lesson from the labels in some folders; ConfigError if one runs already."""

    def lesson(self) -> Lesson | None:
        """Return the lesson that runs, or the last one; None before the first."""

    def stop(self) -> None:
        """Stop the lesson that runs."""


@dataclass(frozen=True)
class TaughtModel:
    """A model of the run.

    Attributes:
        name: as the configuration names it.
        cameras: names of its cameras.
        manifest: returns that of the bundle that answers now.
    """

    name: str
    cameras: tuple[str, ...]
    manifest: Callable[[], Manifest]


@dataclass(frozen=True)
class TeachingPlaces:
    """Where teaching reads and writes.

    Attributes:
        inbox: the inbox; None if no moments are kept.
        clips: whether moments have clips.
        recordings: recorded events, whose labels teach too; None if nothing is recorded.
        taught: folder of the models that are taught.
        takeovers: the models that took over.
        swap: whether the run follows them.
        trusted_keys: file of trusted keys; None for none.
        require_signed: whether only signed models may run.
    """

    inbox: Path | None
    clips: bool
    recordings: Path | None
    taught: Path
    takeovers: Takeovers
    swap: bool = False
    trusted_keys: str | None = None
    require_signed: bool = False


class Classroom:
    """Labels, lessons and models. Its methods read and write files, and may raise ConfigError, BundleError or OSError.

    Not thread-safe.
    """

    def __init__(self, places: TeachingPlaces, models: Sequence[TaughtModel], teacher: Teacher) -> None:
        """Use some places and models; `teacher` runs the lessons."""
        self._places, self._models, self.teacher = places, models, teacher
        self._inbox = None if places.inbox is None else Inbox(places.inbox)

    def info(self) -> TeachInfo:
        """Return what can be taught."""
        places = self._places
        return TeachInfo(
            inbox=places.inbox is not None,
            clips=places.clips,
            swap=places.swap,
            models=[self._state(model) for model in self._models],
            lesson=self.teacher.lesson(),
        )

    def inbox(self, limit: int) -> InboxInfo:
        """Return the moments that wait for a label."""
        waiting = [] if self._inbox is None else self._inbox.unlabeled()
        labeled = Counter(label for folder in self._folders() for label in _labels_in(folder))
        classes = dict.fromkeys(label for model in self._models for label in model.manifest().labels)
        classes |= dict.fromkeys(label for label in sorted(labeled) if label != ORDINARY)
        return InboxInfo([_moment(item) for item in waiting[:limit]], len(waiting), dict(labeled), list(classes))

    def clip(self, moment_id: str) -> Path | None:
        """Return the clip of a moment; None if there is none."""
        item = self._item(moment_id)
        return None if item is None else item.clip

    def label(self, moment_id: str, verdict: Verdict, label: str | None) -> Moment | None:
        """Keep what a person says about a moment; None if it is gone."""
        item = self._item(moment_id)
        if item is None:
            return None
        write_label(item.base, judged(verdict, item.facts.answer, label=label, by="page"))
        return _moment(item)

    def withdraw(self, moment_id: str) -> Moment | None:
        """Remove the label of a moment; None if it is gone."""
        item = self._item(moment_id)
        if item is None:
            return None
        remove_label(item.base)
        return _moment(item)

    def remove(self, moment_id: str) -> Moment | None:
        """Delete a moment; None if it is gone."""
        item = self._item(moment_id)
        if item is None:
            return None
        moment = _moment(item)
        item.remove()
        return moment

    def teach(self, name: str) -> Lesson:
        """Start a lesson for a model, from all labels."""
        model = self._model(name)
        folders = [folder for folder in self._folders() if next(_label_files(folder), None) is not None]
        if not folders:
            raise ConfigError("nothing has a label yet; label some moments or events first")
        self._places.taught.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._places.taught.glob(f"*-taught-*{SUFFIX}"):
            # What runs or is on trial has been copied.
            path.unlink(missing_ok=True)
        base = _TAUGHT.sub("", ModelBundle.open(model.name).manifest.name)[:_LONGEST_BASE]
        stamp = "".join(character for character in utc_now()[:19] if character.isalnum())
        return self.teacher.teach(model.name, folders, self._places.taught / f"{base}-taught-{stamp}{SUFFIX}")

    def stop_lesson(self) -> Lesson:
        """Stop the lesson that runs."""
        self.teacher.stop()
        lesson = self.teacher.lesson()
        if lesson is None:
            raise ConfigError("no lesson runs")
        return lesson

    def put_forward(self, name: str, hours: float) -> TeachInfo:
        """Have the model that was taught last run in shadow for some hours, or take over at once if that is 0."""
        model, lesson = self._model(name), self.teacher.lesson()
        if lesson is None or lesson.state != "done" or lesson.model != name:
            raise ConfigError(f"no lesson of {name} has given a new model")
        if not self._places.swap:
            raise ConfigError("models: swap is off; set swap = true under [models] and restart")
        bundle = ModelBundle.open(self._places.taught / f"{lesson.taught}{SUFFIX}")
        if self._places.require_signed:
            signature.require(bundle, self._places.trusted_keys)
        trial.check(bundle)
        same_encoder(ModelBundle.open(model.name), bundle)
        self._places.takeovers.put(model.name, bundle, shadow_s=hours * 3600)
        return self.info()

    def roll_back(self, name: str) -> TeachInfo:
        """Drop the model in shadow, or return to the model before."""
        self._places.takeovers.rollback(self._model(name).name)
        return self.info()

    def _model(self, name: str) -> TaughtModel:
        found = next((model for model in self._models if model.name == name), None)
        if found is None:
            names = ", ".join(model.name for model in self._models)
            raise ConfigError(f"no camera has the model {name!r}; the models are: {names}")
        return found

    def _item(self, moment_id: str) -> Item | None:
        return None if self._inbox is None else self._inbox.get(moment_id)

    def _folders(self) -> list[Path]:
        places = self._places
        return [folder for folder in (places.inbox, places.recordings) if folder is not None and folder.is_dir()]

    def _state(self, model: TaughtModel) -> ModelState:
        state = self._places.takeovers.state(model.name)
        return ModelState(
            model=model.name,
            running=model.manifest().name,
            cameras=list(model.cameras),
            changed=state.changed,
            note=state.note,
            can_return=state.candidate is not None or state.active is not None,
            shadow=_shadow(state),
        )


def _shadow(state: State) -> ShadowInfo | None:
    if state.candidate is None:
        return None
    found = state.comparison
    counts: dict[str, Any] = dict.fromkeys(("answers", "different", "alarms", "shadow_alarms"), 0)
    if found is not None:
        counts = {name: getattr(found, name) for name in counts}
    return ShadowInfo(
        name=state.candidate.name,
        hours=state.shadow_s / 3600,
        watched_h=0.0 if found is None else found.hours,
        **counts,
    )


def _moment(item: Item) -> Moment:
    facts = item.facts
    label = read_label(item.base)
    return Moment(
        id=item.id,
        camera_name=facts.source,
        time=facts.time,
        why=facts.why,
        answer=facts.answer,
        score=facts.score,
        scores=facts.scores,
        clip=item.clip is not None,
        label=None if label is None else label.label,
    )


def _label_files(folder: Path) -> Iterator[Path]:
    return folder.rglob(f"*{LABEL_SUFFIX}")


def _labels_in(folder: Path) -> Iterator[str]:
    for path in _label_files(folder):
        try:
            label = read_label(path.with_name(path.name.removesuffix(LABEL_SUFFIX)))
        except ConfigError:
            continue
        if label is not None:
            yield label.label
