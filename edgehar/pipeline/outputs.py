"""The sinks of a run, each with a queue and a thread of its own, so that a slow receiver never delays a frame."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from edgehar.capture.mailbox import Closed
from edgehar.errors import EdgeharError
from edgehar.pipeline.record_queue import RecordQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from edgehar.records import Record
    from edgehar.sinks.base import Sink

_log = logging.getLogger(__name__)

# Longest single wait for room in a queue or for a thread, so that a stop is noticed soon.
_POLL_S = 0.1
# After a failure to open the new sinks, try again after this time.
_RETRY_S = 5.0


class _SinkThread:
    """A sink, its queue and its thread."""

    def __init__(self, sink: Sink, capacity: int) -> None:
        self.sink = sink
        self.error: BaseException | None = None
        self.records = RecordQueue(capacity)
        self.is_behind = False
        self.thread = threading.Thread(target=self._work, name=f"edgehar-sink-{sink.name}", daemon=True)

    def _work(self) -> None:
        try:
            while True:
                self.sink.write(self.records.get())
        except Closed:
            pass
        except Exception as error:
            self.error = error
        try:
            self.sink.close()
        except Exception as error:
            self.error = self.error or error
        self.records.close(discard=True)


class _Replacement:
    """The change to other sinks: the old sinks finish, a thread opens the new sinks, and records are kept meanwhile.

    Opening sinks reads files, so it must not happen on the thread that classifies.
    """

    def __init__(
        self, leaving: list[_SinkThread], make_sinks: Callable[[], Iterable[Sink]], capacity: int, leave_by_s: float
    ) -> None:
        self.kept = RecordQueue(capacity)
        self.kept.drop_when_full()
        self.sinks: list[Sink] | None = None
        self._leaving, self._make_sinks, self._leave_by_s = leaving, make_sinks, leave_by_s
        self._thread = threading.Thread(target=self._work, name="edgehar-sinks", daemon=True)
        self._cancelled = threading.Event()
        self._thread.start()

    def cancel(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the new sinks, then give up."""
        self._cancelled.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        for old in self._leaving:
            while old.thread.is_alive() and time.monotonic() < self._leave_by_s and not self._cancelled.is_set():
                old.thread.join(_POLL_S)
        while True:
            try:
                self.sinks = list(self._make_sinks())
            except EdgeharError as error:
                _log.error("cannot open the outputs: %s; retrying in %.0f s", error, _RETRY_S)
            except Exception:
                _log.exception("cannot open the outputs; retrying in %.0f s", _RETRY_S)
            if self.sinks is not None or self._cancelled.wait(_RETRY_S):
                return


