"""Turn predictions into decisions and events: thresholds, smoothing, hysteresis and durations.

All times are capture times (`window.end_s`), so the same predictions always make the same events.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import ConfigError
from edgehar.events.options import DecisionOptions, resolve
from edgehar.events.smoothing import CameraBaseline, Cusum, MovingAverage, Vote, evidence_of
from edgehar.model.manifest import Decision
from edgehar.nearest import nearest
from edgehar.records import UNKNOWN, Event, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgehar.records import Prediction


# Tolerance of comparisons of times in seconds, because five times 0.4 is not exactly 2.
TOLERANCE_S = 1e-6


class Decider:
    """Turns predictions, in the order of their `window.end_s`, into answers and events.

    At most one event is open at a time, and every event that starts ends once. A step back in time, for example when a
    file restarts, resets the history.
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
            labels: classes of the model.
            options: thresholds, smoothing and durations.
            defaults: the model's own rules, which apply where `options` says nothing; its background labels never open
                an event, and neither does "unknown".
            new_id: returns the id of a new event. By default a UUID version 7.
            utc: returns the `time` of an end that no prediction caused.

        Raises:
            ConfigError: `options` names a label that the model does not have, or contradicts `defaults`.
        """
        self._labels, self._defaults = tuple(labels), defaults or Decision()
        self._background = [label for label in labels if label in {UNKNOWN, *self._defaults.background}]
        self._actions = [label for label in labels if label not in self._background]
        self._new_id, self._utc = new_id or _uuid7, utc
        self._open: Event | None = None
        # Capture times of the newest prediction, of the newest with the open event's label, and of its last record.
        self._now_s, self._seen_s, self._recorded_s = float("-inf"), 0.0, 0.0
        self._ended_s: dict[str, float] = {}
        # The newest values that were compared with the thresholds.
        self._compared: dict[str, float] = {}
        self._configure(options)
        self._forget_recent()
        self._forget_camera()

    @property
    def options(self) -> DecisionOptions:
        """The current options."""
        return self._options

    @property
    def is_open(self) -> bool:
        """Whether an event is open."""
        return self._open is not None

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of every label that opens events."""
        return {label: self._thresholds[label] for label in self._actions}

    @property
    def rules(self) -> Decision:
        """The rules in force: the options over the defaults of the model."""
        return self._rules

    @property
    def actions(self) -> tuple[str, ...]:
        """The labels that open events."""
        return tuple(self._actions)

    @property
    def threshold(self) -> float | None:
        """The threshold of all actions; None if they differ."""
        found = {self._thresholds[label] for label in self._actions}
        return found.pop() if len(found) == 1 else None

    def reconfigure(self, options: DecisionOptions) -> None:
        """Use other options from the next prediction on. An open event stays open.

        Raises:
            ConfigError: as for a new decider. The options stay as they were.
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
        and `scores` are the values that were compared: less the camera's baseline, averaged or summed up. With
        evidence, `score` is the evidence that was compared, and `scores` stay scores.
        """
        now_s = prediction.window.end_s
        events = []
        if now_s < self._now_s:
            events += self._finish(prediction.time)
            self._ended_s.clear()
            self._forget_camera()
        self._now_s = now_s
        relative = self._relative(prediction.scores)
        scores = self._compared = self._smoothed(self._evident(relative))
        label = self._best_label(scores)
        if self._vote is not None:
            label = self._vote.add(label)
        score = max(scores.values()) if label is None else scores[label]
        prediction = prediction.decided(label or UNKNOWN, score, self._shown(relative))
        events += self._continue(prediction)
        events += self._start(prediction)
        return prediction, events

    def finish(self) -> list[Event]:
        """End the open event, if any, because the stream ended or was interrupted. Another stream may follow."""
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
        self._average = self._shown_average = self._cusum = self._vote = None
        if rules.smoothing == "ema":
            start = self._quiet() if rules.start_from == "quiet" else None
            self._average = MovingAverage(rules.ema_seconds, start)
            self._shown_average = MovingAverage(rules.ema_seconds, start)
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
        """Return the scores of a scene without any action."""
        return dict.fromkeys(self._actions, 0.0) | dict.fromkeys(self._background, 1 / max(1, len(self._background)))

    def _relative(self, scores: dict[str, float]) -> dict[str, float]:
        """Return the scores, with the camera's baseline subtracted from those of actions."""
        if self._baseline is None:
            return scores
        return scores | self._baseline.subtract({label: scores[label] for label in self._actions}, self._now_s)

    def _evident(self, scores: dict[str, float]) -> dict[str, float]:
        """Return the scores of actions as evidence, if the rules say so."""
        rules = self._rules
        if not rules.counts_evidence:
            return scores
        found = {label: evidence_of(scores[label], rules.evidence_from, rules.evidence_to) for label in self._actions}
        return self._with_rest(found, scores)

    def _smoothed(self, scores: dict[str, float]) -> dict[str, float]:
        if self._average is not None:
            return self._average.add(scores, self._now_s)
        if self._cusum is None:
            return scores
        return self._with_rest(self._cusum.add({label: scores[label] for label in self._actions}, self._now_s), scores)

    def _with_rest(self, evidence: dict[str, float], scores: dict[str, float]) -> dict[str, float]:
        """Return all labels: what no action has is shared by the background labels as their scores are."""
        rest = 1 - max(evidence.values(), default=0.0)
        total = sum(scores[label] for label in self._background)
        for label in self._background:
            evidence[label] = rest * scores[label] / total if total else rest / len(self._background)
        return {label: evidence[label] for label in scores}

    def _shown(self, scores: dict[str, float]) -> dict[str, float]:
        """Return the scores that a prediction carries: those compared, or averages of scores if evidence was."""
        if not self._rules.counts_evidence:
            return self._compared
        return scores if self._shown_average is None else self._shown_average.add(scores, self._now_s)

    def _best_label(self, scores: dict[str, float]) -> str | None:
        """Return the label with the highest score among the labels that reach their threshold, or None."""
        if self._open is not None:
            # The open event may fall below its threshold by the hysteresis.
            scores = {**scores, self._open.label: scores[self._open.label] + self._rules.hysteresis}
        # Without evidence there is no answer, even at a threshold of 0.
        sure = [label for label, score in scores.items() if score >= self._thresholds[label] and score > 0]
        if self._rules.counts_evidence:
            # Background has what actions lack, so it would always win against an action with less than one half.
            sure = [label for label in sure if label in self._actions] or sure
        return max(sure, key=scores.__getitem__, default=None)

    def _continue(self, prediction: Prediction) -> list[Event]:
        """Return the end or an update of the open event, or most often nothing."""
        if self._open is None:
            return []
        peak_score = max(self._open.peak_score, self._compared[self._open.label])
        if prediction.label == self._open.label:
            self._seen_s = self._now_s
        elif self._now_s >= self._open.start_s + self._rules.min_duration_s - TOLERANCE_S:
            return [self._end(self._open, prediction.time)]
        self._open = msgspec.structs.replace(self._open, peak_score=peak_score)
        every_s = self._rules.update_every_s
        if not every_s or self._now_s < self._recorded_s + every_s - TOLERANCE_S:
            return []
        self._recorded_s = self._now_s
        self._open = msgspec.structs.replace(
            self._open, phase="update", revision=self._open.revision + 1, time=prediction.time
        )
        return [self._open]

    def _start(self, prediction: Prediction) -> list[Event]:
        label, now_s = prediction.label, self._now_s
        ended_s = self._ended_s.get(label, float("-inf"))
        refractory = now_s < ended_s + self._rules.refractory_s - TOLERANCE_S
        if self._open is not None or label not in self._actions or refractory:
            return []
        self._seen_s = self._recorded_s = now_s
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
        """End the open event when its label was last seen, or after its minimum duration if that is later."""
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
        *(rules.evidence_from, rules.evidence_to, rules.smoothing, rules.start_from, rules.ema_seconds),
        *(rules.k, rules.n, rules.cusum_reference, rules.cusum_seconds),
    )


def _baseline(rules: Decision) -> tuple[float, ...]:
    return (
        *(rules.baseline_share, rules.baseline_seconds, rules.baseline_reference),
        *(rules.baseline_most, rules.baseline_warm_up_s),
    )


def _uuid7() -> str:
    """Return a time-ordered UUID: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562, section 5.7)."""
    # Because the `uuid` module has no version 7 before Python 3.14.
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    digits = f"{value & ~(0x3 << 62) | 0x2 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
