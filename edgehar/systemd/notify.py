"""Reports readiness, status and progress to systemd, by the protocol of sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

# Longest wait for systemd to read earlier messages.
SEND_TIMEOUT_S = 0.5
# Feed the watchdog this many times per timeout.
_FEEDS = 4


class Notifier:
    """Connection to systemd; does nothing if systemd did not start the process. Not thread-safe.

    Attributes:
        watchdog_s: timeout of the watchdog, in seconds; None if there is no watchdog.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        """Read the address and the watchdog's timeout from the environment.

        Args:
            environ: environment variables.
            clock: monotonic seconds.
            send_timeout_s: longest wait for systemd to read earlier messages, in seconds.
        """
        self._send_timeout_s = send_timeout_s
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ) if self._address is not None else None
        self._clock = clock
        self._silent = self._stopping = False
        self._status = ""
        # Counts and time when the watchdog was last fed.
        self._frames = self._predictions = 0
        self._fed_s: float | None = None

    @property
    def active(self) -> bool:
        """Whether systemd started the process."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """Report that the service works, at first or after `reloading`."""
        self._send("READY=1", status)

    def status(self, status: str) -> None:
        """Report a line for people, if it has changed."""
        if status != self._status:
            self._send("", status)

    def reloading(self) -> None:
        """Report that the configuration is being read again; `ready` must follow."""
        # systemd compares this with its own CLOCK_MONOTONIC.
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """Report that the service is ending; sent once."""
        if not self._stopping:
            self._stopping = True
            self._send("STOPPING=1", status)

    def progress(
        self, frames: int, predictions: int, *, answers_expected: bool = True, frames_expected: bool = True
    ) -> None:
        """Feed the watchdog if there was progress since the last time. Call this several times per second.

        Args:
            frames: frames taken since the start, of all streams.
            predictions: predictions made since the start, of all streams.
            answers_expected: False if frames alone are progress, because classification is switched off.
            frames_expected: False if no frame is progress too, because no camera is watched at this time.
        """
        if self.watchdog_s is None:
            return
        now_s = self._clock()
        if self._fed_s is not None and now_s - self._fed_s < self.watchdog_s / _FEEDS:
            return
        answered = predictions > self._predictions or not answers_expected
        if (frames > self._frames and answered) or not frames_expected:
            self._frames, self._predictions, self._fed_s = frames, predictions, now_s
            self._send("WATCHDOG=1")

    def _send(self, message: str, status: str = "") -> None:
        if self._address is None:
            return
        if status:
            # A line break would start another field.
            self._status = status
            message = f"{message}\nSTATUS={' '.join(status.split())}".lstrip()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(self._send_timeout_s)
                line.connect(self._address)
                line.send(message.encode())
        except OSError as error:
            # A failed report must not stop the work.
            if not self._silent:
                _log.warning("cannot report to systemd: %s", error.strerror or error)
            self._silent = True
        else:
            self._silent = False


def _address(text: str) -> bytes | None:
    """Return the address of the socket. A leading @ stands for the null byte of an abstract socket."""
    if not text:
        return None
    if text[0] not in "@/":
        _log.warning("NOTIFY_SOCKET is not the path of a socket; nothing is reported to systemd")
        return None
    return b"\0" + os.fsencode(text[1:]) if text[0] == "@" else os.fsencode(text)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return the timeout of the watchdog, if it watches this process."""
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        watched = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and watched == os.getpid() else None
