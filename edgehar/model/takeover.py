"""Replace the bundle of a configured model: propose, try in shadow, take over, roll back.

A folder holds, for each configured model, copies of bundles and a state file. `edgehar models` and other programs
change the state; a running edgehar-run with `[models] swap = true` follows it. Every change is one rename: a process
that is killed at any moment leaves the state before or after it, and every bundle that a state names is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from edgehar.errors import BundleError, ConfigError
from edgehar.files import whole_file
from edgehar.model.bundle import SUFFIX, ModelBundle
from edgehar.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATE, _LOCK = "state.json", ".lock"
# Models that can be returned to, one after the other.
_MOST_PREVIOUS = 5


class Installed(msgspec.Struct, frozen=True):
    """A bundle in the folder.

    Attributes:
        file: its name in the folder of the model.
        name: the model's name.
        sha256: of the file.
    """

    file: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.edgehar$")]
    name: str
    sha256: str


class Comparison(msgspec.Struct, frozen=True):
    """Answers of a shadow and of the active model over the same time.

    Attributes:
        hours: hours watched, over all cameras.
        answers: answers of each.
        different: answers with another label.
        alarms: events that the active model started.
        shadow_alarms: events that the shadow would have started.
        new_alarms: those of them with a label that the active model does not have.
    """

    hours: float = 0.0
    answers: int = 0
    different: int = 0
    alarms: int = 0
    shadow_alarms: int = 0
    new_alarms: int = 0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The bundles of one configured model.

    Attributes:
        model: the model as the configuration names it.
        active: the bundle that runs instead; None for the configured model itself.
        previous: what ran before, the latest last.
        candidate: the bundle that runs in shadow; None if none does.
        shadow_s: how long it runs in shadow before it takes over, in seconds of watching.
        comparison: the latest comparison of a shadow.
        changed: time of the last change (UTC, ISO 8601).
        note: why it was made.
    """

    model: str
    active: Installed | None = None
    previous: list[Installed | None] = []
    candidate: Installed | None = None
    shadow_s: float = 0.0
    comparison: Comparison | None = None
    changed: str = ""
    note: str = ""


