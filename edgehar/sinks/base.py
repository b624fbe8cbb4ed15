"""Base class of the sinks, which take records: standard output, files, MQTT, webhook."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar.records import Record


class Sink(abc.ABC):
    """Takes records in order, on a thread of its own.

    Attributes:
        name: name of the sink in log lines.
        essential: whether the run ends if this sink fails. Otherwise the run continues without it.
    """

    name: str
    essential: bool = True

    @abc.abstractmethod
    def write(self, record: Record) -> None:
        """Write one record. Raises SinkError if that is no longer possible, BrokenPipeError if the reader has gone."""

    def close(self) -> None:  # noqa: B027 - many sinks have nothing to close
        """Write what is buffered, and close the file or connection."""
