"""Hands records to functions of the calling program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.records import Event, Prediction, Status
from edgehar.sinks.base import Sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.records import Record


class CallbackSink(Sink):
    """Calls a function for each record, on the sink's thread. An error of a function ends the run."""

    name = "callback"

    def __init__(
        self,
        *,
        on_prediction: Callable[[Prediction], object] | None = None,
        on_event: Callable[[Event], object] | None = None,
        on_status: Callable[[Status], object] | None = None,
    ) -> None:
        """Create a sink; records without a function are passed over."""
        self._on_prediction, self._on_event, self._on_status = on_prediction, on_event, on_status

    def write(self, record: Record) -> None:
        """Call the function of this kind of record."""
        match record:
            case Prediction() if self._on_prediction is not None:
                self._on_prediction(record)
            case Event() if self._on_event is not None:
                self._on_event(record)
            case Status() if self._on_status is not None:
                self._on_status(record)
