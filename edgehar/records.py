"""Records that edgehar emits, one JSON object each.

The JSON Schemas in `edgehar/schemas` are generated from these classes.
"""

from __future__ import annotations

import datetime
import enum
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Label of a prediction in which no class reaches its threshold.
UNKNOWN = "unknown"


class StreamState(enum.StrEnum):
    """State of a stream: of its capture, and in every status."""

    OPENING = "opening"
    RUNNING = "running"
    RECONNECTING = "reconnecting"
    STOPPED = "stopped"
    FAILED = "failed"


class Window(msgspec.Struct, frozen=True):
    """Stretch of video that a prediction covers.

    Attributes:
        frames: number of frames. Fewer than the model's window only if a clip was shorter than one window.
        start_s: capture time of the first frame, in seconds on the source's clock.
        end_s: capture time of the last frame, in seconds on the source's clock.
        lost: frames of the source that were lost between the two: damaged, late, or dropped by a slow device.
    """

    frames: int
    start_s: float
    end_s: float
    lost: int = 0


class TimingMs(msgspec.Struct, frozen=True):
    """Wall time spent on the last frame of the window, in milliseconds."""

    shrink: float
    encode: float
    classify: float


class _Record(msgspec.Struct, frozen=True):
    def to_dict(self) -> dict[str, Any]:
        """Return the record as a dict of plain Python values, with the keys and values of its JSON object."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields


class Prediction(_Record, frozen=True, dict=True, tag_field="type", tag="prediction"):
    """Answer of the model about one window.

    Attributes:
        seq: number of this prediction in its stream, from 0.
        time: wall-clock time of the answer (UTC, ISO 8601).
        source: name of the source, without credentials.
        model: name of the bundle.
        label: class with the highest score among the classes that reach their threshold, or "unknown" if none does.
        score: score of that class, 0 to 1. The highest score if the label is "unknown".
        scores: score of every class, as compared with the thresholds: smoothed if smoothing is on, less the baseline of
            the camera if there is one. Without these rules they sum to 1 within quantization. If evidence is compared,
            `score` is evidence, and `scores` are not.
        window: frames that the prediction covers.
        frame_age_ms: time from the arrival of the newest frame to the answer, in milliseconds.
        timing_ms: cost of each step for the newest frame.
        dropped: frames of a live source that were dropped so far.
        rate_ok: False if the window was not seen at the model's rate: it took over a tenth longer, or has a gap.
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

    def __repr__(self) -> str:
        """Return the fields that tell one prediction from another."""
        span = f"{self.window.start_s:.2f}-{self.window.end_s:.2f} s"
        return f"<Prediction {self.seq} of {self.source!r}: {self.label} {self.score:.2f}, {span}>"

    @property
    def raw(self) -> npt.NDArray[np.int8] | None:
        """Output of the head as the interpreter gave it: int8, `(classes,)`, in the order of the labels.

        It is not part of the JSON: None if the prediction was decoded from JSON or unpickled.
        """
        return self.__dict__.get("raw")

    @property
    def head(self) -> str:
        """First eight digits of the SHA-256 of the head that answered; "" if the prediction was decoded from JSON."""
        head: str = self.__dict__.get("head", "")
        return head

    @property
    def features(self) -> npt.NDArray[np.int8] | None:
        """Encodings of the window, int8 `(window, features)`; None unless the classifier was asked to keep them."""
        return self.__dict__.get("features")

    def with_raw(
        self, raw: npt.NDArray[np.int8] | None, *, head: str = "", features: npt.NDArray[np.int8] | None = None
    ) -> Self:
        """Return a copy that carries the output of the head, and what it is made of."""
        copy = msgspec.structs.replace(self)
        carried = {"raw": raw, "head": head or None, "features": features}
        copy.__dict__.update({name: value for name, value in carried.items() if value is not None})
        return copy

    def decided(self, label: str, score: float, scores: dict[str, float]) -> Prediction:
        """Return a copy with another label, its score, and the scores that led to it."""
        copy = msgspec.structs.replace(self, label=label, score=score, scores=scores)
        copy.__dict__.update(self.__dict__)
        return copy


