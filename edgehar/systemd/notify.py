"""Tells systemd how the service is doing, by the protocol of sd_notify(3); silent where systemd did not start us."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

# How long a message may wait for systemd to read those before it.
_SEND_TIMEOUT_S = 0.5
# The watchdog is fed this many times in the span after which systemd ends a silent service.
_FEEDS = 4


class Notifier:
    """The line to systemd. Not for several threads at once.

    Attributes:
        watchdog_s: after so long without being fed systemd ends the service; None when it does not watch.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the address and the watchdog's span from the environment; `clock` gives monotonic seconds."""
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ) if self._address is not None else None
        self._clock = clock
        self._silent = self._stopping = False
        self._status = ""
        # What had been done when the watchdog was last fed, and when that was.
        self._frames = self._predictions = 0
        self._fed_s: float | None = None

    @property
    def active(self) -> bool:
        """Whether there is someone to tell."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """The service does its work, for the first time or again after `reloading`."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """How it is going, in one line for people; nothing is sent while it stays the same."""
        if status != self._status:
            self._send("", status)

    def reloading(self) -> None:
        """The configuration is being read again; `ready` must follow."""
        # Compared by systemd with its own CLOCK_MONOTONIC, whatever our clock is.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """The service is on its way to its end; sent once."""
        if not self._stopping:
            self._stopping = True
            self._send("STOPPING=1", status)

    def progress(self, frames: int, predictions: int, *, answers_expected: bool = True) -> None:
        """Feed the watchdog, if there was progress since it was last fed; call it some times a second.

        Args:
            frames: frames taken since the start, of all streams.
            predictions: answers given since the start, of all streams.
            answers_expected: False while nobody wants answers and frames alone are progress.
        """
        if self.watchdog_s is None:
            return
        now_s = self._clock()
        if self._fed_s is not None and now_s - self._fed_s < self.watchdog_s / _FEEDS:
            return
        if frames > self._frames and (predictions > self._predictions or not answers_expected):
            self._frames, self._predictions, self._fed_s = frames, predictions, now_s
            self._send("WATCHDOG=1")

    def _send(self, message: str, status: str = "") -> None:
        if self._address is None:
            return
        if status:
            # A line break would begin another field.
            self._status = status
            message = f"{message}\nSTATUS={' '.join(status.split())}".lstrip()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(_SEND_TIMEOUT_S)
                line.connect(self._address)
                line.send(message.encode())
        except OSError as error:
            # Our work matters more than that it is known of.
            if not self._silent:
                _log.warning("systemd cannot be told how it goes: %s", error.strerror or error)
            self._silent = True
        else:
            self._silent = False


def _address(text: str) -> bytes | None:
    """The address of the socket; a leading @ stands for the null byte of an abstract one."""
    if not text:
        return None
    if text[0] not in "@/":
        _log.warning("NOTIFY_SOCKET is no path of a socket; systemd is not told how it goes")
        return None
    return b"\0" + os.fsencode(text[1:]) if text[0] == "@" else os.fsencode(text)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """The watchdog's span, if it is us who are watched."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        watched = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and watched == os.getpid() else None
