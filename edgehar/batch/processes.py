"""Workers that are processes of this machine. A decoder that crashes on a file ends its process, not the batch."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import platform
import signal
import threading
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from edgehar.batch.clip_worker import ClipWorker
from edgehar.batch.dispatch import Beat, Ended, Message, Ready
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from edgehar.batch.clip_worker import ClipJob
    from edgehar.batch.listing import BatchFile

_STOP_TIMEOUT_S = 5.0


class WorkerProcess:
    """A process and the connection to it."""

    def __init__(self, job: ClipJob) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, job), daemon=True)
        self.process.start()
        other.close()

    def receive(self) -> Message:
        """Return the next message, which has arrived at least in part."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_STOP_TIMEOUT_S)
            return Ended(_reason(self.process.exitcode))
        return message

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class Processes:
    """Starts and ends processes, each with a `ClipWorker`."""

    def __init__(self, job: ClipJob) -> None:
        """Start nothing yet."""
        self._job = job
        self._running: dict[Any, WorkerProcess] = {}

    def start(self) -> WorkerProcess:
        """Start a process."""
        worker = WorkerProcess(self._job)
        self._running[worker.connection] = worker
        return worker

    def send(self, worker: WorkerProcess, file: BatchFile) -> None:
        """Give a process a file. If it has just ended, `wait` says so."""
        with contextlib.suppress(OSError):
            worker.connection.send(file)

    def wait(self, timeout_s: float) -> list[tuple[WorkerProcess, Message]]:
        """Return the messages that have arrived."""
        ready = wait(list(self._running), timeout_s)
        return [(self._running[connection], self._running[connection].receive()) for connection in ready]

    def stop(self, worker: WorkerProcess) -> None:
        """Kill a process; it has nothing to clean up."""
        self._running.pop(worker.connection, None)
        worker.stop()

    def where(self, worker: WorkerProcess) -> str:  # noqa: ARG002 - all run here
        """Return the name of this machine."""
        return platform.node()


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended its process by {signal.Signals(-code).name}"
    return f"ended its process with exit code {code}"


def _serve(connection: Connection[Any, Any], job: ClipJob) -> None:
    """Classify the files that arrive, until the batch ends."""
    # Ctrl-C reaches all processes of a terminal, and the batch ends this one itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Warnings about single frames would drown the progress display; the outcome counts them.
    logging.disable(logging.CRITICAL)
    try:
        worker = ClipWorker(job)
    except EdgeharError as error:
        connection.send(Ended(str(error), error))
        return
    connection.send(Ready(worker.version))
    while True:
        connection.send(worker.classify(connection.recv(), lambda: connection.send(Beat())))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
