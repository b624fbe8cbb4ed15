"""One source on its way to answers: its frames through its part of the model, and its decisions."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edgehar.capture.reader import Capture
from edgehar.errors import SourceError
from edgehar.health.monitor import StreamHealth
from edgehar.masks import View
from edgehar.records import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.capture.governor import Governor
    from edgehar.capture.options import ReconnectOptions
    from edgehar.events.decider import Decider
    from edgehar.frames import Frame
    from edgehar.health.monitor import Monitor
    from edgehar.model.classifier import Classifier
    from edgehar.recording.camera import CameraRecorder
    from edgehar.records import Prediction, Record, Status
    from edgehar.sources.base import Source

_log = logging.getLogger(__name__)

# Failures of the network in a row that loading it anew is tried against.
INFERENCE_ERRORS = 5


class Stream:
    """A source that is watched.

    Attributes:
        name: what its records call it.
        capture: where its frames come from.
        classifier: what answers.
        decider: what turns answers into decisions and events; may be replaced between two frames.
        on_state: called by the capture's thread with this stream, the capture's new state and why.
        error: why it failed; None otherwise.
        cut_short: whether it was ended before its own end.
        governor: says how many frames a second to look at; None: all that the model wants.
        enabled: whether its frames are looked at; they are read and thrown away otherwise.
        last_frame: the frame taken last; `view.jpeg` makes a picture of it.
        view: what of the picture may be shown.
        recording: records the events; None if they are not recorded.
        health: what counts how it is doing.
        done: whether it has come to its end.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        classifier: Classifier,
        decider: Decider,
        *,
        name: str,
        reconnect: ReconnectOptions | None = None,
        governor: Governor | None = None,
        monitor: Monitor | None = None,
        view: View | None = None,
        recording: CameraRecorder | None = None,
    ) -> None:
        """Make a stream; a `Runner` runs it.

        Args:
            open_source: opens the source; called again after each interruption.
            classifier: what answers, under the same source name; closed by the caller.
            decider: what decides.
            name: what records call it.
            reconnect: when and how often a live source is opened again.
            governor: says how many frames a second to look at; all the model wants when None.
            monitor: gets this stream's counts; None for a stream on its own.
            view: what of the picture may be shown; all of it when None.
            recording: records the events; None to record none.
        """
        self.name = name
        self.capture = Capture(
            open_source, options=reconnect, on_state=lambda state, reason: self.on_state(self, state, reason)
        )
        self.classifier, self.decider = classifier, decider
        count = StreamHealth if monitor is None else monitor.add_stream
        self.health = count(name, count_dropped=lambda: self.capture.dropped)
        self.on_state: Callable[[Stream, StreamState, str], object] = lambda *_: None
        self.error: BaseException | None = None
        self.enabled, self.done, self.cut_short = True, False, False
        self.last_frame: Frame | None = None
        self.first_captured_s: float | None = None
        self.governor = governor
        self.view, self.recording = view or View(), recording
        self._epoch = 0
        self._errors_in_a_row = 0
        self._last_frame_s: float | None = None

    @property
    def state(self) -> StreamState:
        """The state that the run entered last."""
        return self.health.state

    @property
    def frames(self) -> int:
        """Frames taken so far."""
        return self.health.frames

    @property
    def predictions(self) -> int:
        """Answers given so far."""
        return self.health.predictions

    def take(self, frame: Frame, epoch: int) -> list[Record]:
        """What one frame leads to: an answer and the events it makes, or nothing.

        Raises:
            SourceError: the frame cannot be used.
            RuntimeError: the network fails again and again.
        """
        records: list[Record] = []
        if epoch != self._epoch:
            # Another connection: what was seen before it does not belong in one window with this.
            self._epoch = epoch
            self.health.reconnect()
            records += self._interrupt()
        if self.first_captured_s is None:
            self.first_captured_s = frame.captured_s
        self.last_frame = frame
        self.health.frame()
        if self.recording is not None:
            self.recording.take(frame, live=self.capture.live)
        if not self.enabled:
            return records
        started_s = time.monotonic()
        prediction = self._classify(frame)
        self._govern(frame, time.monotonic() - started_s)
        return records + self._decide(prediction)

    def enter(self, state: StreamState) -> Status:
        """Say that this is what it is doing now; its status."""
        self.health.state = state
        return self.status()

    def status(self) -> Status:
        """How it is doing now."""
        self.health.rate_hz = self.classifier.rate_hz
        return self.health.status()

    def finish(self) -> list[Record]:
        """The answer for a clip shorter than a window, and the end of the event that is open.

        Raises:
            SourceError: the source gave no frame, or broke off with an error.
        """
        self.done = True
        if self.capture.error is not None:
            raise self.capture.error
        if not self.frames:
            raise SourceError(f"{self.name}: gave no frame; check that it is not empty")
        return self._decide(self.classifier.flush(dropped=self.capture.dropped))

    def end_events(self) -> list[Record]:
        """The end of the event that is open, if one is."""
        return self._recorded([*self.decider.finish()])

    def stop(self, timeout_s: float) -> None:
        """Stop the capture, waiting up to `timeout_s` for a read that is under way, and finish the recordings."""
        self.capture.stop(timeout_s)
        if self.recording is not None:
            self.recording.finish()

    def _recorded(self, records: list[Record]) -> list[Record]:
        return records if self.recording is None else self.recording.records(records)

    def _interrupt(self) -> list[Record]:
        self.classifier.interrupt()
        return self.end_events()

    def _classify(self, frame: Frame) -> Prediction | None:
        try:
            prediction = self.classifier.push(frame, dropped=self.capture.dropped)
        except RuntimeError as error:
            self._errors_in_a_row += 1
            self.health.inference_error()
            if self._errors_in_a_row > INFERENCE_ERRORS:
                raise
            _log.warning("%s: the network failed (%s); loading it again", self.name, error)
            self.classifier.reload()
            return None
        if prediction is not None:
            self._errors_in_a_row = 0
        return prediction

    def _govern(self, frame: Frame, busy_s: float) -> None:
        """Look at as many frames a second as the device can bear. A file waits, so that every frame has its time."""
        if self.governor is None or not self.capture.live:
            return
        if self._last_frame_s is not None:
            self.say_change(self.governor.observe(busy_s, max(frame.captured_s - self._last_frame_s, 1e-6)))
        self._last_frame_s = frame.captured_s
        if self.governor.rate_hz != self.classifier.rate_hz:
            self.classifier.set_rate(self.governor.rate_hz)

    def say_change(self, what: str | None) -> None:
        """Log what the governor has changed, if anything."""
        if what is not None:
            _log.warning("%s: %s", self.name, what)

    def _decide(self, prediction: Prediction | None) -> list[Record]:
        if prediction is None:
            return []
        decided, events = self.decider.update(prediction)
        self.health.prediction(decided)
        return self._recorded([decided, *events])
