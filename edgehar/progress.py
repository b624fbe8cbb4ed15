"""The progress display of long commands: one line on a terminal, a few log lines elsewhere."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
_CLEAR = "\r\033[K"
_REDRAW_S = 0.1
_BAR_CELLS = 20


class Progress:
    """Progress of one task. Use it as a context manager, so that the line is cleared at the end.

    >>> with Progress("scoring", 40, unit="clips") as progress:
    ...     for clip in clips:
    ...         score(clip)
    ...         progress.advance()
    """

    def __init__(
        self,
        what: str = "",
        total: int | None = None,
        *,
        unit: str = "",
        done: int = 0,
        lines: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the display.

        Args:
            what: the task, in a word or two.
            total: steps of the whole task; None if unknown.
            unit: what a step is, in the plural.
            done: steps that were done before, for example by the run that is resumed.
            lines: log lines over the whole task where there is no terminal; 0 for none.
            stream: where to draw; standard error when None.
            clock: monotonic seconds.
        """
        self._what, self._total, self._unit, self._lines = what, total, unit, lines
        self._done = self._before = done
        self._stream, self._clock = stream or sys.stderr, clock
        self._terminal = self._stream.isatty()
        self._started_s = clock()
        self._drawn_s = -_REDRAW_S
        self._note = ""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Count `steps` more as done; `note` is shown behind the counts, on a terminal only."""
        before, self._done = self._done, self._done + steps
        self._note = note or self._note
        if self._terminal:
            if self._clock() - self._drawn_s >= _REDRAW_S:
                self._draw(self._counts())
        elif self._total and self._lines * self._done // self._total > self._lines * before // self._total:
            took_s = self._clock() - self._started_s
            _log.info("%s: %d of %d %s, %.0f s", self._what, self._done, self._total, self._unit, took_s)

    def part(self, what: str, details: str = "") -> None:
        """Name the part that begins now. Without a terminal, log each new `what` once."""
        if self._terminal:
            self._draw(f"{what}: {details}" if details else what)
        elif what != self._what:
            _log.info("%s", what)
        self._what = what

    def close(self) -> None:
        """Clear the line."""
        if self._terminal:
            print(_CLEAR, end="", file=self._stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counts(self) -> str:
        if not self._total:
            return f"{self._what}: {self._done} {self._unit}"
        share = min(1.0, self._done / self._total)
        bar = "#" * round(share * _BAR_CELLS)
        text = f"{self._what}: [{bar:<{_BAR_CELLS}}] {self._done} of {self._total} {self._unit}"
        steps = self._done - self._before
        if steps > 0:
            left_s = (self._clock() - self._started_s) / steps * max(0, self._total - self._done)
            text += f", {_duration(left_s)} left"
        return f"{text}  {self._note}" if self._note else text

    def _draw(self, text: str) -> None:
        self._drawn_s = self._clock()
        # A line longer than the terminal would wrap, and could not be cleared.
        width = shutil.get_terminal_size().columns - 1
        print(f"{_CLEAR}{text[:width]}", end="", file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
