"""Signals of a run, handled from its first moment to its last."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

# A second signal within this time belongs to the first: `timeout` and some terminals send two.
SAME_REQUEST_S = 1.0


class Signals:
    """Handlers of SIGINT, SIGTERM and SIGHUP. Use it as a context manager, in the main thread.

    Before `attach`, SIGINT raises KeyboardInterrupt, SIGTERM exits with 0, and SIGHUP is remembered.

    Attributes:
        interrupted: whether SIGINT was received.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Do not handle anything yet.

        Args:
            clock: monotonic seconds.
        """
        self.interrupted = False
        self._clock = clock
        self._first_s: float | None = None
        self._stop: Callable[[], object] | None = None
        self._reload: Callable[[], object] = lambda: None
        self._hangups = 0
        self._before: dict[int, object] = {}

    def install(self) -> None:
        """Install the handlers. A signal that is ignored stays ignored, as nohup needs."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and number not in self._before:
                self._before[number] = handler
                signal.signal(number, self._on_hangup if number == signal.SIGHUP else self._on_end)

    def restore(self) -> None:
        """Restore the handlers from before `install`."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def attach(self, stop: Callable[[], object], reload: Callable[[], object]) -> None:
        """From now on call `stop` and `reload`, which must be safe in a signal handler."""
        self._stop, self._reload = stop, reload
        if self._hangups:
            reload()

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()

    def _on_end(self, number: int, _frame: FrameType | None) -> None:
        """Stop; a second signal more than `SAME_REQUEST_S` later ends the process at once."""
        self.interrupted = self.interrupted or number == signal.SIGINT
        if self._stop is None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(0)
        now_s = self._clock()
        if self._first_s is None:
            self._first_s = now_s
            self._stop()
        elif now_s - self._first_s > SAME_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._hangups += 1
        self._reload()
