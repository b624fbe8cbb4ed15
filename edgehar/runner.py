"""Runs a camera all day, or a file to its end: source -> classifier -> decisions -> sinks, each side on its own thread.

A live source is read by a thread that keeps only the newest frame, so that an answer is never about an old one; a file
is read through a short queue that loses nothing. Every sink has a thread and a queue of its own, so that a slow broker
never delays a frame. The classifier runs on the thread that calls `Runner.run`.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import math
import threading
import time
from typing import TYPE_CHECKING

from edgehar.errors import SourceError
from edgehar.mailbox import Closed, Mailbox
from edgehar.results import Status, utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar.classifier import Classifier
    from edgehar.decision import Decider
    from edgehar.frames import Frame
    from edgehar.results import Prediction, Record
    from edgehar.sinks.base import Sink
    from edgehar.sources.base import Source

_log = logging.getLogger(__name__)

# Frames of a file that may be decoded ahead.
_FRAMES_AHEAD = 4
# Records that may wait for a sink: some seconds of answers to every frame.
_RECORDS_WAITING = 256
# How often waiting threads look whether the run is to stop.
_POLL_S = 0.1
# How long sinks get to write what waits for them after a stop or an error. At the end of a file they get all they need.
STOP_DEADLINE_S = 5.0
# How long the run waits for a read of the source that is under way when it ends.
_CAPTURE_JOIN_S = 1.0


class State(enum.Enum):
    """What the run is doing."""

    OPENING = "opening"
    RUNNING = "running"
    RECONNECTING = "reconnecting"
    STOPPED = "stopped"
    FAILED = "failed"


class _SinkThread:
    """A sink, its queue and its thread."""

    def __init__(self, sink: Sink, *, live: bool) -> None:
        self.sink = sink
        self.error: BaseException | None = None
        self.records: Mailbox[Record] = Mailbox(_RECORDS_WAITING, drop_oldest=live)
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
    """One run of a source through a classifier into sinks.

    Attributes:
        state: what the run is doing; each change is logged once.
    """

    def __init__(
        self,
        source: Source,
        classifier: Classifier,
        decider: Decider,
        sinks: Sequence[Sink],
        *,
        duration_s: float | None = None,
        max_predictions: int | None = None,
    ) -> None:
        """Make a run; `run` does it. The caller closes the source and the classifier, the run closes the sinks.

        Args:
            source: where frames come from.
            classifier: what answers.
            decider: what turns answers into decisions and events.
            sinks: what gets the records.
            duration_s: stop after this much video (files), or this long after the start (live sources).
            max_predictions: stop after exactly this many predictions.
        """
        self.state = State.OPENING
        self._source, self._classifier, self._decider = source, classifier, decider
        self._duration_s, self._max_predictions = duration_s, max_predictions
        self._sinks = [_SinkThread(sink, live=source.live) for sink in sinks]
        self._frames: Mailbox[Frame] = Mailbox(1 if source.live else _FRAMES_AHEAD, drop_oldest=source.live)
        self._capture_error: BaseException | None = None
        self._stopping = False
        self._started_s = 0.0
        self._first_captured_s: float | None = None
        self._frame_count = self._prediction_count = 0

    def stop(self) -> None:
        """Ask the run to end cleanly. Takes no lock: safe from a signal handler and from any thread."""
        self._stopping = True

    def run(self) -> None:
        """Run until the source ends, a limit is reached or `stop` is called; events that are open are ended.

        Raises:
            SourceError: the source failed, or gave no frame.
            SinkError, BrokenPipeError: a sink failed; its reader has gone.
            Exception: whatever else went wrong in any of the threads.
        """
        self._started_s = time.monotonic()
        capture = threading.Thread(target=self._capture, name="edgehar-capture", daemon=True)
        for sink in self._sinks:
            sink.thread.start()
        capture.start()
        at_leisure = False
        try:
            self._enter(State.OPENING)
            at_leisure = self._classify_all()
            self._enter(State.STOPPED)
        except BrokenPipeError:
            self._enter(State.STOPPED, quietly=True)
            raise
        except BaseException:
            self._enter(State.FAILED)
            raise
        finally:
            self._frames.close(discard=True)
            self._source.close()
            self._finish_sinks(at_leisure)
            capture.join(_CAPTURE_JOIN_S)
        self._raise_sink_error()

    def _capture(self) -> None:
        try:
            for frame in self._source:
                self._frames.put(frame)
        except Closed:
            pass
        except Exception as error:
            self._capture_error = error
        finally:
            self._frames.close()

    def _classify_all(self) -> bool:
        """Classify until an end, and end the open events; True when it was the source's own end."""
        try:
            while not self._is_over():
                try:
                    frame = self._frames.get(_POLL_S)
                except TimeoutError:
                    continue
                except Closed:
                    self._end_of_source()
                    return True
                if not self._take(frame):
                    break
            return False
        finally:
            for event in self._decider.finish():
                self._emit(event)

    def _is_over(self) -> bool:
        self._raise_sink_error()
        if self._stopping or self._prediction_count == self._max_predictions:
            return True
        elapsed_s = time.monotonic() - self._started_s
        return self._source.live and self._duration_s is not None and elapsed_s >= self._duration_s

    def _take(self, frame: Frame) -> bool:
        """Classify one frame; False, without doing so, when it is past the duration asked for."""
        if self._first_captured_s is None:
            self._first_captured_s = frame.captured_s
            self._enter(State.RUNNING)
        # Compared with a tolerance: 25 frames of 1/25 s shall be 1 s.
        left_s = math.inf if self._duration_s is None else self._duration_s - 1e-9
        if not self._source.live and frame.captured_s - self._first_captured_s >= left_s:
            return False
        self._frame_count += 1
        self._classifier.dropped = self._frames.dropped
        self._answer(self._classifier.push(frame))
        return True

    def _end_of_source(self) -> None:
        if self._capture_error is not None:
            raise self._capture_error
        if not self._frame_count:
            raise SourceError(f"{self._source.name}: gave no frame; check that it is not empty")
        self._answer(self._classifier.flush())

    def _answer(self, prediction: Prediction | None) -> None:
        if prediction is None:
            return
        prediction, events = self._decider.update(prediction)
        self._prediction_count += 1
        records: list[Record] = [prediction, *events]
        for record in records:
            self._emit(record)

    def _emit(self, record: Record) -> None:
        """Hand a record to every sink, waiting for room where nothing may be lost."""
        for sink in self._sinks:
            # A sink that has failed takes no more; `_raise_sink_error` tells.
            with contextlib.suppress(Closed):
                while not sink.records.put(record, _POLL_S) and not self._stopping:
                    pass

    def _enter(self, state: State, *, quietly: bool = False) -> None:
        self.state = state
        elapsed_s = max(time.monotonic() - self._started_s, 1e-9)
        status = Status(
            time=utc_now(),
            source=self._source.name,
            state=state.value,
            frames=self._frame_count,
            predictions=self._prediction_count,
            dropped=self._frames.dropped,
            fps=round(self._frame_count / elapsed_s, 1),
        )
        # The error that follows a failure says more than "failed".
        level = logging.INFO if state in (State.RUNNING, State.STOPPED) and not quietly else logging.DEBUG
        counts = f" after {status.frames} frames, {status.predictions} predictions, {status.dropped} frames dropped"
        _log.log(level, "%s: %s%s", status.source, status.state, counts if self._frame_count else "")
        self._emit(status)

    def _finish_sinks(self, at_leisure: bool) -> None:
        """Let sinks write what waits for them: all of it at the end of a source, else until a deadline."""
        for sink in self._sinks:
            sink.records.close()
        deadline_s = None if at_leisure else time.monotonic() + STOP_DEADLINE_S
        for sink in self._sinks:
            while sink.thread.is_alive() and (deadline_s is None or time.monotonic() < deadline_s):
                sink.thread.join(_POLL_S)
                if self._stopping and deadline_s is None:
                    deadline_s = time.monotonic() + STOP_DEADLINE_S
            if sink.thread.is_alive():
                _log.warning("%s: did not take all results within %.0f s", sink.sink.name, STOP_DEADLINE_S)
            if sink.records.dropped:
                _log.warning("%s: too slow: %d results dropped", sink.sink.name, sink.records.dropped)

    def _raise_sink_error(self) -> None:
        for sink in self._sinks:
            if sink.error is not None:
                raise sink.error
