"""The records edgehar emits, one JSON object each; `edgehar/schemas` holds the JSON Schemas made from these classes."""

from __future__ import annotations

import datetime
import enum
from typing import TYPE_CHECKING, Literal, Self

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# The label of a prediction whose scores pass no threshold.
UNKNOWN = "unknown"


class StreamState(enum.StrEnum):
    """State of a stream: of its capture, and in every status."""

    OPENING = "opening"
    RUNNING = "running"
    RECONNECTING = "reconnecting"
    STOPPED = "stopped"
    FAILED = "failed"


class Window(msgspec.Struct, frozen=True):
    """The stretch of video a prediction is about.

    Attributes:
        frames: frames seen; fewer than the model's window only when a clip ended before one window was full.
        start_s: capture time of the first frame, in seconds on the source's clock.
        end_s: capture time of the last frame, in seconds on the source's clock.
    """

    frames: int
    start_s: float
    end_s: float


class TimingMs(msgspec.Struct, frozen=True):
    """Wall time the last frame of the window cost, in milliseconds."""

    shrink: float
    encode: float
    classify: float


class Prediction(msgspec.Struct, frozen=True, dict=True, tag_field="type", tag="prediction"):
    """An answer of the model about one window.

    Attributes:
        seq: number of this prediction in its stream, from 0.
        time: wall-clock time (UTC, ISO 8601) at which the answer was ready.
        source: what was watched, without credentials.
        model: name of the bundle.
        label: the class with the highest score of those that reach their threshold, or "unknown" when none does.
        score: that class's score, 0 to 1; the highest score when the label is "unknown".
        scores: score of every class, smoothed where that is asked for; they sum to 1 within quantization.
        window: the frames looked at.
        frame_age_ms: milliseconds from the arrival of the newest frame to the answer.
        timing_ms: cost of each step for the newest frame.
        dropped: frames of a live source skipped so far because newer ones were there.
        rate_ok: False when the source gave fewer frames a second than the model was trained at.
    """

    seq: int
    time: str
    source: str
    model: str
    label: str
    score: float
    scores: dict[str, float]
    window: Window
    frame_age_ms: float
    timing_ms: TimingMs
    dropped: int
    rate_ok: bool

    @property
    def raw(self) -> npt.NDArray[np.int8]:
        """The head's output as the interpreter gave it: int8, `(classes,)`, in the labels' order. Not in the JSON."""
        raw: npt.NDArray[np.int8] = self.__dict__["raw"]
        return raw

    def with_raw(self, raw: npt.NDArray[np.int8]) -> Self:
        """This prediction, carrying the head's output."""
        self.__dict__["raw"] = raw
        return self

    def decided(self, label: str, score: float, scores: dict[str, float]) -> Prediction:
        """The same prediction with the label decided on, and the scores it was decided by."""
        return msgspec.structs.replace(self, label=label, score=score, scores=scores).with_raw(self.raw)


class Event(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """An action that began, goes on or ended.

    Attributes:
        phase: "start" when it is first sure, "update" while it goes on, "end" when it is gone or the stream is over.
        id: UUID version 7 (RFC 9562), the same from start to end.
        revision: 0 at the start, one more with each record of this event; together with `id` it tells a record that
            was delivered twice.
        label: the action.
        peak_score: highest score so far, 0 to 1.
        start_s: capture time of the newest frame of the first window with this label, in seconds.
        end_s: the same for the last window, or where its least duration is over, if that is later; None while the
            action goes on.
        clip: path of the event's clip in the recording folder; None if it is not recorded.
    """

    phase: Literal["start", "update", "end"]
    id: str
    revision: int
    time: str
    source: str
    model: str
    label: str
    peak_score: float
    start_s: float
    end_s: float | None = None
    clip: str | None = None


class Status(msgspec.Struct, frozen=True, tag_field="type", tag="status"):
    """How the program is doing.

    Attributes:
        state: what the source is doing.
        frames: frames classified or skipped by the time grid so far.
        predictions: predictions made so far.
        dropped: frames of a live source skipped because newer ones were there.
        fps: frames a second since the start.
        frame_age_ms_p50: median of `frame_age_ms` over the last predictions.
        frame_age_ms_p95: its 95th percentile.
        queue_depth: results that wait for a sink, the most of all sinks.
        spool_depth: events on disk that wait to be delivered.
        spool_dropped: events thrown away undelivered, because the spool was full or they were too old.
        reconnects: times the source was opened again.
        inference_errors: times the network failed and was loaded again.
        rate_hz: frames a second that are looked at; lower than the model's when the device is hot or slow.
        rss_mb: memory of this process, in MB (10^6 bytes).
        cpu_share: processor time of this process, 1.0 being one core all of the time.
        temperature_c: of the processor, in degrees Celsius.
        throttled: whether the processor is slowed down now, by heat or power.
        under_voltage: whether the power supply is too weak now.
    """

    time: str
    source: str
    state: StreamState
    frames: int
    predictions: int
    dropped: int
    fps: float
    frame_age_ms_p50: float | None = None
    frame_age_ms_p95: float | None = None
    queue_depth: int = 0
    spool_depth: int = 0
    spool_dropped: int = 0
    reconnects: int = 0
    inference_errors: int = 0
    rate_hz: float | None = None
    rss_mb: float | None = None
    cpu_share: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    under_voltage: bool | None = None


Record = Prediction | Event | Status


def utc_now() -> str:
    """The time now, as ISO 8601 in UTC with milliseconds, for example `2026-11-21T05:40:00.123Z`."""
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