class Outputs:
    """All sinks of a run. Not thread-safe: for the thread that classifies.

    Attributes:
        failure: error of the last sink that failed and was removed; None if none did.
    """

    def __init__(self, sinks: Iterable[Sink], *, capacity: int, stop_deadline_s: float) -> None:
        """Hold sinks; `start` starts their threads.

        Args:
            sinks: where records go.
            capacity: records that may wait for a sink: a few seconds of answers to every frame.
            stop_deadline_s: time that sinks have to write waiting records after a stop, in seconds.
        """
        self._capacity, self._stop_deadline_s = capacity, stop_deadline_s
        self._sinks = [_SinkThread(sink, capacity) for sink in sinks]
        self._replacement: _Replacement | None = None
        self._dropping = False
        # Records dropped by queues that are gone.
        self._dropped_before = 0
        self.failure: BaseException | None = None

    @property
    def queue_depth(self) -> int:
        """Records that wait for a sink: the largest number of all sinks."""
        return max((len(sink.records) for sink in self._sinks), default=0)

    @property
    def queue_dropped(self) -> int:
        """Records dropped because a sink was too slow, over all sinks."""
        return self._dropped_before + sum(sink.records.dropped for sink in self._sinks)

    def start(self) -> None:
        """Start the threads."""
        for sink in self._sinks:
            sink.thread.start()

    def drop_when_full(self) -> None:
        """From now on drop the oldest record of a full queue instead of waiting for room, as live sources need."""
        self._dropping = True
        for sink in self._sinks:
            sink.records.drop_when_full()

    def emit(self, records: Iterable[Record], is_stopping: Callable[[], bool]) -> None:
        """Put records into every queue, waiting for room where nothing may be lost, until `is_stopping()`."""
        if self._replacement is not None:
            self._replacement.kept.put_all(records)
            return
        for record in records:
            for sink in self._sinks:
                # A failed sink accepts nothing; `check` reports it.
                with contextlib.suppress(Closed):
                    while not sink.records.put(record, _POLL_S) and not is_stopping():
                        pass
                if sink.records.dropped and not sink.is_behind:
                    sink.is_behind = True
                    _log.warning(
                        "%s: too slow, or its disk or receiver has stalled: results are dropped, predictions and "
                        "statuses before events, and counted in queue_dropped",
                        sink.sink.name,
                    )

    def replace(self, make_sinks: Callable[[], Iterable[Sink]]) -> None:
        """Change to other sinks, which `make_sinks` opens in a thread when the present ones are closed."""
        leaving = self._sinks if self._replacement is None else []
        for sink in leaving:
            sink.records.close()
            self._dropped_before += sink.records.dropped
        self._sinks = []
        earlier, leave_by_s = self._replacement, time.monotonic() + self._stop_deadline_s
        if earlier is not None:
            earlier.cancel(0.0)
        self._replacement = _Replacement(leaving, make_sinks, self._capacity, leave_by_s)
        if earlier is not None:
            self._replacement.kept.put_all(earlier.kept.take_all())
            self._dropped_before += earlier.kept.dropped

    def check(self, is_stopping: Callable[[], bool]) -> None:
        """Take over new sinks once they are open, and remove failed sinks; raises the error of an essential sink."""
        self._take_over(is_stopping)
        for sink in [sink for sink in self._sinks if sink.error is not None]:
            assert sink.error is not None
            if sink.sink.essential:
                raise sink.error
            _log.error("%s: %s; continuing without it", sink.sink.name, sink.error)
            self._sinks.remove(sink)
            self._dropped_before += sink.records.dropped
            self.failure = sink.error

    def finish(self, deadline_s: float | None, is_stopping: Callable[[], bool]) -> None:
        """Close all sinks after they have written what waits.

        Args:
            deadline_s: when to give up, on the clock of `time.monotonic`; None to wait for all.
            is_stopping: while waiting for all, True starts the deadline of `stop_deadline_s`.
        """
        if self._replacement is not None:
            until_s = time.monotonic() + self._stop_deadline_s if deadline_s is None else deadline_s
            self._replacement.cancel(max(0.0, until_s - time.monotonic()))
            self._take_over(is_stopping)
        for sink in self._sinks:
            sink.records.close()
        for sink in self._sinks:
            while sink.thread.is_alive() and (deadline_s is None or time.monotonic() < deadline_s):
                sink.thread.join(_POLL_S)
                if deadline_s is None and is_stopping():
                    deadline_s = time.monotonic() + self._stop_deadline_s
            if sink.thread.is_alive():
                _log.warning("%s: could not write all results before the deadline", sink.sink.name)
            if sink.records.dropped:
                events = f", {sink.records.dropped_events} of them of events" if sink.records.dropped_events else ""
                _log.warning("%s: too slow: %d results dropped%s", sink.sink.name, sink.records.dropped, events)

    def _take_over(self, is_stopping: Callable[[], bool]) -> None:
        replacement = self._replacement
        if replacement is None or replacement.sinks is None:
            return
        self._replacement, self._sinks = None, list(self._threads_of(replacement.sinks))
        self.start()
        self._dropped_before += replacement.kept.dropped
        self.emit(replacement.kept.take_all(), is_stopping)

    def _threads_of(self, sinks: Iterable[Sink]) -> Iterator[_SinkThread]:
        for sink in sinks:
            thread = _SinkThread(sink, self._capacity)
            if self._dropping:
                thread.records.drop_when_full()
            yield thread
