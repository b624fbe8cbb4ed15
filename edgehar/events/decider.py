"""From predictions to decisions: thresholds, smoothing, and the events they open, update and close.

All time is capture time (`window.end_s`): the same predictions make the same events, whatever the wall clock does.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError
from edgehar.events.smoothing import MovingAverage, Vote
from edgehar.records import UNKNOWN, Event, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from edgehar.records import Prediction


# Times that differ by less than this are the same: five times 0.4 s shall be 2 s.
TOLERANCE_S = 1e-6

_Share = Annotated[float, Meta(ge=0, le=1)]


class DecisionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How answers and events are made of scores. Without any of it, every answer over the threshold counts."""

    threshold: Annotated[
        _Share | None,
        Meta(
            description='A class needs this score, or the answer is "unknown"; without it the model\'s own holds.',
            examples=[0.6],
        ),
    ] = None
    thresholds: Annotated[
        dict[str, _Share],
        Meta(
            description="Thresholds of single classes by their label, instead of `threshold`.",
            examples=[{"fight": 0.8}],
        ),
    ] = msgspec.field(default_factory=dict)
    smoothing: Annotated[
        Literal["none", "ema", "k-of-n"],
        Meta(
            description='"ema" averages the scores over `ema_seconds`; "k-of-n" wants the same answer `k` times in `n`.'
        ),
    ] = "none"
    ema_seconds: Annotated[
        float, Meta(ge=0.01, le=3600, description="Time constant of the moving average, in seconds of video.")
    ] = 1.0
    k: Annotated[int, Meta(ge=1, le=1000, description="Predictions of the last `n` that must agree.")] = 3
    n: Annotated[int, Meta(ge=1, le=1000, description="Predictions that have a vote.")] = 5
    hysteresis: Annotated[
        _Share,
        Meta(description="What the score of an action that goes on may fall under its threshold, or behind another's."),
    ] = 0.0
    min_duration_s: Annotated[
        float, Meta(ge=0, le=86_400, description="An event lasts at least this long once it has started.")
    ] = 0.0
    refractory_s: Annotated[
        float, Meta(ge=0, le=86_400, description="So long after an event's end none with the same label starts.")
    ] = 0.0
    update_every_s: Annotated[
        float, Meta(ge=0, le=86_400, description="An event that goes on is told again this often; 0 is never.")
    ] = 0.0

    def __post_init__(self) -> None:
        """Check what no field can say alone."""
        if self.k > self.n:
            raise ValueError(f"k is {self.k}, it must not be above n, which is {self.n}")


