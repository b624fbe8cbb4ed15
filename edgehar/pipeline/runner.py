"""Runs streams until they end: frames -> classifier -> decisions -> sinks.

Each source is read by threads of its own (see `edgehar.capture.reader`), and each sink has a queue and a thread
(see `edgehar.pipeline.outputs`). All streams take turns on the thread that calls `Runner.run`, one frame at a time.
That thread must never wait for a disk or a network.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.capture.mailbox import Closed
from edgehar.errors import SourceError
from edgehar.pipeline.outputs import Outputs
from edgehar.printable import counted
from edgehar.records import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgehar.frames import Frame
    from edgehar.pipeline.stream import Stream
    from edgehar.records import Record
    from edgehar.sinks.base import Sink

_log = logging.getLogger(__name__)

# Longest wait for a frame, so that a stop is noticed soon.
_POLL_S = 0.1
# What ends after a run gets so much time even if the sinks have used it all up: most threads end at once.
_LEAST_LEFT_S = 0.2
_ENDED = (StreamState.STOPPED, StreamState.FAILED)


@dataclass(frozen=True, kw_only=True)
class RunnerOptions:
    """Limits of a run.

    Attributes:
        duration_s: stop after this much video (files), or this long after the start (live sources).
        max_predictions: stop after exactly this many predictions, over all streams.
        status_every_s: time between the statuses of a live stream.
        records_waiting: records that may wait for a sink; a live run then drops the oldest predictions and statuses,
            and only after far more events; a file waits for room.
        stop_deadline_s: time for captures and sinks to finish after a stop or an error. At the end of a file there is
            no limit.
        capture_join_s: the part of that time for reads of sources that are under way.
    """

    duration_s: float | None = None
    max_predictions: int | None = None
    status_every_s: float = 10.0
    records_waiting: int = 256
    stop_deadline_s: float = 4.0
    capture_join_s: float = 1.0


class Runner:
    """One run of some streams into some sinks."""

    def __init__(
        self,
        streams: Sequence[Stream],
        sinks: Iterable[Sink],
        options: RunnerOptions | None = None,
        *,
        on_tick: Callable[[], object] = lambda: None,
        on_end: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a run; `run` starts it. It stops the captures and closes the sinks; the caller closes the classifiers.

        Args:
            streams: the streams, which take turns.
            sinks: where all records go.
            options: limits of the run.
            on_tick: called several times per second between frames, by the thread that classifies.
            on_end: called by that thread when the run begins to end, before the sinks are finished.
            clock: monotonic seconds, for duration and statuses.
        """
        self.streams = list(streams)
        self._options, self._clock = options or RunnerOptions(), clock
        self._outputs = Outputs(
            sinks, capacity=self._options.records_waiting, stop_deadline_s=self._options.stop_deadline_s
        )
        self._on_tick, self._on_end = on_tick, on_end
        self._stopping = False
        self._started_s = self._status_s = self._tick_s = 0.0
        self._prediction_count = 0
        self._wake = threading.Event()
        self._requests: deque[Callable[[], object]] = deque()
        self._inserting = threading.Lock()
        self._leave_by_s = math.inf
        # Guarded by the lock: records of other threads; None when the run ends.
        self._inserted: list[Record] | None = []

    def stop(self) -> None:
        """Request a clean end. Takes no lock, so it is safe in a signal handler and from any thread."""
        self._stopping = True

    def request(self, action: Callable[[], object], *, wake: bool = True) -> None:
        """Have the thread that classifies call `action` between two frames. Safe from any thread.

        A signal handler passes `wake=False`, because waking takes a lock that the handler may have interrupted.
        """
        self._requests.append(action)
        if wake:
            self._wake.set()

    def insert(self, record: Record) -> bool:
        """Give a record of another thread to all sinks; returns False, and does nothing, once the run ends."""
        with self._inserting:
            if self._inserted is None:
                return False
            self._inserted.append(record)
        self._wake.set()
        return True

    def time_left_s(self, most_s: float) -> float:
        """Return how long what ends after the run may take: `most_s`, or what is left of the time after a stop."""
        return max(_LEAST_LEFT_S, min(most_s, self._leave_by_s - time.monotonic()))

    @property
    def queue_depth(self) -> int:
        """Records that wait for a sink: the largest number of all sinks."""
        return self._outputs.queue_depth

    @property
    def queue_dropped(self) -> int:
        """Records dropped because a sink was too slow, over all sinks."""
        return self._outputs.queue_dropped

    def replace_sinks(self, make_sinks: Callable[[], Iterable[Sink]]) -> None:
        """Change to other sinks, opened by `make_sinks` in a thread once the present ones are closed.

        Call it on the thread that classifies. Classification continues, and records are kept for the new sinks.
        """
        self._outputs.replace(make_sinks)

    def run(self) -> None:
        """Run until every source ends, a limit is reached or `stop` is called. Open events are ended.

        Raises:
            SourceError: a source failed, or gave no frame. With several streams the others run to their end first.
            SinkError: a sink failed; the run ends at once only if the sink is essential.
            BrokenPipeError: the reader of an essential sink has gone.
            Exception: any other error of any thread.
        """
        self._started_s = self._status_s = self._clock()
        self._outputs.start()
        for stream in self.streams:
            stream.start(on_state=self._on_state, on_frame=self._wake.set)
        complete, last = False, StreamState.FAILED
        try:
            complete = self._classify_all()
            last = StreamState.STOPPED
        except BrokenPipeError:
            last = StreamState.STOPPED
            raise
        finally:
            self._emit_inserted(last=True)
            self._on_end()
            self._finish(last, complete)
        self._outputs.check(self._is_stopping)
        self._raise_failures()

    def _is_stopping(self) -> bool:
        return self._stopping

    def _on_state(self, stream: Stream, state: StreamState, reason: str) -> None:
        """Pass on a state of a capture, from its thread. `_end` reports the last state of a stream."""
        if state not in _ENDED:
            self.request(lambda: self._enter(stream, state, reason))

    def _classify_all(self) -> bool:
        """Classify until an end; returns True if all sources came to their own end."""
        while not self._is_over():
            self._wake.clear()
            while self._requests:
                self._requests.popleft()()
            if self._inserted:
                self._emit_inserted()
            # One frame of each stream in turn, so that no stream delays the others.
            taken = [self._take_turn(stream) for stream in self.streams if not stream.done]
            if not any(taken):
                if all(stream.done for stream in self.streams):
                    return not any(stream.cut_short for stream in self.streams)
                self._wake.wait(_POLL_S)
        return False

    def _is_over(self) -> bool:
        self._outputs.check(self._is_stopping)
        if self._stopping or self._prediction_count == self._options.max_predictions:
            return True
        now_s = self._clock()
        if now_s - self._tick_s >= _POLL_S:
            self._tick_s = now_s
            self._on_tick()
        if now_s - self._status_s >= self._options.status_every_s:
            self._status_s = now_s
            self.emit([stream.status() for stream in self.streams if stream.capture.live and not stream.done])
        duration_s = self._options.duration_s
        return duration_s is not None and now_s - self._started_s >= duration_s and self._counts_clock_time()

    def _counts_clock_time(self) -> bool:
        """Return whether `duration_s` is a time of watching: for live sources, and for cameras yet to be connected."""
        return any(stream.capture.live or stream.waits_for_source for stream in self.streams)

    def _take_turn(self, stream: Stream) -> bool:
        """Take one frame of a stream; returns False if it has none."""
        try:
            epoch, frame = stream.capture.frames.get(0.0)
        except TimeoutError:
            return False
        except Closed:
            self._count(self._guarded(stream, stream.finish))
            self._end(stream, StreamState.STOPPED if stream.error is None else StreamState.FAILED)
            return True
        if self._is_past_duration(stream, frame):
            stream.cut_short = True
            self._end(stream, StreamState.STOPPED)
            return True
        if stream.capture.live:
            self._outputs.drop_when_full()
        self._count(self._guarded(stream, lambda: stream.take(frame, epoch)))
        return True

    def _is_past_duration(self, stream: Stream, frame: Frame) -> bool:
        duration_s = self._options.duration_s
        if duration_s is None or stream.capture.live:
            return False
        first_s = frame.captured_s if stream.first_captured_s is None else stream.first_captured_s
        # The tolerance makes 25 frames of 1/25 s one second.
        return frame.captured_s - first_s >= duration_s - 1e-9

    def _guarded(self, stream: Stream, work: Callable[[], list[Record]]) -> list[Record]:
        """Return the records of `work`. Where other streams continue, an error ends only its own stream."""
        try:
            return work()
        except Exception as error:
            stream.error = error
            if len(self.streams) == 1:
                raise
            _log.error("%s: %s; the other cameras continue", stream.name, error)
            self._end(stream, StreamState.FAILED)
            return []

    def _count(self, records: list[Record]) -> None:
        self._prediction_count = sum(stream.predictions for stream in self.streams)
        self.emit(records)

    def _end(self, stream: Stream, state: StreamState, join_s: float | None = None) -> None:
        """End a stream: its capture, its open event, and its last status. Does nothing the second time."""
        if stream.state in _ENDED:
            return
        stream.done = True
        self.emit(stream.end_events())
        stream.stop(self._options.capture_join_s if join_s is None else join_s)
        self._enter(stream, state, "")

    def emit(self, records: Iterable[Record]) -> None:
        """Give records to all sinks. For the thread that classifies; others use `insert`."""
        self._outputs.emit(records, self._is_stopping)

    def _emit_inserted(self, *, last: bool = False) -> None:
        """Emit the records of other threads; if `last`, take no more of them."""
        with self._inserting:
            records, self._inserted = self._inserted or [], None if last else []
        self.emit(records)

    def _enter(self, stream: Stream, state: StreamState, reason: str) -> None:
        if stream.state in _ENDED:
            return
        status = stream.enter(state)
        level = logging.DEBUG
        if state is StreamState.RECONNECTING or (state is StreamState.OPENING and reason):
            level = logging.WARNING
        elif state in (StreamState.RUNNING, StreamState.STOPPED):
            # After a failure the error follows, which says more than "failed".
            level = logging.INFO
        counts = ""
        if status.frames and state is not StreamState.RUNNING:
            frames, predictions = counted(status.frames, "frame"), counted(status.predictions, "prediction")
            counts = f" after {frames}, {predictions}, {counted(status.dropped, 'frame')} dropped"
        why = f": {reason.removeprefix(f'{stream.name}: ')}" if reason else ""
        _log.log(level, "%s: %s%s%s", stream.name, state.value, counts, why)
        self.emit([status])

    def _finish(self, last: StreamState, complete: bool) -> None:
        """End all streams and sinks: without a limit after a complete run, else before one common deadline."""
        started_s = time.monotonic()
        captures_until_s = started_s + self._options.capture_join_s
        for stream in self.streams:
            self._end(stream, last, max(0.0, captures_until_s - time.monotonic()))
        if not complete:
            self._leave_by_s = started_s + self._options.stop_deadline_s
        self._outputs.finish(None if complete else self._leave_by_s, self._is_stopping)

    def _raise_failures(self) -> None:
        """Raise the error of a camera or output that failed while the others went on."""
        failed = [stream for stream in self.streams if stream.error is not None]
        if failed:
            error = failed[0].error
            assert error is not None
            if len(failed) < len(self.streams):
                names = ", ".join(stream.name for stream in failed)
                raise SourceError(f"{names}: failed during the run: {error}") from error
            raise error
        if self._outputs.failure is not None:
            raise self._outputs.failure
