"""How far scoring is, on standard error."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(clips: int, what: str, *, lines: bool = False) -> Iterator[Callable[[int], object]]:
    """A function that is told how many more clips are done: a bar on a terminal, nothing elsewhere.

    tqdm draws it where it is installed; a device need not have it, and gets a count.

    Args:
        clips: how many there are.
        what: is done to them.
        lines: where there is no terminal, say every tenth in a line, for what takes minutes.
    """
    if lines and not sys.stderr.isatty():
        yield _Lines(clips, what)
        return
    try:
        from tqdm import tqdm
    except ImportError:
        from edgehar.bench.progress import Progress

        with Progress() as line:
            done = 0

            def say(more: int) -> None:
                nonlocal done
                done += more
                if sys.stderr.isatty():
                    line.say(f"{what}: {done} of {clips} clips")

            yield say
        return
    with tqdm(total=clips, unit="clip", desc=what, disable=None) as bar:
        yield bar.update


class _Lines:
    """A line for every tenth that is done."""

    def __init__(self, clips: int, what: str) -> None:
        self._clips, self._what, self._done, self._started_s = clips, what, 0, time.monotonic()

    def __call__(self, more: int) -> None:
        tenths = 10 * self._done // self._clips
        self._done += more
        if 10 * self._done // self._clips > tenths:
            took_s = time.monotonic() - self._started_s
            print(f"{self._what}: {self._done} of {self._clips} clips, {took_s:.0f} s", file=sys.stderr, flush=True)
