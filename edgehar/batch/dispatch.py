"""Deals files out to workers, one at a time each, and survives workers that end."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from edgehar._version import __version__
from edgehar.batch.clip_worker import ClipStatus, Outcome, Reply
from edgehar.errors import ConfigError, EdgeharError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from edgehar.batch.listing import BatchFile

_log = logging.getLogger(__name__)

# A file that ends its worker this often is set aside.
TRIES = 2
# Workers that end before they are ready, in a row, before the batch gives up.
_FAILED_STARTS = 3
_POLL_S = 1.0


@dataclass(frozen=True)
class Ready:
    """A worker has loaded the network.

    Attributes:
        version: its version of edgehar.
    """

    version: str


@dataclass(frozen=True)
class Beat:
    """A worker is making progress with its file."""


@dataclass(frozen=True)
class Ended:
    """A worker has ended.

    Attributes:
        reason: why, as far as known.
        error: what it raised, if it could not be started.
    """

    reason: str
    error: Exception | None = None


Message = Ready | Beat | Ended | Reply
W = TypeVar("W")


class Workers(Protocol[W]):
    """Processes or actors, each of which runs a `ClipWorker`."""

    def start(self) -> W:
        """Start a worker. It sends `Ready` or `Ended`."""

    def send(self, worker: W, file: BatchFile) -> None:
        """Give a worker that is ready a file. It sends `Beat`s, and a `Reply` or `Ended`."""

    def wait(self, timeout_s: float) -> list[tuple[W, Message]]:
        """Return the messages that have arrived, after the first or the timeout."""

    def stop(self, worker: W) -> None:
        """End a worker, whatever it does. It sends nothing more."""

    def where(self, worker: W) -> str:
        """Return the machine that a worker runs on."""


@dataclass
class _Task:
    """A file, and how often it was tried. `since_s`: when its worker last made progress."""

    file: BatchFile
    tries: int = 0
    since_s: float = 0.0


class Dispatch(Generic[W]):
    """Gives every file to a worker, again if its worker ends."""

    def __init__(
        self,
        workers: Workers[W],
        jobs: int,
        *,
        stall_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start nothing yet.

        Args:
            workers: starts and ends workers.
            jobs: number of workers.
            stall_s: end a worker that made no progress for this many seconds.
            clock: monotonic seconds.
        """
        self._workers, self._jobs, self._stall_s, self._clock = workers, jobs, stall_s, clock
        self._waiting: deque[_Task] = deque()
        # Every worker, and its file; None while it starts.
        self._busy: dict[W, _Task | None] = {}
        self._failed_starts = 0

    def run(self, files: Sequence[BatchFile]) -> Generator[Reply, None, None]:
        """Yield one reply for each file, in the order in which they are done. Closing the iterator ends the workers.

        Raises:
            SourceError: no worker can see a file that exists here.
            EdgeharError: workers cannot be started.
        """
        self._waiting.extend(_Task(file) for file in files)
        try:
            for _ in range(min(self._jobs, len(self._waiting))):
                self._start()
            while self._busy:
                for worker, message in self._workers.wait(_POLL_S):
                    if worker in self._busy and (reply := self._take(worker, message)) is not None:
                        yield reply
                yield from self._end_stalled()
        finally:
            for worker in self._busy:
                self._workers.stop(worker)
            self._busy.clear()

    def _start(self) -> None:
        self._busy[self._workers.start()] = None

    def _take(self, worker: W, message: Message) -> Reply | None:
        """Handle a message; returns the reply about a file that is done with."""
        task = self._busy[worker]
        match message:
            case Ready(version):
                if version != __version__:
                    where = self._workers.where(worker)
                    raise ConfigError(f"{where} has edgehar {version}, this machine {__version__}; install the same")
                self._failed_starts = 0
                self._next(worker)
            case Beat() if task is not None:
                task.since_s = self._clock()
            case Ended(reason, error):
                return self._replace(worker, task, reason, error)
            case Reply() if task is not None and message.missing and not task.file.is_missing:
                self._retire(worker, task)
            case Reply():
                self._next(worker)
                return message
        return None

    def _next(self, worker: W) -> None:
        if not self._waiting:
            del self._busy[worker]
            self._workers.stop(worker)
            return
        task = self._waiting.popleft()
        task.since_s = self._clock()
        self._busy[worker] = task
        self._workers.send(worker, task.file)

    def _replace(self, worker: W, task: _Task | None, reason: str, error: Exception | None = None) -> Reply | None:
        """Start another worker in place of one that ended; returns a reply if its file is given up."""
        del self._busy[worker]
        self._workers.stop(worker)
        reply = None
        if task is None:
            self._failed_starts += 1
            if error is not None or self._failed_starts >= _FAILED_STARTS:
                raise error or EdgeharError(f"a worker cannot be started: {reason}")
        else:
            task.tries += 1
            if task.tries < TRIES:
                self._waiting.appendleft(task)
            else:
                name = task.file.name
                text = f"{name}: {reason}, {TRIES} times; re-encode or remove the file"
                reply = Reply(Outcome(source=name, status=ClipStatus.CRASHED, error=text))
        if self._waiting:
            self._start()
        return reply

    def _retire(self, worker: W, task: _Task) -> None:
        """Stop using a worker that cannot see a file which exists here."""
        where = self._workers.where(worker)
        del self._busy[worker]
        self._workers.stop(worker)
        self._waiting.appendleft(task)
        if not self._busy:
            raise SourceError(
                f"{task.file.address}: cannot be read on {where}; every machine needs the files under the same path, "
                "or a log-in for the store"
            )
        _log.warning("%s: cannot be read on %s, which is not used any more", task.file.address, where)

    def _end_stalled(self) -> Iterator[Reply]:
        now_s = self._clock()
        for worker, task in list(self._busy.items()):
            if task is not None and now_s - task.since_s > self._stall_s:
                reply = self._replace(worker, task, f"no frame for {self._stall_s:g} s")
                if reply is not None:
                    yield reply