class Takeovers:
    """The folder of all models. Several processes may change it."""

    def __init__(self, folder: Path) -> None:
        """Use a folder; it is made at the first change."""
        self.folder = folder

    def states(self) -> list[State]:
        """Return the state of every model that was ever changed."""
        found = []
        for path in sorted(self.folder.glob(f"*/{_STATE}")):
            with contextlib.suppress(BundleError):
                found.append(_read(path))
        return found

    def state(self, model: str) -> State:
        """Return the state of a configured model.

        Raises:
            BundleError: the state file is damaged.
        """
        path = self._place(model) / _STATE
        return _read(path) if path.exists() else State(model=model)

    def path_of(self, model: str, installed: Installed) -> Path:
        """Return the path of a bundle that a state names."""
        return self._place(model) / installed.file

    def open(self, model: str, installed: Installed) -> ModelBundle:
        """Open a bundle that a state names.

        Raises:
            BundleError: it is gone, or not the one that was installed.
        """
        path = self.path_of(model, installed)
        if not path.is_file():
            raise BundleError(f"{path}: is gone; put it forward again with: edgehar models swap")
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror or error}") from error
        if digest != installed.sha256:
            raise BundleError(f"{path}: is not the bundle that was put forward; do so again with: edgehar models swap")
        return ModelBundle.open(path)

    def put(self, model: str, bundle: ModelBundle, *, shadow_s: float) -> State:
        """Put a bundle forward: it runs in shadow for a time, or takes over at once if that is 0.

        Args:
            model: the model as the configuration names it.
            bundle: the new bundle, which is copied.
            shadow_s: how long it runs in shadow, in seconds of watching.

        Raises:
            BundleError: the bundle cannot be copied, or the state is damaged.
        """
        try:
            with self._locked(model) as place:
                state, installed = self.state(model), _copy(bundle, place)
                note = "put forward" if shadow_s > 0 else "taken over on request"
                if shadow_s > 0:
                    state = _changed(state, note, candidate=installed, shadow_s=shadow_s, comparison=None)
                else:
                    state = _activated(state, installed, note)
                return self._write(place, state)
        except OSError as error:
            raise BundleError(f"{error.filename or self.folder}: cannot be written: {error.strerror}") from error

    def promote(self, model: str, candidate: Installed, comparison: Comparison) -> State:
        """Let the candidate take over after its time in shadow. Nothing changes if another one came meanwhile."""
        with self._locked(model) as place:
            state = self.state(model)
            if state.candidate != candidate:
                return state
            state = msgspec.structs.replace(state, comparison=comparison)
            return self._write(place, _activated(state, candidate, "taken over after its time in shadow"))

    def refuse(self, model: str, candidate: Installed, why: str, comparison: Comparison | None = None) -> State:
        """Drop a candidate, or return from it if it is active already. Nothing changes if it is neither."""
        with self._locked(model) as place:
            state = self.state(model)
            if state.candidate == candidate:
                return self._write(place, _changed(state, why, candidate=None, comparison=comparison))
            if state.active == candidate:
                return self._write(place, _returned(state, why))
            return state

    def note_comparison(self, model: str, candidate: Installed, comparison: Comparison) -> None:
        """Keep what a shadow has answered so far."""
        with self._locked(model) as place:
            state = self.state(model)
            if state.candidate == candidate:
                self._write(place, msgspec.structs.replace(state, comparison=comparison))

    def rollback(self, model: str, why: str = "rolled back on request") -> State:
        """Drop the candidate if there is one; else return to the model before.

        Raises:
            ConfigError: there is nothing to return from.
            BundleError: the state cannot be written or is damaged.
        """
        try:
            with self._locked(model) as place:
                state = self.state(model)
                if state.candidate is not None:
                    return self._write(place, _changed(state, why, candidate=None))
                if state.active is None:
                    raise ConfigError(f"{model}: runs as configured; there is nothing to roll back")
                return self._write(place, _returned(state, why))
        except OSError as error:
            raise BundleError(f"{error.filename or self.folder}: cannot be written: {error.strerror}") from error

    def _place(self, model: str) -> Path:
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(model).stem).strip("-")[:40] or "model"
        return self.folder / f"{readable}-{hashlib.sha256(model.encode(errors='surrogatepass')).hexdigest()[:8]}"

    @contextlib.contextmanager
    def _locked(self, model: str) -> Iterator[Path]:
        """Yield the folder of a model, while no other process changes it."""
        place = self._place(model)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(place / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield place
        finally:
            os.close(descriptor)

    def _write(self, place: Path, state: State) -> State:
        with whole_file(place / _STATE) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n")
        used = {installed.file for installed in (state.active, state.candidate, *state.previous) if installed}
        for path in place.glob(f"*{SUFFIX}"):
            if path.name not in used:
                path.unlink(missing_ok=True)
        return state


def _read(path: Path) -> State:
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: damaged: {error}; delete it to run the configured model") from error


def _copy(bundle: ModelBundle, place: Path) -> Installed:
    content = bundle.path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    path = place / f"{bundle.manifest.name}-{digest[:12]}{SUFFIX}"
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    # It may have been replaced since it was opened and checked.
    if ModelBundle.open(path).manifest != bundle.manifest:
        raise BundleError(f"{bundle.path}: was replaced while it was checked; do so again")
    return Installed(path.name, bundle.manifest.name, digest)


def _changed(state: State, note: str, **changes: object) -> State:
    return msgspec.structs.replace(state, changed=utc_now(), note=note, **changes)


def _activated(state: State, installed: Installed, note: str) -> State:
    if installed == state.active:
        return _changed(state, note, candidate=None)
    previous = [*state.previous, state.active][-_MOST_PREVIOUS:]
    return _changed(state, note, active=installed, previous=previous, candidate=None)


def _returned(state: State, why: str) -> State:
    previous = state.previous[-1] if state.previous else None
    return _changed(state, why, active=previous, previous=state.previous[:-1], candidate=None)