class Decider:
    """Makes answers and events of predictions, in the order of their `window.end_s`.

    At most one event is open at a time, and each that starts is ended once. After a step back in time, as when a file
    begins anew, the past is forgotten.
    """

    def __init__(
        self,
        labels: Sequence[str],
        options: DecisionOptions,
        *,
        background: Collection[str] = (),
        threshold: float = 0.0,
        new_id: Callable[[], str] | None = None,
        utc: Callable[[], str] = utc_now,
    ) -> None:
        """Make a decider.

        Args:
            labels: the classes of the model.
            options: how to decide.
            background: labels that open no event; "unknown" never does.
            threshold: the model's own threshold, 0 to 1, for where `options` says nothing.
            new_id: gives each event its id; a UUID version 7 unless given.
            utc: gives the `time` of an end that no prediction brought.

        Raises:
            ConfigError: `options` names a label that the model does not have.
        """
        self._labels, self._quiet, self._default_threshold = tuple(labels), {UNKNOWN, *background}, threshold
        self._new_id, self._utc = new_id or _uuid7, utc
        self._open: Event | None = None
        # Capture times: of the newest prediction, the newest with the open event's label, and its last record.
        self._now_s, self._seen_s, self._told_s = float("-inf"), 0.0, 0.0
        self._ended_s: dict[str, float] = {}
        self._configure(options)
        self._forget()

    @property
    def options(self) -> DecisionOptions:
        """How it decides now."""
        return self._options

    def reconfigure(self, options: DecisionOptions) -> None:
        """Decide by other options from the next prediction on; an event that is open stays so until then.

        Raises:
            ConfigError: as for a new decider; nothing has changed then.
        """
        before = self._options
        self._configure(options)
        if _smoothing(before) != _smoothing(options):
            self._forget()

    def update(self, prediction: Prediction) -> tuple[Prediction, list[Event]]:
        """The prediction as decided, and the events it ends, updates and starts, in that order.

        Its label is that with the highest score of those that reach their threshold, else "unknown". With the moving
        average its `score` and `scores` are the averages.
        """
        now_s = prediction.window.end_s
        events = []
        if now_s < self._now_s:
            events += self._finish(prediction.time)
            self._ended_s.clear()
        self._now_s = now_s
        scores = prediction.scores
        if self._average is not None:
            scores = self._average.add(scores, now_s)
        label = self._sure_label(scores)
        if self._vote is not None:
            label = self._vote.add(label)
        score = max(scores.values()) if label is None else scores[label]
        prediction = prediction.decided(label or UNKNOWN, score, scores)
        events += self._go_on(prediction)
        events += self._start(prediction)
        return prediction, events

    def finish(self) -> list[Event]:
        """The stream is over or interrupted: the end of the event that is open, if one is. A new stream may follow."""
        return self._finish(self._utc())

    def _configure(self, options: DecisionOptions) -> None:
        for label in options.thresholds:
            if label not in self._labels:
                import difflib

                close = difflib.get_close_matches(label, self._labels, 1)
                advice = f"did you mean {close[0]!r}?" if close else f"its labels are {', '.join(self._labels)}"
                raise ConfigError(f"thresholds: the model has no label {label!r}; {advice}")
        threshold = self._default_threshold if options.threshold is None else options.threshold
        self._thresholds = {label: options.thresholds.get(label, threshold) for label in self._labels}
        self._options = options

    def _forget(self) -> None:
        kind = self._options.smoothing
        self._average = MovingAverage(self._options.ema_seconds) if kind == "ema" else None
        self._vote = Vote(self._options.k, self._options.n) if kind == "k-of-n" else None

    def _sure_label(self, scores: dict[str, float]) -> str | None:
        """The label with the highest score of those that reach their threshold, if any does."""
        if self._open is not None:
            # Going on takes less than starting.
            scores = {**scores, self._open.label: scores[self._open.label] + self._options.hysteresis}
        sure = [label for label, score in scores.items() if score >= self._thresholds[label]]
        return max(sure, key=scores.__getitem__, default=None)

    def _go_on(self, prediction: Prediction) -> list[Event]:
        """What there is to tell about the open event: its end, an update, or most often nothing."""
        if self._open is None:
            return []
        peak_score = max(self._open.peak_score, prediction.scores[self._open.label])
        if prediction.label == self._open.label:
            self._seen_s = self._now_s
        elif self._now_s >= self._open.start_s + self._options.min_duration_s - TOLERANCE_S:
            return [self._end(self._open, prediction.time)]
        self._open = msgspec.structs.replace(self._open, peak_score=peak_score)
        every_s = self._options.update_every_s
        if not every_s or self._now_s < self._told_s + every_s - TOLERANCE_S:
            return []
        self._told_s = self._now_s
        self._open = msgspec.structs.replace(
            self._open, phase="update", revision=self._open.revision + 1, time=prediction.time
        )
        return [self._open]

    def _start(self, prediction: Prediction) -> list[Event]:
        label, now_s = prediction.label, self._now_s
        ended_s = self._ended_s.get(label, float("-inf"))
        resting = now_s < ended_s + self._options.refractory_s - TOLERANCE_S
        if self._open is not None or label in self._quiet or resting:
            return []
        self._seen_s = self._told_s = now_s
        self._open = Event(
            phase="start",
            id=self._new_id(),
            revision=0,
            time=prediction.time,
            source=prediction.source,
            model=prediction.model,
            label=label,
            peak_score=prediction.score,
            start_s=now_s,
        )
        return [self._open]

    def _end(self, event: Event, time: str) -> Event:
        """End the open event: where its label was last seen, or where its least duration is over, if that is later."""
        end_s = max(self._seen_s, min(self._now_s, event.start_s + self._options.min_duration_s))
        self._open = None
        self._ended_s[event.label] = end_s
        return msgspec.structs.replace(event, phase="end", revision=event.revision + 1, time=time, end_s=end_s)

    def _finish(self, time: str) -> list[Event]:
        events = [] if self._open is None else [self._end(self._open, time)]
        self._forget()
        return events


def _smoothing(options: DecisionOptions) -> tuple[object, ...]:
    return options.smoothing, options.ema_seconds, options.k, options.n


def _uuid7() -> str:
    """A time-ordered UUID: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562, section 5.7)."""
    # By hand: the modules `uuid` and `secrets` take long to import.
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    digits = f"{value & ~(0x3 << 62) | 0x2 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
