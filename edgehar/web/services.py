"""The parts from which the pages make their answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec

from edgehar.errors import ConfigError
from edgehar.records import utc_now
from edgehar.web.log import LogKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from edgehar.health.monitor import Monitor
    from edgehar.teaching.firing import Firings
    from edgehar.web.answers import SettingsInfo, SettingsResult
    from edgehar.web.board import Board
    from edgehar.web.camera import WebCamera
    from edgehar.web.classroom import Classroom, Teacher
    from edgehar.web.live import LiveFeed
    from edgehar.web.options import WebOptions
    from edgehar.web.passwords import Password, Throttle
    from edgehar.web.recordings import Recordings
    from edgehar.web.sessions import Sessions


class ChangedMeanwhileError(ConfigError):
    """Somebody else has changed the configuration file."""


class SettingChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A setting with a new value.

    Attributes:
        path: its keys, and numbers of tables.
        value: the new value; None removes it from the file.
    """

    path: Annotated[list[str | int], msgspec.Meta(min_length=1, max_length=8)]
    value: Any = None


class SettingsFile(Protocol):
    """The settings of the run, and the file they come from. The methods read and write files."""

    def settings(self) -> SettingsInfo:
        """Return every setting with its origin; ConfigError if the file cannot be read."""

    def change(self, changes: Sequence[SettingChange], version: str) -> SettingsResult:
        """Change settings, all or none; ConfigError or OSError if that cannot be done."""

    def undo(self) -> SettingsResult:
        """Go back to the version before; ConfigError or OSError if that cannot be done."""


class Examiner(Protocol):
    """Checks the device."""

    def examine(self) -> bytes:
        """Return the findings, as the JSON of `edgehar doctor`. Takes seconds."""

    def stop(self) -> None:
        """End a check that goes on."""


class Counter(Protocol):
    """Counts the events that other thresholds would have started."""

    def count(self, question: bytes) -> bytes:
        """Answer a question of `edgehar.teaching.firing`; both are JSON. Takes seconds."""

    def stop(self) -> None:
        """End a count that goes on."""


class Explainer(Protocol):
    """Says what an answer rests on."""

    def explain(self, clip: Path, model: Path, label: str) -> bytes | None:
        """Return a JPEG for a class of a clip; None if that failed. Takes seconds."""

    def stop(self) -> None:
        """End an explanation that is being made."""


@dataclass(frozen=True)
class Tools:
    """Functions of the command line for the pages of a run.

    Attributes:
        examiner: checks the device; None if that is not possible.
        settings: the settings; None if they cannot be shown.
        explainer: explains clips; None if that is not possible.
        counter: counts events at other thresholds; None if that is not possible.
        teacher: runs lessons; None if that is not possible.
    """

    examiner: Examiner | None = None
    settings: SettingsFile | None = None
    explainer: Explainer | None = None
    counter: Counter | None = None
    teacher: Teacher | None = None


@dataclass(frozen=True)
class Parts:
    """The parts of a run that its pages use.

    Attributes:
        cameras: in the order of the configuration.
        board: the newest answers and events.
        monitor: counts of the outputs.
        folder: where events are recorded; None if they are not.
        history: folder of the cameras' histories; None if no scores are kept.
        classroom: labels, lessons and models; None if nothing can be taught.
        uploads: whether recordings are uploaded.
        tools: what the command line gives.
        reload: has the run read its configuration again.
        log: the latest lines of the log.
    """

    cameras: Sequence[WebCamera]
    board: Board
    monitor: Monitor
    folder: Path | None = None
    history: Path | None = None
    classroom: Classroom | None = None
    uploads: bool = False
    tools: Tools = Tools()
    reload: Callable[[], object] = lambda: None
    log: LogKeeper = field(default_factory=LogKeeper)


@dataclass(frozen=True)
class Services:
    """Everything that a request may need.

    Attributes:
        options: the settings of `[web]`.
        parts: what the run gives.
        feed: live pictures.
        sessions: who is logged in.
        password: what visitors must know; None if everyone may see the pages.
        throttle: waiting times after wrong passwords.
        recordings: the recorded events; None if nothing is recorded.
        executor: threads for work that would block the event loop.
        checking: held while a password is checked, because each check takes 19 MiB.
        reading: held while recordings are read.
        examining: held while the device is checked or a clip is explained.
        teaching: held while labels and models are read or changed.
        counting: held while events at other thresholds are counted.
        counts: the latest of these counts by their question, each with the monotonic time of it.
        reasons: the latest explanations, by the id of the event.
        started: when the run began (UTC, ISO 8601).
    """

    options: WebOptions
    parts: Parts
    feed: LiveFeed
    sessions: Sessions
    password: Password | None
    throttle: Throttle
    recordings: Recordings | None
    executor: ThreadPoolExecutor
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    examining: asyncio.Lock = field(default_factory=asyncio.Lock)
    teaching: asyncio.Lock = field(default_factory=asyncio.Lock)
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)
    counts: dict[bytes, tuple[float, Firings]] = field(default_factory=dict)
    reasons: dict[str, bytes] = field(default_factory=dict)
    started: str = field(default_factory=utc_now)

    @property
    def cameras(self) -> Sequence[WebCamera]:
        """The cameras, in the order of the configuration."""
        return self.parts.cameras

    @property
    def board(self) -> Board:
        """The newest answers and events."""
        return self.parts.board