class Event(_Record, frozen=True, tag_field="type", tag="event"):
    """Start, update or end of an action.

    Attributes:
        phase: "start" when the action is first recognized, "update" while it lasts, "end" when it or the stream ends,
            and "uploaded" when a server has its clip.
        id: UUID version 7 (RFC 9562), the same from start to end.
        revision: 0 for the start, one more with each record of this event; 1000000 and the number of the file for
            "uploaded". With `id` it identifies duplicates.
        time: wall-clock time of the record (UTC, ISO 8601).
        source: name of the source, without credentials.
        model: name of the bundle.
        label: the action.
        peak_score: highest score so far, 0 to 1.
        start_s: capture time of the newest frame of the first window with this label, in seconds.
        end_s: the same for the last window, or the end of the minimum duration if that is later. None until the end.
        clip: path of the clip in the recording folder; None if the event is not recorded.
        clip_url: address of the clip at the server, without credentials; None unless the phase is "uploaded".
    """

    phase: Literal["start", "update", "end", "uploaded"]
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
    clip_url: str | None = None

    def __repr__(self) -> str:
        """Return the fields that tell one event record from another."""
        span = f"from {self.start_s:.2f} s" + ("" if self.end_s is None else f" to {self.end_s:.2f} s")
        return f"<Event {self.phase} of {self.label} at {self.source!r}, {span}, {self.id}:{self.revision}>"


class Status(_Record, frozen=True, tag_field="type", tag="status"):
    """Health of one stream and of the process.

    Attributes:
        time: wall-clock time of the record (UTC, ISO 8601).
        source: name of the source, without credentials.
        state: state of the stream.
        frames: frames classified, or skipped by the time grid, so far.
        predictions: predictions so far.
        dropped: frames that were dropped so far: damaged or, of a live source, late or too many for the device.
        damaged: the damaged ones among them: of broken data or lost packets, and what follows until a key frame.
        fps: frames per second since the start.
        frame_age_ms_p50: median of `frame_age_ms` over the last predictions.
        frame_age_ms_p95: 95th percentile of `frame_age_ms` over the last predictions.
        queue_depth: records that wait in memory for a sink. The maximum over all sinks.
        queue_dropped: records that were dropped because a sink was too slow. Predictions and statuses go first.
        spool_depth: events that wait for delivery.
        spool_dropped: events lost before delivery: beyond a limit of the spool, too old, damaged, or not on disk.
        spool_refused: events that a receiver refused, set aside in the dead-letter file.
        recordings: recordings of events finished, of all streams.
        recordings_failed: recordings given up, wholly or in part, because the disk failed.
        uploads: recordings that the server has got.
        uploads_waiting: recordings that it has not.
        notifications: messages sent to people.
        notifications_failed: messages given up.
        reconnects: times the source was reopened.
        inference_errors: times the network failed and was reloaded.
        rate_hz: frames per second that are classified. Lower than the model's rate on a hot or slow device.
        decode: what of the video is decoded: "full", "skip-loop-filter", "reference-only" or "key"; null for none.
        decode_hardware: the hardware that decodes; null for software.
        rss_mb: resident memory of this process, in MB (10^6 bytes).
        cpu_share: processor time of this process. 1.0 is one core, fully busy.
        temperature_c: temperature of the processor, in degrees Celsius.
        throttled: whether the processor is slowed down now, because of heat or power.
        under_voltage: whether the supply voltage is too low now.
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
    damaged: int = 0
    queue_depth: int = 0
    queue_dropped: int = 0
    spool_depth: int = 0
    spool_dropped: int = 0
    spool_refused: int = 0
    recordings: int = 0
    recordings_failed: int = 0
    uploads: int = 0
    uploads_waiting: int = 0
    notifications: int = 0
    notifications_failed: int = 0
    reconnects: int = 0
    inference_errors: int = 0
    rate_hz: float | None = None
    decode: str | None = None
    decode_hardware: str | None = None
    rss_mb: float | None = None
    cpu_share: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    under_voltage: bool | None = None

    def __repr__(self) -> str:
        """Return the counts that matter first."""
        counts = f"{self.frames} frames, {self.predictions} predictions, {self.dropped} dropped, {self.fps:.1f} fps"
        return f"<Status of {self.source!r}: {self.state}, {counts}>"


Record = Prediction | Event | Status


def utc_now() -> str:
    """Return the current time as ISO 8601 in UTC with milliseconds, for example `2026-11-21T05:40:00.123Z`."""
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
