"""Follows the state of every configured model: loads what is put forward, compares, takes over, and rolls back.

It has a thread of its own, which reads the state, loads bundles and writes decisions. The thread that classifies only
changes heads, between two frames: the features of the frames seen so far stay, so no window is lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from edgehar.errors import EdgeharError
from edgehar.model import signature
from edgehar.model.takeover import Comparison, State, Takeovers
from edgehar.pipeline.shadow import Shadow, added
from edgehar.pipeline.stream import recorded_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.config import Config
    from edgehar.events.decider import Decider
    from edgehar.model.bundle import ModelBundle
    from edgehar.model.network import Head, Network
    from edgehar.model.takeover import Installed
    from edgehar.pipeline.stream import Stream
    from edgehar.recording.sidecar import Model
    from edgehar.records import Event, Record

_log = logging.getLogger(__name__)

_NOTE_EVERY_S = 60.0
_HOUR_S = 3600.0
_MOST_ALARMS = 10_000


@dataclass
class KeptModel:
    """One configured model of a run.

    Attributes:
        name: the model as the configuration names it.
        configured: the bundle of that name.
        network: what answers.
        streams: the streams that it answers for.
        decider: makes a decider for a stream, for the labels of a bundle.
        state: the state that the run follows.
        alarms: when the active model started events, monotonic seconds.
    """

    name: str
    configured: ModelBundle
    network: Network
    streams: list[Stream]
    decider: Callable[[Stream, ModelBundle], Decider]
    state: State
    alarms: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_ALARMS))


class ModelKeeper:
    """Keeps the models of a run as their states say."""

    def __init__(
        self,
        takeovers: Takeovers,
        models: list[KeptModel],
        config: Config,
        *,
        request: Callable[[Callable[[], object]], object],
        emit: Callable[[list[Record]], object],
        on_change: Callable[[ModelBundle, ModelBundle], object],
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow nothing yet.

        Args:
            takeovers: the states.
            models: the models of the run, as they run now.
            config: the configuration.
            request: has the thread that classifies call something between two frames.
            emit: sends records to the sinks; called by that thread.
            on_change: called by that thread with the bundles before and after a change of heads.
            poll_s: time between two looks at the states.
            clock: monotonic seconds.
        """
        self._takeovers, self._models, self._options = takeovers, models, config.models
        self._request, self._emit, self._on_change = request, emit, on_change
        self._poll_s, self._clock = poll_s, clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="edgehar-models", daemon=True)
        self._noted_s = clock()
        self._refused: dict[str, State] = {}

    def start(self) -> None:
        """Start the thread."""
        for model in self._models:
            for stream in model.streams:
                stream.on_event = partial(self._count, model)
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """End the thread, and keep what a shadow has seen."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def look(self) -> None:
        """Look at every state once, and act on it."""
        for model in self._models:
            try:
                self._follow(model)
                self._judge_shadow(model)
                self._judge_alarms(model)
            except (EdgeharError, OSError) as error:
                if self._refused.get(model.name) != model.state:
                    _log.error("%s: %s; the present model goes on", model.name, error)
                self._refused[model.name] = model.state

    def _work(self) -> None:
        while not self._stopping.wait(self._poll_s):
            try:
                self.look()
            except Exception:
                _log.exception("models: unexpected error; the present models go on")

    def _follow(self, model: KeptModel) -> None:
        """Do what has changed in the state since the last look."""
        state = self._takeovers.state(model.name)
        if state.active != model.state.active:
            self._activate(model, state)
        if state.candidate != model.state.candidate:
            self._try(model, state)
        model.state = state

    def _activate(self, model: KeptModel, state: State) -> None:
        try:
            head = self._loaded(model, state.active)
        except EdgeharError as error:
            if state.active is not None:
                self._takeovers.refuse(model.name, state.active, f"refused: {error}")
            raise
        recorded = recorded_model(head.bundle)
        self._between_frames(lambda: self._change(model, head, recorded, state.note))

    def _between_frames(self, action: Callable[[], object]) -> None:
        """Have the thread that classifies do something, and wait: what follows must see its effect."""
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self._request(act)
        while not done.wait(self._poll_s) and not self._stopping.is_set():
            pass

    def _change(self, model: KeptModel, head: Head, recorded: Model, note: str) -> None:
        """Change heads, on the thread that classifies."""
        before = model.network.bundle
        records: list[Record] = []
        for stream in model.streams:
            shadow = stream.shadow
            warm = shadow is not None and shadow.head.digest == head.digest
            decider = shadow.decider if warm and shadow is not None else model.decider(stream, head.bundle)
            records += stream.use_model(head.bundle, decider, recorded)
        model.network.use_head(head)
        model.alarms.clear()
        self._on_change(before, head.bundle)
        self._emit(records)
        _log.info("%s: %s answers from now on (%s)", model.name, head.bundle.manifest.name, note)

    def _try(self, model: KeptModel, state: State) -> None:
        if state.candidate is None:
            self._between_frames(lambda: _set_shadows(model, None))
            return
        try:
            head = self._loaded(model, state.candidate)
        except EdgeharError as error:
            self._takeovers.refuse(model.name, state.candidate, f"refused: {error}")
            raise
        self._between_frames(lambda: _set_shadows(model, head))
        hours = state.shadow_s / _HOUR_S
        _log.info("%s: %s runs in shadow for %.3g hours", model.name, head.bundle.manifest.name, hours)

    def _loaded(self, model: KeptModel, installed: Installed | None) -> Head:
        """Open, check and load a bundle; None is the configured one."""
        from edgehar.inspect import trial

        bundle = model.configured if installed is None else self._takeovers.open(model.name, installed)
        if installed is not None:
            if self._options.require_signed:
                signature.require(bundle, self._options.trusted_keys)
            trial.check(bundle)
        head = model.network.load_head(bundle)
        # Thresholds of the configuration may name labels that the bundle does not have.
        for stream in model.streams:
            model.decider(stream, bundle)
        return head

    def _judge_shadow(self, model: KeptModel) -> None:
        candidate = model.state.candidate
        comparisons = [stream.shadow.comparison for stream in model.streams if stream.shadow is not None]
        if candidate is None or not comparisons:
            return
        found = added(comparisons)
        if min(comparison.hours for comparison in comparisons) * _HOUR_S < model.state.shadow_s:
            if self._clock() - self._noted_s >= _NOTE_EVERY_S:
                self._noted_s = self._clock()
                self._takeovers.note_comparison(model.name, candidate, found)
            return
        problem = why_not(found, self._options.rollback_alarms_per_hour)
        if problem is None:
            self._takeovers.promote(model.name, candidate, found)
        else:
            _log.warning("%s: %s does not take over: %s", model.name, candidate.name, problem)
            self._takeovers.refuse(model.name, candidate, f"refused after its time in shadow: {problem}", found)

    def _judge_alarms(self, model: KeptModel) -> None:
        most, active = self._options.rollback_alarms_per_hour, model.state.active
        if active is None or most <= 0:
            return
        since_s = self._clock() - _HOUR_S
        count = sum(at_s >= since_s for at_s in list(model.alarms))
        if count > most * len(model.streams):
            why = f"rolled back: {count} events started within an hour, {most:g} for each camera are allowed"
            _log.warning("%s: %s: %s", model.name, active.name, why)
            self._takeovers.refuse(model.name, active, why)

    def _count(self, model: KeptModel, event: Event) -> None:
        if event.phase == "start":
            model.alarms.append(self._clock())


def why_not(found: Comparison, most_per_hour: float) -> str | None:
    """Return why a candidate must not take over after its time in shadow; None if it may."""
    known = found.shadow_alarms - found.new_alarms
    if known > found.alarms:
        return f"it would have started {known} events where the present model started {found.alarms}"
    # Within a short time one event is a high rate.
    if most_per_hour > 0 and found.shadow_alarms > max(1.0, most_per_hour * found.hours):
        return f"it would have started {found.shadow_alarms} events in {found.hours:.3g} hours"
    return None


def _set_shadows(model: KeptModel, head: Head | None) -> None:
    for stream in model.streams:
        if head is None:
            stream.shadow = None
            continue
        decider = model.decider(stream, head.bundle)
        stream.shadow = Shadow(head, decider, open_events=int(stream.decider.is_open))
