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
from edgehar.sinks.webhook.connection import PostResult, WebhookConnection
from edgehar.sinks.webhook.options import read_body, read_receiver
from edgehar.templates import is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.records import Record
    from edgehar.sinks.spool.queue import SpooledEvent
    from edgehar.sinks.webhook.options import WebhookOptions

_log = logging.getLogger(__name__)

# How long a clean end waits for the receiver to take what is left, and then for a request under way to end, in seconds.
DRAIN_TIMEOUT_S, ABORT_TIMEOUT_S = 3.0, 1.0
# Interval of log lines about refused events, in seconds.
_REFUSALS_EVERY_S = 60.0
# After so many failed answers to one event the next one is tried in between. If that is taken, the first is to blame.
_TRIES_ALONE = 5


class WebhookSink(Sink):
    """Posts events. An outage of the receiver delays nothing.

    Events wait in the spool until the receiver has answered with 2xx. They are posted in order, each at least once: the
    header `Idempotency-Key` (and `id` and `revision` in the record) identifies duplicates. An event that the receiver
    refuses (most answers from 400 to 499), or that fails again and again while others are taken, is set aside.
    """

    name = "webhook"
    essential = False

    def __init__(
        self,
        options: WebhookOptions,
        spool: Spool | None = None,
        *,
        jitter: Callable[[float, float], float] = random.uniform,
        drain_timeout_s: float = DRAIN_TIMEOUT_S,
    ) -> None:
        """Start to deliver what is in the spool, in the background.

        Args:
            options: address, log-in and delays.
            spool: where events wait; `close` closes it. If None, the last 1000 wait in memory.
            jitter: returns a random number between two, for the delays.
            drain_timeout_s: how long `close` waits for the receiver to take what is left, in seconds.

        Raises:
            ConfigError: an option is not valid.
        """
        self._options, self._receiver, self._body = options, read_receiver(options), read_body(options)
        self._backoff = Backoff(options.first_delay_s, options.max_delay_s, jitter=jitter)
        self._drain_timeout_s = drain_timeout_s
        self._spool = spool if spool is not None else Spool.in_memory(self.name)
        self._connection = WebhookConnection(self._receiver, options.timeout_s)
        self._encoder = msgspec.json.Encoder()
        # Failed answers in a row to the oldest event.
        self._failures = 0
        self._refusal_logged_s = -_REFUSALS_EVERY_S
        self._logged: set[str] = set()
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
        """Post an event, without waiting for the receiver. It is in the spool when this returns."""
        if isinstance(record, Event) and self._is_wanted(record):
            self._spool.append(self._encoder.encode(record), f"{record.id}:{record.revision}")
            with self._changed:
                self._news, self._idle = True, False
                self._changed.notify_all()

    def _is_wanted(self, event: Event) -> bool:
        options = self._options
        return (not options.phases or event.phase in options.phases) and is_wanted(
            event, labels=options.labels, cameras=options.cameras, min_score=options.min_score
        )

    def close(self) -> None:
        """Post what is left, as far as the receiver takes it in time, and end."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._down, self._drain_timeout_s)
            self._closing = True
            self._changed.notify_all()
        self._connection.abort()
        self._thread.join(ABORT_TIMEOUT_S)
        self._spool.close()
        spool, where = self._spool, self._receiver.where
        if spool.on_disk:
            _log.info("%s: %d events wait on disk for the next run", where, spool.on_disk)
        if spool.refused:
            _log.warning("%s: %d events were refused and set aside", where, spool.refused)
        if lost := spool.dropped + spool.depth - spool.on_disk:
            _log.warning("%s: %d events could not be delivered", where, lost)

    def _deliver_all(self) -> None:
        """Work of the thread."""
        # The spool is closed under a request that does not end in time.
        with contextlib.suppress(ValueError):
            while (waiting := self._next()) is not None:
                # Alternately, so that each failure of the oldest is followed by a try of the next.
                place = 1 if len(waiting) > 1 and self._failures >= _TRIES_ALONE and self._failures % 2 else 0
                result = self._deliver(waiting[place])
                if place and result.taken:
                    self._set_aside(waiting[0], "fails again and again, while others are taken")
                if result.taken or result.refused:
                    self._failures = 0
                    self._backoff.reset()
                    continue
                self._failures = self._failures + 1 if result.answered else 0
                self._pause(max(result.wait_s, self._backoff.next_delay_s()))
        self._connection.close()

    def _next(self) -> list[SpooledEvent] | None:
        """Return the oldest event and the one after it, after waiting for one; None at the end."""
        while True:
            with self._changed:
                self._news = False
                if self._closing:
                    return None
            if waiting := self._spool.peek(limit=2):
                return waiting
            with self._changed:
                self._idle = not self._news
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._news or self._closing)

    def _deliver(self, event: SpooledEvent) -> PostResult:
        try:
            result = self._connection.post(self._body_of(event), event.id)
        except Exception as error:
            # Whatever it is, the other sinks go on, and so does this one.
            _log.debug("%s: unexpected", self._receiver.where, exc_info=True)
            result = PostResult(what=type(error).__name__)
        if result.taken:
            self._spool.remove(event.sequence)
        elif result.refused:
            self._set_aside(event, result.what)
        self._report(result)
        with self._changed:
            self._down = not (result.taken or result.refused)
            self._changed.notify_all()
        return result

    def _body_of(self, event: SpooledEvent) -> bytes:
        # Made now, so that events that waited get the present template.
        if self._body is None:
            return event.payload
        return self._body.fill(msgspec.json.decode(event.payload, type=Event)).encode()

    def _set_aside(self, event: SpooledEvent, reason: str) -> None:
        self._spool.set_aside(event, reason)
        now_s = time.monotonic()
        if now_s - self._refusal_logged_s >= _REFUSALS_EVERY_S:
            self._refusal_logged_s = now_s
            _log.warning(
                "%s: %s; the event is set aside, %d so far", self._receiver.where, reason, self._spool.refused
            )  # fmt: skip

    def _report(self, result: PostResult) -> None:
        """Log a failure, each once, and that it is over."""
        where = self._receiver.where
        if result.taken and self._logged:
            self._logged.clear()
            _log.info("%s: takes events again", where)
        elif not (result.taken or result.refused) and result.what not in self._logged and not self._closing:
            consequence = "" if self._logged else "; classification continues, and events wait"
            _log.warning("%s: %s%s", where, result.what, consequence)
            self._logged.add(result.what)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)
