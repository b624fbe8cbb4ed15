"""What every sink of results has in common."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar.records import Record


class Sink(abc.ABC):
    """Takes records in order, on a thread of its own.

    Attributes:
        name: how log lines name this sink.
        essential: whether the run ends when this sink fails, as it does when standard output is gone; otherwise the run
            goes on without it.
    """

    name: str
    essential: bool = True

    @abc.abstractmethod
    def write(self, record: Record) -> None:
        """Emit one record; SinkError when that is no longer possible, BrokenPipeError when the reader has gone."""

    def close(self) -> None:  # noqa: B027 - many sinks have nothing to close
        """Emit what is held back and let go of the file or connection."""
