"""Events posted to an HTTP server, one request each, in order, each until it is taken."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from edgehar.backoff import Backoff
from edgehar.records import Event
from edgehar.sinks.base import Sink
from edgehar.sinks.spool.queue import Spool
from edgehar.sinks.webhook.connection import Answer, Link
from edgehar.sinks.webhook.options import read_receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.records import Record
    from edgehar.sinks.spool.queue import SpooledEvent
    from edgehar.sinks.webhook.options import WebhookOptions

_log = logging.getLogger(__name__)

# How long a clean end waits for the receiver to take what is left, and then for a request under way to end.
DRAIN_TIMEOUT_S, ABORT_TIMEOUT_S = 3.0, 1.0
# How often events that are refused are spoken of.
_REFUSALS_EVERY_S = 60.0


class WebhookSink(Sink):
    """Posts events; a receiver that is away delays nothing.

    Events wait in the spool until the receiver has answered with 2xx, and are posted in order, each at least once: the
    header `Idempotency-Key` (as `id` and `revision` in the record) tells one that came twice. An event that the
    receiver cannot use (most answers from 400 to 499) is dropped, so that it does not hold up those after it.

    Attributes:
        refused: events dropped because the receiver refused them.
    """

    name = "webhook"
    essential = False

    def __init__(
        self,
        options: WebhookOptions,
        spool: Spool | None = None,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Begin to deliver what is in the spool, in the background.

        Args:
            options: where and how to post.
            spool: where events wait; `close` closes it. None: the last 1000, in memory.
            jitter: gives a random number between two, for the waits.

        Raises:
            ConfigError: the options cannot be used.
        """
        self._receiver = read_receiver(options)
        self._backoff = Backoff(options.first_delay_s, options.max_delay_s, jitter=jitter)
        self._on_disk = spool is not None
        self._spool = spool if spool is not None else Spool.in_memory(self.name)
        self._link = Link(self._receiver, options.timeout_s)
        self._encoder = msgspec.json.Encoder()
        self.refused = 0
        self._refusal_told_s = -_REFUSALS_EVERY_S
        self._told: set[str] = set()
        self._changed = threading.Condition()
        # Guarded by `_changed`.
        self._news = self._idle = self._down = self._closing = False
        self._thread = threading.Thread(target=self._deliver_all, name="edgehar-webhook", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the last event was answered."""
        return not self._down

    def write(self, record: Record) -> None:
        """Take an event to post, never waiting for the receiver; it is in the spool when this returns."""
        if isinstance(record, Event):
            self._spool.append(self._encoder.encode(record), f"{record.id}:{record.revision}")
            with self._changed:
                self._news, self._idle = True, False
                self._changed.notify_all()

    def close(self) -> None:
        """Post what is left, as far as the receiver is there to take it, and end."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._down, DRAIN_TIMEOUT_S)
            self._closing = True
            self._changed.notify_all()
        self._link.abort()
        self._thread.join(ABORT_TIMEOUT_S)
        waiting, lost = self._spool.depth, self._spool.dropped + self.refused
        self._spool.close()
        where = self._receiver.where
        if waiting and self._on_disk:
            _log.info("%s: %d events wait on disk for the next run", where, waiting)
        elif waiting:
            lost += waiting
        if lost:
            _log.warning("%s: %d events could not be delivered", where, lost)

    def _deliver_all(self) -> None:
        """Work of the thread."""
        # The spool is closed under a request that did not end in time.
        with contextlib.suppress(ValueError):
            while (spooled := self._next()) is not None:
                answer = self._deliver(spooled)
                if answer.taken or answer.refused:
                    self._backoff.reset()
                    continue
                self._pause(max(answer.wait_s, self._backoff.next_delay_s()))
        self._link.close()

    def _next(self) -> SpooledEvent | None:
        """The oldest event, after waiting for one; None at the end."""
        while True:
            with self._changed:
                self._news = False
                if self._closing:
                    return None
            if waiting := self._spool.peek(limit=1):
                return waiting[0]
            with self._changed:
                self._idle = not self._news
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._news or self._closing)

    def _deliver(self, spooled: SpooledEvent) -> Answer:
        try:
            answer = self._link.post(spooled.payload, spooled.id)
        except Exception as error:
            # Whatever it is, the other sinks go on, and so shall this one.
            _log.debug("%s: unexpected", self._receiver.where, exc_info=True)
            answer = Answer(what=type(error).__name__)
        if answer.taken or answer.refused:
            self._spool.remove(spooled.sequence)
        self._tell(answer)
        with self._changed:
            self._down = not (answer.taken or answer.refused)
            self._changed.notify_all()
        return answer

    def _tell(self, answer: Answer) -> None:
        where = self._receiver.where
        if answer.refused:
            self.refused += 1
            now_s = time.monotonic()
            if now_s - self._refusal_told_s >= _REFUSALS_EVERY_S:
                self._refusal_told_s = now_s
                _log.warning("%s: %s; the event is dropped, %d so far", where, answer.what, self.refused)
        elif answer.taken and self._told:
            self._told.clear()
            _log.info("%s: takes events again", where)
        elif not answer.taken and answer.what not in self._told and not self._closing:
            consequence = "" if self._told else "; classifying goes on, and events wait"
            _log.warning("%s: %s%s", where, answer.what, consequence)
            self._told.add(answer.what)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)
