"""Runs cameras all day, or files to their end: frames -> classifier -> decisions -> sinks, each side on its own thread.

Each source has threads of its own that keep it open and keep, when it is live, only its newest frame; a file is read
through a short queue that loses nothing. Every sink has a thread and a queue of its own, so that a slow broker never
delays a frame. All streams take turns on the thread that calls `Runner.run`, frame by frame.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from edgehar.capture.mailbox import Closed, Mailbox
from edgehar.errors import EdgeharError
from edgehar.records import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edgehar.frames import Frame
    from edgehar.pipeline.stream import Stream
    from edgehar.records import Record
    from edgehar.sinks.base import Sink

_log = logging.getLogger(__name__)

# Records that may wait for a sink: some seconds of answers to every frame.
_RECORDS_WAITING = 256
# How often waiting threads look whether the run is to stop.
_POLL_S = 0.1
# How long sinks get to write what waits for them after a stop or an error. At the end of a file they get all they need.
STOP_DEADLINE_S = 5.0
# How long the run waits for a read of the source that is under way when it ends.
_CAPTURE_JOIN_S = 1.0


class _SinkThread:
    """A sink, its queue and its thread."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.error: BaseException | None = None
        self.records: Mailbox[Record] = Mailbox(_RECORDS_WAITING, drop_oldest=False)
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


