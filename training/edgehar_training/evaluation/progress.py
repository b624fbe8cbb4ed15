"""How far scoring is, on standard error."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(clips: int, what: str) -> Iterator[Callable[[int], object]]:
    """A function that is told how many more clips are done: a bar on a terminal, nothing elsewhere.

    tqdm draws it where it is installed; a device need not have it, and gets a count.
    """
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
