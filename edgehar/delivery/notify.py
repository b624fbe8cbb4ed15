"""Messages to people when an action is seen: filtered, at most so many an hour, none at quiet hours."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.backoff import Backoff
from edgehar.delivery.messages import Message, Messages
from edgehar.hours import Hours
from edgehar.records import Event
from edgehar.sinks.base import Sink
from edgehar.templates import is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgehar.delivery.options import NotifyOptions
    from edgehar.records import Record

_log = logging.getLogger(__name__)

_HOUR_S = 3600.0
_FIRST_DELAY_S, _MAX_DELAY_S = 2.0, 60.0
# Messages that may wait for a service that is down; the oldest become part of the digest.
_MOST_WAITING = 50
# How often the thread looks whether a digest is due.
_POLL_S = 5.0


@dataclass
class _Waiting:
    message: Message
    since_s: float
    event: Event | None


class NotifySink(Sink):
    """Sends messages about events. A service that is down or hangs delays nothing.

    Attributes:
        sent: messages sent, digests included.
        failed: messages given up.
    """

    name = "notify"
    essential = False

    def __init__(
        self,
        options: NotifyOptions,
        send: Callable[[Message], str | None],
        *,
        picture_of: Callable[[Event], bytes | None] = lambda _: None,
        hours: Mapping[str, Hours] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime.datetime] = datetime.datetime.now,
    ) -> None:
        """Start the thread that sends.

        Args:
            options: what to send, and when.
            send: sends a message and returns why that failed, or None; `edgehar.delivery.messages.apprise_sender`.
            picture_of: returns the picture of an event as JPEG; None if there is none.
            hours: times at which messages about a camera are sent, by its name; always for others.
            clock: monotonic seconds.
            now: local time.

        Raises:
            ConfigError: the options cannot be used.
        """
        self.sent = self.failed = 0
        self._options, self._send, self._picture_of = options, send, picture_of
        self._clock, self._now, self._hours = clock, now, hours or {}
        self._messages = Messages(options)
        self._quiet = Hours("notify: quiet_hours", options.quiet_hours)
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._left_out: Counter[tuple[str, str]] = Counter()
        self._sent_s: deque[float] = deque()
        self._backoff = Backoff(_FIRST_DELAY_S, _MAX_DELAY_S)
        self._told: str | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="edgehar-notify", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether the last message was sent."""
        return self._told is None

    def write(self, record: Record) -> None:
        """Take an event; never waits for a service."""
        if not isinstance(record, Event) or record.phase != self._options.when or not self._is_wanted(record):
            return
        with self._changed:
            if self._quiet.hold(self._now()) or not self._has_budget(len(self._waiting)):
                self._left_out[record.label, record.source] += 1
                return
        picture = self._picture_of(record) if self._options.picture else None
        with self._changed:
            self._waiting.append(_Waiting(self._messages.of(record, picture), self._clock(), record))
            if len(self._waiting) > _MOST_WAITING:
                self._leave_out(self._waiting.popleft())
            self._changed.notify_all()

    def close(self, timeout_s: float = 3.0) -> None:
        """Send what waits, as far as the service takes it at once, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        lost = len(self._waiting) + sum(self._left_out.values())
        if lost:
            _log.warning("notify: no message was sent about %d events", lost)

    def _is_wanted(self, event: Event) -> bool:
        options, hours = self._options, self._hours.get(event.source)
        if hours is not None and not hours.hold(self._now()):
            return False
        return is_wanted(event, labels=options.labels, cameras=options.cameras, min_score=options.min_score)

    def _has_budget(self, planned: int = 0) -> bool:
        """Whether one more message may be sent within this hour."""
        while self._sent_s and self._sent_s[0] <= self._clock() - _HOUR_S:
            self._sent_s.popleft()
        return len(self._sent_s) + planned < self._options.max_per_hour

    def _leave_out(self, waiting: _Waiting) -> None:
        if waiting.event is not None:
            self._left_out[waiting.event.label, waiting.event.source] += 1

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing, _POLL_S)
                self._add_digest()
                if not self._waiting:
                    if self._closing:
                        return
                    continue
                waiting = self._waiting[0]
            why_not = self._try(waiting.message)
            with self._changed:
                self._settle(waiting, why_not)
                if self._closing and why_not is not None:
                    return
                if why_not is not None:
                    self._changed.wait_for(lambda: self._closing, self._backoff.next_delay_s())

    def _try(self, message: Message) -> str | None:
        try:
            return self._send(message)
        except Exception as error:
            # Services are of many kinds, and so are their errors.
            _log.debug("notify: unexpected", exc_info=True)
            return f"{type(error).__name__}"

    def _settle(self, waiting: _Waiting, why_not: str | None) -> None:
        """Take a message out of the queue that was sent, or that is too old to be sent."""
        if why_not is None:
            self._sent_s.append(self._clock())
            self.sent += 1
            self._backoff.reset()
            if self._told is not None:
                self._told = None
                _log.info("notify: messages are sent again")
        elif why_not != self._told:
            self._told = why_not
            _log.warning("notify: a message was not sent: %s; trying again", why_not)
        too_old = self._clock() - waiting.since_s >= self._options.give_up_s
        if (why_not is None or too_old) and self._waiting and self._waiting[0] is waiting:
            self._waiting.popleft()
            if why_not is not None:
                self.failed += 1
                self._leave_out(waiting)

    def _add_digest(self) -> None:
        """Tell of the events that had no message of their own, as soon as one may be sent again."""
        if not self._left_out or self._waiting or self._quiet.hold(self._now()):
            return
        if not self._has_budget() or self._told is not None:
            return
        self._waiting.append(_Waiting(self._messages.digest(self._left_out), self._clock(), None))
        self._left_out.clear()
