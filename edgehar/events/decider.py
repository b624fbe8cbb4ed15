"""From predictions to decisions: thresholds, smoothing, and the events they open, update and close.

All time is capture time (`window.end_s`): the same predictions make the same events, whatever the wall clock does.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import ConfigError
from edgehar.events.options import DecisionOptions, resolve
from edgehar.events.smoothing import CameraBaseline, Cusum, MovingAverage, Vote
from edgehar.model.manifest import Decision
from edgehar.nearest import nearest
from edgehar.records import UNKNOWN, Event, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgehar.records import Prediction


# Times that differ by less than this are the same: five times 0.4 s shall be 2 s.
TOLERANCE_S = 1e-6


class Decider:
    """Makes answers and events of predictions, in the order of their `window.end_s`.

    At most one event is open at a time, and each that starts is ended once. After a step back in time, as when a file
    begins anew, the past is forgotten.
    """

    def __init__(
        self,
        labels: Sequence[str],
        options: DecisionOptions,
        defaults: Decision | None = None,
        *,
        new_id: Callable[[], str] | None = None,
        utc: Callable[[], str] = utc_now,
    ) -> None:
        """Create a decider.

        Args:
            labels: the classes of the model.
            options: how to decide.
            defaults: the model's own rules, which apply where `options` says nothing; its background labels never open
                an event, and neither does "unknown".
            new_id: gives each event its id; a UUID version 7 unless given.
            utc: gives the `time` of an end that no prediction brought.

        Raises:
            ConfigError: `options` names a label that the model does not have, or contradicts `defaults`.
        """
        self._labels, self._defaults = tuple(labels), defaults or Decision()
        self._background = [label for label in labels if label in {UNKNOWN, *self._defaults.background}]
        self._actions = [label for label in labels if label not in self._background]
        self._new_id, self._utc = new_id or _uuid7, utc
        self._open: Event | None = None
        # Capture times: of the newest prediction, the newest with the open event's label, and its last record.
        self._now_s, self._seen_s, self._told_s = float("-inf"), 0.0, 0.0
        self._ended_s: dict[str, float] = {}
        self._configure(options)
        self._forget_recent()
        self._forget_camera()

    @property
    def options(self) -> DecisionOptions:
        """How it decides now."""
        return self._options

    def reconfigure(self, options: DecisionOptions) -> None:
        """Decide by other options from the next prediction on; an event that is open stays so until then.

        Raises:
            ConfigError: as for a new decider; nothing has changed then.
        """
        before = self._rules
        self._configure(options)
        if _smoothing(before) != _smoothing(self._rules):
            self._forget_recent()
        if _baseline(before) != _baseline(self._rules):
            self._forget_camera()

    def update(self, prediction: Prediction) -> tuple[Prediction, list[Event]]:
        """Return the prediction as decided, and the events it ends, updates and starts, in that order.

        Its label is that with the highest score of the labels that reach their threshold, else "unknown". Its `score`
        and `scores` are the values that were compared: less the camera's baseline, averaged, or evidence.
        """
        now_s = prediction.window.end_s
        events = []
        if now_s < self._now_s:
            events += self._finish(prediction.time)
            self._ended_s.clear()
            self._forget_camera()
        self._now_s = now_s
        scores = self._smoothed(self._relative(prediction.scores))
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
                close = nearest(label, self._labels)
                advice = f"did you mean {close!r}?" if close else f"its labels are {', '.join(self._labels)}"
                raise ConfigError(f"thresholds: the model has no label {label!r}; {advice}")
        rules = resolve(options, self._defaults)
        self._thresholds = {label: rules.thresholds.get(label, rules.threshold) for label in self._labels}
        self._options, self._rules = options, rules

    def _forget_recent(self) -> None:
        """Start smoothing again, as at the start of a stream."""
        rules = self._rules
        self._average = self._cusum = self._vote = None
        if rules.smoothing == "ema":
            self._average = MovingAverage(rules.ema_seconds, self._quiet() if rules.start_from == "quiet" else None)
        elif rules.smoothing == "k-of-n":
            self._vote = Vote(rules.k, rules.n)
        elif rules.smoothing == "cusum":
            self._cusum = Cusum(rules.cusum_reference, rules.cusum_seconds)

    def _forget_camera(self) -> None:
        """Start the camera's baseline again; an interruption alone does not, because the scene is still the same."""
        rules = self._rules
        self._baseline = None
        if rules.baseline_share:
            self._baseline = CameraBaseline(
                rules.baseline_share,
                rules.baseline_seconds,
                reference=rules.baseline_reference,
                most=rules.baseline_most,
                warm_up_s=rules.baseline_warm_up_s,
            )

    def _quiet(self) -> dict[str, float]:
        """Scores of a scene without any action."""
        return dict.fromkeys(self._actions, 0.0) | dict.fromkeys(self._background, 1 / max(1, len(self._background)))

    def _relative(self, scores: dict[str, float]) -> dict[str, float]:
        """The scores, those of actions less the camera's baseline."""
        if self._baseline is None:
            return scores
        return scores | self._baseline.subtract({label: scores[label] for label in self._actions}, self._now_s)

    def _smoothed(self, scores: dict[str, float]) -> dict[str, float]:
        if self._average is not None:
            return self._average.add(scores, self._now_s)
        if self._cusum is None:
            return scores
        evidence = self._cusum.add({label: scores[label] for label in self._actions}, self._now_s)
        # What no action has is shared by the background labels as their scores are.
        rest = 1 - max(evidence.values(), default=0.0)
        total = sum(scores[label] for label in self._background)
        for label in self._background:
            evidence[label] = rest * scores[label] / total if total else rest / len(self._background)
        return {label: evidence[label] for label in scores}

    def _sure_label(self, scores: dict[str, float]) -> str | None:
        """The label with the highest score of those that reach their threshold, if any does."""
        if self._open is not None:
            # Going on takes less than starting.
            scores = {**scores, self._open.label: scores[self._open.label] + self._rules.hysteresis}
        # Without evidence there is no answer, even at a threshold of 0.
        sure = [label for label, score in scores.items() if score >= self._thresholds[label] and score > 0]
        return max(sure, key=scores.__getitem__, default=None)

    def _go_on(self, prediction: Prediction) -> list[Event]:
        """What there is to tell about the open event: its end, an update, or most often nothing."""
        if self._open is None:
            return []
        peak_score = max(self._open.peak_score, prediction.scores[self._open.label])
        if prediction.label == self._open.label:
            self._seen_s = self._now_s
        elif self._now_s >= self._open.start_s + self._rules.min_duration_s - TOLERANCE_S:
            return [self._end(self._open, prediction.time)]
        self._open = msgspec.structs.replace(self._open, peak_score=peak_score)
        every_s = self._rules.update_every_s
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
        resting = now_s < ended_s + self._rules.refractory_s - TOLERANCE_S
        if self._open is not None or label not in self._actions or resting:
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
        end_s = max(self._seen_s, min(self._now_s, event.start_s + self._rules.min_duration_s))
        self._open = None
        self._ended_s[event.label] = end_s
        return msgspec.structs.replace(event, phase="end", revision=event.revision + 1, time=time, end_s=end_s)

    def _finish(self, time: str) -> list[Event]:
        events = [] if self._open is None else [self._end(self._open, time)]
        self._forget_recent()
        return events


def _smoothing(rules: Decision) -> tuple[object, ...]:
    return (
        *(rules.smoothing, rules.start_from, rules.ema_seconds),
        *(rules.k, rules.n, rules.cusum_reference, rules.cusum_seconds),
    )


def _baseline(rules: Decision) -> tuple[float, ...]:
    return (
        *(rules.baseline_share, rules.baseline_seconds, rules.baseline_reference),
        *(rules.baseline_most, rules.baseline_warm_up_s),
    )


def _uuid7() -> str:
    """A time-ordered UUID: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562, section 5.7)."""
    # By hand: the modules `uuid` and `secrets` take long to import.
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    digits = f"{value & ~(0x3 << 62) | 0x2 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
