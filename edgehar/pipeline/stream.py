"""One stream: its capture, its classifier and its decider, from a frame to the records it leads to."""

from __future__ import annotations

import datetime
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgehar.capture.options import ReconnectOptions
from edgehar.capture.reader import Capture
from edgehar.errors import SourceError
from edgehar.health.monitor import StreamHealth
from edgehar.masks import View
from edgehar.records import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.capture.governor import Governor
    from edgehar.events.decider import Decider
    from edgehar.frames import Frame
    from edgehar.health.monitor import Monitor
    from edgehar.model.bundle import ModelBundle
    from edgehar.model.classifier import Classifier
    from edgehar.model.manifest import Manifest
    from edgehar.pipeline.camera_settings import CameraSettings
    from edgehar.pipeline.shadow import Shadow
    from edgehar.recording.camera import CameraRecorder
    from edgehar.recording.sidecar import Model
    from edgehar.records import Event, Prediction, Record, Status
    from edgehar.sources.base import Source

_log = logging.getLogger(__name__)

# After this many failures of the network in a row, stop loading it again.
INFERENCE_ERRORS = 5


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options of reading, showing and recording the source of a stream.

    Attributes:
        reconnect: when and how often to reopen a live source.
        governor: limits the frames per second; None for no limit.
        view: what may be shown of the picture.
        recording: records the events; None to record none.
        settings: settings of the camera that may change; None if there are none.
    """

    reconnect: ReconnectOptions = field(default_factory=ReconnectOptions)
    governor: Governor | None = None
    view: View = field(default_factory=View)
    recording: CameraRecorder | None = None
    settings: CameraSettings | None = None


class Stream:
    """A source, the classifier of its frames, and its decisions.

    Attributes:
        name: name of the source in records.
        capture: reads the frames.
        classifier: classifies them.
        decider: turns predictions into decisions and events; may be reconfigured between two frames.
        error: why the stream failed; None if it did not.
        cut_short: whether it was ended before its source ended.
        governor: limits the frames per second; None for no limit.
        enabled: False to read frames without classifying them.
        last_frame: the newest frame taken; `view.jpeg` makes a picture of it.
        first_captured_s: capture time of the first frame; None before it.
        view: what may be shown of the picture.
        settings: settings of the camera that may change; None if there are none.
        recording: records the events; None if they are not recorded.
        health: counts frames and predictions, and makes the status.
        done: whether the stream has ended.
        shadow: a model that answers beside the active one; None if there is none.
        on_event: called with every event, by the thread that classifies.
        models: manifests of all that ever answered, by the first digits of the SHA-256 of their head.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        classifier: Classifier,
        decider: Decider,
        *,
        name: str,
        monitor: Monitor | None = None,
        options: StreamOptions = StreamOptions(),
    ) -> None:
        """Make a stream; a `Runner` runs it.

        Args:
            open_source: opens the source; called again after each interruption.
            classifier: classifies frames under the same source name; closed by the caller.
            decider: decides on its predictions.
            name: name of the source in records.
            monitor: gets the counts of this stream; None for a stream on its own.
            options: how the source is read, shown and recorded.
        """
        self.name = name
        self._on_state: Callable[[Stream, StreamState, str], object] = lambda *_: None
        self.capture = Capture(
            open_source, options=options.reconnect, on_state=lambda state, reason: self._on_state(self, state, reason)
        )
        self._bad_for_s, self._waits_at_start = options.reconnect.frozen_s, options.reconnect.at_start
        self.classifier, self.decider = classifier, decider
        count = StreamHealth if monitor is None else monitor.add_stream
        self.health = count(
            name, count_dropped=lambda: self.capture.dropped, count_damaged=lambda: self.capture.damaged
        )
        self.error: BaseException | None = None
        self.enabled, self.done, self.cut_short = True, False, False
        self.last_frame: Frame | None = None
        self.first_captured_s: float | None = None
        self.governor, self.view, self.recording = options.governor, options.view, options.recording
        self.shadow: Shadow | None = None
        self.models = _by_head(classifier.bundle)
        self.on_event: Callable[[Event], object] = lambda _: None
        self.settings = options.settings
        self._epoch = 0
        self._paused = False
        self._errors_in_a_row = 0
        self._bad_since_s: float | None = None
        self._last_frame_s: float | None = None

    def start(self, *, on_state: Callable[[Stream, StreamState, str], object], on_frame: Callable[[], object]) -> None:
        """Start reading the source, in threads of the capture.

        Args:
            on_state: called by the capture's thread with this stream, the capture's new state and the reason.
            on_frame: called after each frame that was read, and at the end.
        """
        self._on_state = on_state
        self.capture.frames.on_change, self.capture.needs = on_frame, self._needs
        self.capture.start()

    @property
    def waits_for_source(self) -> bool:
        """Return whether the source was never open yet, and opening is retried for as long as it takes."""
        return self._waits_at_start and not self.capture.wait_opened(0)

    @property
    def resting(self) -> bool:
        """Whether the source is not read at this time of the week."""
        hours = None if self.settings is None else self.settings.watch_hours
        return bool(hours) and not hours.hold(datetime.datetime.now())  # type: ignore[union-attr] # noqa: DTZ005

    @property
    def state(self) -> StreamState:
        """The state that the stream entered last."""
        return self.health.state

    @property
    def frames(self) -> int:
        """Frames taken so far."""
        return self.health.frames

    @property
    def predictions(self) -> int:
        """Predictions made so far."""
        return self.health.predictions

    def take(self, frame: Frame, epoch: int) -> list[Record]:
        """Take one frame; returns the prediction and the events it leads to, if any.

        A frame of a live source that cannot be used is dropped.

        Args:
            frame: the frame.
            epoch: number of the source's connection; no window spans two of them.

        Raises:
            SourceError: a frame of a file cannot be used.
            RuntimeError: the network failed `INFERENCE_ERRORS` times in a row.
        """
        records: list[Record] = []
        if epoch != self._epoch:
            # After a reconnection, because frames before and after the gap must not share a window.
            self._epoch = epoch
            self.health.reconnect()
            records += self._interrupt()
        elif frame.cut:
            records += self._interrupt()
        if self.first_captured_s is None:
            self.first_captured_s = frame.captured_s
        self.last_frame = frame
        self.health.frame()
        if self.recording is not None:
            self.recording.take(frame, live=self.capture.live)
        if not self.enabled:
            # No window and no event spans a pause.
            records += [] if self._paused else self._interrupt()
            self._paused = True
            return records
        self._paused = False
        started_s = time.monotonic()
        prediction = self._classify(frame)
        self._govern(frame, time.monotonic() - started_s)
        return records + self._decide(prediction)

    def enter(self, state: StreamState) -> Status:
        """Enter a state; returns the status."""
        self.health.state = state
        return self.status()

    def status(self) -> Status:
        """Return the current status."""
        self.health.rate_hz = self.classifier.rate_hz
        self.health.decoding = self.capture.decoding
        return self.health.status()

    def finish(self) -> list[Record]:
        """Finish a source that has ended; returns the prediction for a clip that was shorter than a window.

        Raises:
            SourceError: the source gave no frame, or ended with an error.
        """
        self.done = True
        if self.capture.error is not None:
            raise self.capture.error
        if not self.frames:
            raise SourceError(f"{self.name}: gave no frames; check that it is not empty")
        return self._decide(self.classifier.flush(dropped=self.capture.dropped))

    def end_events(self) -> list[Record]:
        """Return the end of the open event, if there is one."""
        return self._recorded([*self.decider.finish()])

    def use_model(self, bundle: ModelBundle, decider: Decider, recorded: Model) -> list[Record]:
        """Learn that another head answers from the next window on; returns the end of an open event.

        Args:
            bundle: what answers.
            decider: decides on its answers.
            recorded: what recordings note about it.
        """
        records = self.end_events()
        self.decider, self.shadow = decider, None
        self.models |= _by_head(bundle)
        if self.recording is not None:
            self.recording.use_model(recorded)
        return records

    def use_view(self, view: View) -> list[Record]:
        """Look at, show and keep another part of the picture from the next frame on; returns the end of an open event.

        No window holds frames of both views. Call it on the thread that classifies.

        Raises:
            ConfigError: the region is not within the frame; nothing changes.
        """
        self.classifier.look_at(view.region, view.masks)
        records = self._interrupt()
        self.view = view
        if self.recording is not None:
            self.recording.use_view(view)
        return records

    def stop(self, timeout_s: float) -> None:
        """Stop the capture, waiting up to `timeout_s` for a read in progress, and finish the recordings."""
        self.capture.stop(timeout_s)
        if self.recording is not None:
            self.recording.finish()

    def picture_of(self, event: Event) -> bytes | None:
        """Return the picture of an event as JPEG: the frame of its peak if it is recorded, else the latest frame.

        None if pictures are off or no frame came. Safe from any thread.
        """
        peak = None if self.recording is None else self.recording.peak_of(event.id)
        frame = self.last_frame if peak is None else peak
        return None if frame is None else self.view.jpeg(frame)

    def _needs(self, captured_s: float, step_s: float) -> bool:
        """Return whether the frame of this capture time may be used. The thread that reads the source asks."""
        if self.recording is not None and self.recording.encodes:
            return True
        return self.classifier.may_use(captured_s, step_s)

    def _recorded(self, records: list[Record]) -> list[Record]:
        return records if self.recording is None else self.recording.records(records)

    def _interrupt(self) -> list[Record]:
        self.classifier.interrupt()
        if self.shadow is not None:
            self.shadow.interrupt()
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
        except SourceError as error:
            if not self.capture.live:
                raise
            self._drop_bad_frame(frame, error)
            return None
        self._bad_since_s = None
        if prediction is not None:
            self._errors_in_a_row = 0
        return prediction

    def _drop_bad_frame(self, frame: Frame, error: SourceError) -> None:
        """Drop a frame that cannot be used, and reopen the source if no other frame has come for too long."""
        if self._bad_since_s is None:
            self._bad_since_s = frame.arrived_s
            _log.warning("%s: frame dropped: %s", self.name, error)
        elif frame.arrived_s - self._bad_since_s >= self._bad_for_s:
            self._bad_since_s = None
            self.capture.reopen(f"{self.name}: no usable frame for {self._bad_for_s:g} s: {error}")

    def _govern(self, frame: Frame, busy_s: float) -> None:
        """Limit the frame rate of a live source to what the device can process. A file waits for every frame."""
        if self.governor is None or not self.capture.live:
            return
        changes = [self._govern_decoding(self.governor)]
        if self._last_frame_s is not None:
            changes.append(self.governor.observe(busy_s, max(frame.captured_s - self._last_frame_s, 1e-6)))
        for change in filter(None, changes):
            _log.warning("%s: %s", self.name, change)
        self._last_frame_s = frame.captured_s
        if self.governor.rate_hz != self.classifier.rate_hz:
            self.classifier.set_rate(self.governor.rate_hz)

    def _govern_decoding(self, governor: Governor) -> str | None:
        """Decode in the governor's mode; returns a change that the decoder's load led to."""
        decoding = self.capture.decoding
        change = None if decoding is None else governor.observe_decoding(self.name, decoding.busy_s)
        if governor.decode_mode is not None:
            self.capture.use_decode_mode(governor.decode_mode)
        return change

    def _decide(self, prediction: Prediction | None) -> list[Record]:
        if prediction is None:
            return []
        decided, events = self.decider.update(prediction)
        if self.shadow is not None:
            self.shadow.answer(prediction, self.classifier.features(), decided.label, events)
        for event in events:
            self.on_event(event)
        self.health.prediction(decided)
        return self._recorded([decided, *events])


def _by_head(bundle: ModelBundle) -> dict[str, Manifest]:
    return {bundle.manifest.files["head.tflite"][:8]: bundle.manifest}


def recorded_model(bundle: ModelBundle) -> Model:
    """Return what recordings note about the model."""
    from edgehar.recording.sidecar import Model
    from edgehar.recording.store import sha256_of

    return Model(bundle.manifest.name, sha256_of(bundle.path), tuple(bundle.manifest.labels))