class Runner:
    """One run of some streams into some sinks."""

    def __init__(
        self,
        streams: Sequence[Stream],
        sinks: Iterable[Sink],
        *,
        duration_s: float | None = None,
        max_predictions: int | None = None,
        status_every_s: float = 10.0,
        on_tick: Callable[[], object] = lambda: None,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        """Make a run; `run` does it. It stops the captures and closes the sinks, the caller closes the classifiers.

        Args:
            streams: what is watched; they take turns.
            sinks: what gets the records.
            duration_s: stop after this much video (files), or this long after the start (live sources).
            max_predictions: stop after exactly this many predictions of all streams.
            status_every_s: how often each live stream's status is told between its changes.
            on_tick: called some times a second by the thread that classifies, between frames.
            on_end: called by it when the run begins to end, before the sinks are finished.
        """
        self.streams = list(streams)
        self._sinks = [_SinkThread(sink) for sink in sinks]
        self._duration_s, self._max_predictions = duration_s, max_predictions
        self._status_every_s, self._on_tick, self._on_end = status_every_s, on_tick, on_end
        self._stopping = False
        self._started_s = self._status_s = self._tick_s = 0.0
        self._prediction_count = 0
        self._wake = threading.Event()
        self._requests: deque[Callable[[], object]] = deque()
        self._failure: BaseException | None = None
        # While sinks are changed: those that are going, what makes the next, and the records kept for them.
        self._leaving: list[_SinkThread] = []
        self._make_sinks: Callable[[], Iterable[Sink]] | None = None
        self._leave_by_s = 0.0
        self._kept: deque[Record] = deque(maxlen=_RECORDS_WAITING)

    def stop(self) -> None:
        """Ask the run to end cleanly. Takes no lock: safe from a signal handler and from any thread."""
        self._stopping = True

    def request(self, action: Callable[[], object], *, at_once: bool = True) -> None:
        """Have the thread that classifies call `action` between two frames. Safe from any thread.

        A signal handler must not be in a hurry: `at_once` takes a lock that the handler may have interrupted.
        """
        self._requests.append(action)
        if at_once:
            self._wake.set()

    @property
    def queue_depth(self) -> int:
        """Records that wait for a sink, the most of all sinks."""
        return max((len(sink.records) for sink in self._sinks), default=0)

    def replace_sinks(self, make_sinks: Callable[[], Iterable[Sink]]) -> None:
        """Go on with other sinks, made when the present ones have written what waits for them and are closed.

        To be called by the thread that classifies. It goes on meanwhile, and what it finds is kept for the new sinks.
        """
        for sink in self._sinks:
            sink.records.close()
        self._leaving += self._sinks
        self._sinks, self._make_sinks = [], make_sinks
        self._leave_by_s = time.monotonic() + STOP_DEADLINE_S

    def _change_sinks(self) -> None:
        """Make the new sinks as soon as the old ones are gone."""
        if self._make_sinks is None:
            return
        gone = not any(sink.thread.is_alive() for sink in self._leaving)
        if not gone and time.monotonic() < self._leave_by_s:
            return
        try:
            made = [_SinkThread(sink) for sink in self._make_sinks()]
        except EdgeharError as error:
            _log.error("no results go out: %s; trying again", error)
            self._leave_by_s = time.monotonic() + STOP_DEADLINE_S
            return
        self._make_sinks, self._leaving, self._sinks = None, [], made
        for sink in self._sinks:
            sink.thread.start()
        kept, self._kept = list(self._kept), deque(maxlen=_RECORDS_WAITING)
        self._emit(kept)

    def run(self) -> None:
        """Run until every source ends, a limit is reached or `stop` is called; events that are open are ended.

        Raises:
            SourceError: every source failed, or gave no frame.
            SinkError, BrokenPipeError: an essential sink failed; its reader has gone.
            Exception: whatever else went wrong in any of the threads.
        """
        self._started_s = self._status_s = time.monotonic()
        for sink in self._sinks:
            sink.thread.start()
        for stream in self.streams:
            stream.capture.frames.on_change = self._wake.set
            stream.on_state = self._hear
            stream.capture.start()
        at_leisure, last = False, StreamState.FAILED
        try:
            at_leisure = self._watch_all()
            last = StreamState.STOPPED
        except BrokenPipeError:
            last = StreamState.STOPPED
            raise
        finally:
            self._on_end()
            for stream in self.streams:
                self._end(stream, last)
            self._finish_sinks(at_leisure)
        self._raise_sink_error()

    def _hear(self, stream: Stream, state: StreamState, reason: str) -> None:
        """Take note of what a capture does, from its own thread. How a stream ends is said when it has ended."""
        if state not in (StreamState.STOPPED, StreamState.FAILED):
            self.request(lambda: self._enter(stream, state, reason))

    def _watch_all(self) -> bool:
        """Classify until an end, and end the open events; True when it was the sources' own end."""
        while not self._is_over():
            self._wake.clear()
            self._do_requests()
            self._change_sinks()
            # Each stream in its turn has one frame taken: none keeps the others waiting.
            taken = [self._take_turn(stream) for stream in self.streams if not stream.done]
            if not any(taken):
                if all(stream.done for stream in self.streams):
                    return self._all_done()
                self._wake.wait(_POLL_S)
        return False

    def _all_done(self) -> bool:
        if self._failure is not None and all(stream.error is not None for stream in self.streams):
            raise self._failure
        return not any(stream.cut_short for stream in self.streams)

    def _is_over(self) -> bool:
        self._raise_sink_error()
        if self._stopping or self._prediction_count == self._max_predictions:
            return True
        now_s = time.monotonic()
        if now_s - self._tick_s >= _POLL_S:
            self._tick_s = now_s
            self._on_tick()
        if now_s - self._status_s >= self._status_every_s:
            self._status_s = now_s
            for stream in self.streams:
                if stream.capture.live and not stream.done:
                    self._emit([stream.status()])
        live = any(stream.capture.live for stream in self.streams)
        return live and self._duration_s is not None and now_s - self._started_s >= self._duration_s

    def _do_requests(self) -> None:
        while self._requests:
            self._requests.popleft()()

    def _take_turn(self, stream: Stream) -> bool:
        """Take one frame of a stream if it has one; whether it had, or came to its end."""
        try:
            epoch, frame = stream.capture.frames.get(0.0)
        except TimeoutError:
            return False
        except Closed:
            self._finish(stream)
            return True
        if self._is_past_duration(stream, frame):
            stream.cut_short = True
            self._end(stream, StreamState.STOPPED)
            return True
        if stream.capture.live:
            for sink in self._sinks:
                sink.records.drop_when_full()
        self._count(self._guarded(stream, lambda: stream.take(frame, epoch)))
        return True

    def _is_past_duration(self, stream: Stream, frame: Frame) -> bool:
        if self._duration_s is None or stream.capture.live:
            return False
        first_s = frame.captured_s if stream.first_captured_s is None else stream.first_captured_s
        # Compared with a tolerance: 25 frames of 1/25 s shall be 1 s.
        return frame.captured_s - first_s >= self._duration_s - 1e-9

    def _finish(self, stream: Stream) -> None:
        """A stream has come to its own end."""
        self._count(self._guarded(stream, stream.finish))
        self._end(stream, StreamState.STOPPED if stream.error is None else StreamState.FAILED)

    def _guarded(self, stream: Stream, work: Callable[[], list[Record]]) -> list[Record]:
        """What `work` gives. Where others go on, a stream that fails is ended by itself."""
        try:
            return work()
        except Exception as error:
            if len(self.streams) == 1:
                raise
            stream.error = self._failure = error
            _log.error("%s: %s; the other cameras go on", stream.name, error)
            self._end(stream, StreamState.FAILED)
            return []

    def _count(self, records: list[Record]) -> None:
        self._prediction_count = sum(stream.predictions for stream in self.streams)
        self._emit(records)

    def _end(self, stream: Stream, state: StreamState) -> None:
        """Stop a stream for good: its capture, its open event, and its last status. Nothing the second time."""
        if stream.state in (StreamState.STOPPED, StreamState.FAILED):
            return
        stream.done = True
        self._emit(stream.end_events())
        stream.stop(_CAPTURE_JOIN_S)
        self._enter(stream, state, "")

    def _emit(self, records: Iterable[Record]) -> None:
        """Hand records to every sink, waiting for room where nothing may be lost."""
        if self._make_sinks is not None:
            self._kept.extend(records)
            return
        for record in records:
            for sink in self._sinks:
                # A sink that has failed takes no more; `_raise_sink_error` tells.
                with contextlib.suppress(Closed):
                    while not sink.records.put(record, _POLL_S) and not self._stopping:
                        pass

    def _enter(self, stream: Stream, state: StreamState, reason: str) -> None:
        if stream.state in (StreamState.STOPPED, StreamState.FAILED):
            return
        status = stream.enter(state)
        level = logging.DEBUG
        if state is StreamState.RECONNECTING or (state is StreamState.OPENING and reason):
            level = logging.WARNING
        elif state in (StreamState.RUNNING, StreamState.STOPPED):
            # The error that follows a failure says more than "failed".
            level = logging.INFO
        counts = f" after {status.frames} frames, {status.predictions} predictions, {status.dropped} frames dropped"
        counted = bool(status.frames) and state is not StreamState.RUNNING
        why = f": {reason.removeprefix(f'{stream.name}: ')}" if reason else ""
        _log.log(level, "%s: %s%s%s", stream.name, state.value, counts if counted else "", why)
        self._emit([status])

    def _finish_sinks(self, at_leisure: bool) -> None:
        """Let sinks write what waits for them: all of it at the end of a source, else until a deadline."""
        self._leave_by_s = 0.0
        self._change_sinks()
        for sink in self._sinks:
            sink.records.close()
        deadline_s = math.inf if at_leisure else time.monotonic() + STOP_DEADLINE_S
        for sink in self._sinks:
            while sink.thread.is_alive() and time.monotonic() < deadline_s:
                sink.thread.join(_POLL_S)
                if self._stopping and deadline_s == math.inf:
                    deadline_s = time.monotonic() + STOP_DEADLINE_S
            if sink.thread.is_alive():
                _log.warning("%s: did not take all results within %.0f s", sink.sink.name, STOP_DEADLINE_S)
            if sink.records.dropped:
                _log.warning("%s: too slow: %d results dropped", sink.sink.name, sink.records.dropped)

    def _raise_sink_error(self) -> None:
        """What an essential sink failed with; another one is only spoken of, once, and left out from then on."""
        for sink in [sink for sink in self._sinks if sink.error is not None]:
            if sink.sink.essential:
                assert sink.error is not None
                raise sink.error
            _log.error("%s: %s; going on without it", sink.sink.name, sink.error)
            self._sinks.remove(sink)
