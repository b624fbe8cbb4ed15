"""Workers that are actors of a Ray cluster."""

from __future__ import annotations

import logging
import platform
import time
from typing import TYPE_CHECKING, Any

from edgehar.batch.clip_worker import ClipWorker
from edgehar.batch.dispatch import Beat, Ended, Message, Ready
from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from edgehar.batch.clip_worker import ClipJob, Reply
    from edgehar.batch.listing import BatchFile

_BEAT_EVERY_S = 5.0


class ClipActor:
    """A `ClipWorker` whose progress can be asked for while it classifies."""

    def __init__(self, job: ClipJob) -> None:
        logging.disable(logging.CRITICAL)
        self._worker = ClipWorker(job)
        self._beats = 0

    def ready(self) -> tuple[str, str]:
        """Return the version of edgehar and the name of the machine."""
        return self._worker.version, platform.node()

    def classify(self, file: BatchFile) -> Reply:
        """Classify a file."""
        return self._worker.classify(file, self._beat)

    def beats(self) -> int:
        """Return a number that grows while frames arrive."""
        return self._beats

    def _beat(self) -> None:
        self._beats += 1


class RayWorker:
    """An actor, and what is known of it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.node = "a node"
        self.beats, self.asked_s = 0, time.monotonic()


class RayActors:
    """Starts and ends actors, each with a `ClipWorker` and one processor."""

    def __init__(self, ray: Any, job: ClipJob) -> None:
        """Start nothing yet.

        Args:
            ray: the module, connected to a cluster.
            job: how files are classified; sent to each node once.
        """
        self._ray, self._job = ray, ray.put(job)
        # One actor thread classifies, the other one answers `beats`.
        self._make = ray.remote(num_cpus=1, max_concurrency=2, max_restarts=0)(ClipActor)
        # Calls in progress: the worker and the method.
        self._calls: dict[Any, tuple[RayWorker, str]] = {}
        self._busy: set[RayWorker] = set()

    def start(self) -> RayWorker:
        """Start an actor. It waits until the cluster has a free processor."""
        worker = RayWorker(self._make.remote(self._job))
        self._calls[worker.actor.ready.remote()] = (worker, "ready")
        return worker

    def send(self, worker: RayWorker, file: BatchFile) -> None:
        """Give an actor a file."""
        self._busy.add(worker)
        self._calls[worker.actor.classify.remote(file)] = (worker, "classify")

    def wait(self, timeout_s: float) -> list[tuple[RayWorker, Message]]:
        """Return the messages that have arrived."""
        self._ask_for_beats()
        calls = list(self._calls)
        ready, _ = self._ray.wait(calls, num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        messages = []
        for call in ready:
            if call in self._calls:
                worker, method = self._calls.pop(call)
                message = self._message(worker, method, call)
                if message is not None:
                    messages.append((worker, message))
        return messages

    def stop(self, worker: RayWorker) -> None:
        """Kill an actor; it has nothing to clean up."""
        self._forget(worker)
        self._ray.kill(worker.actor, no_restart=True)

    def where(self, worker: RayWorker) -> str:
        """Return the name of the actor's machine."""
        return worker.node

    def _message(self, worker: RayWorker, method: str, call: Any) -> Message | None:
        errors = self._ray.exceptions
        try:
            result = self._ray.get(call)
        except errors.RayTaskError as error:
            return self._ended(worker, f"failed: {error.cause}", EdgeharError(f"{worker.node}: {error.cause}"))
        except errors.RayActorError as error:
            cause = getattr(error, "cause", None)
            return self._ended(worker, "ended its actor", None if cause is None else EdgeharError(str(cause)))
        except errors.RayError as error:
            return self._ended(worker, f"ended its actor ({type(error).__name__})")
        if method == "ready":
            version, worker.node = result
            return Ready(version)
        if method == "beats":
            before, worker.beats = worker.beats, result
            return Beat() if result != before else None
        self._busy.discard(worker)
        reply: Reply = result
        return reply

    def _ended(self, worker: RayWorker, reason: str, error: Exception | None = None) -> Ended:
        self._forget(worker)
        return Ended(reason, error)

    def _forget(self, worker: RayWorker) -> None:
        self._busy.discard(worker)
        self._calls = {call: of for call, of in self._calls.items() if of[0] is not worker}

    def _ask_for_beats(self) -> None:
        now_s = time.monotonic()
        for worker in self._busy:
            if now_s - worker.asked_s >= _BEAT_EVERY_S:
                worker.asked_s = now_s
                self._calls[worker.actor.beats.remote()] = (worker, "beats")
