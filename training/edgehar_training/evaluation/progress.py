"""Progress of scoring, on standard error."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from edgehar.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(clips: int, what: str, *, lines: bool = False) -> Iterator[Callable[[int], object]]:
    """Yield a function that counts clips as done.

    Args:
        clips: number of clips.
        what: the task, in a word or two.
        lines: without a terminal, log each tenth, for tasks that take minutes.
    """
    with Progress(what, clips, unit="clips", lines=10 if lines else 0) as shown:
        yield shown.advance
