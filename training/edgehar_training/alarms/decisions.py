"""Decide many times on the same predictions: the device's own `Decider`, at one threshold after the other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.manifest import Decision
from edgehar.records import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from edgehar.records import Event, Prediction

    Span: TypeAlias = tuple[float, float]

# int8 scores are in steps of 1/256, and their sum may be one step more than 1.
_SLACK = 2 / 256
# Thresholds that are tried on validation clips. No score reaches 1, so the last one is silence.
CANDIDATES = (*(step / 128 for step in range(1, 128)), 255 / 256, 1.0)
_PLAIN = DecisionOptions()


@dataclasses.dataclass(frozen=True)
class Rule:
    """The rules of a detector, apart from its threshold.

    Attributes:
        labels: the classes of the model.
        decision: its rules, with the labels that never open an event.
        alarms: labels whose events are alarms; None for all that are not background.
    """

    labels: tuple[str, ...]
    decision: Decision
    alarms: tuple[str, ...] | None = None

    @property
    def background(self) -> frozenset[str]:
        """Labels that never open an event."""
        return frozenset(self.decision.background)

    @property
    def positive(self) -> list[str]:
        """Labels whose events are alarms."""
        return [label for label in self.labels if label not in self.background and self._alarms(label)]

    def at(self, threshold: float) -> Rule:
        """Return the rule with this threshold of the alarms.

        Background labels get the same threshold. Under 1/2 they get so much more that they never win where an alarm
        reaches its own threshold: otherwise a threshold under 1/2 would have no effect. Other labels keep theirs.
        """
        quiet = min(1.0, max(threshold, 1 - threshold + _SLACK) if threshold < 0.5 else threshold)
        changed = dict.fromkeys(self.positive, threshold) | dict.fromkeys(self.background, quiet)
        thresholds = {**self.decision.thresholds, **changed}
        return dataclasses.replace(self, decision=msgspec.structs.replace(self.decision, thresholds=thresholds))

    def decider(self) -> Decider:
        """Return a new decider of this rule; its events have neither ids nor times of a clock."""
        return Decider(self.labels, _PLAIN, self.decision, new_id=str, utc=str)

    def _alarms(self, label: str) -> bool:
        return self.alarms is None or label in self.alarms


def alarm_spans(predictions: Sequence[Prediction], rule: Rule, decider: Decider | None = None) -> list[Span]:
    """Return start and end of each alarm in a stream, by the device's `Decider`; capture times in seconds.

    Args:
        predictions: of the stream, in order.
        rule: with its thresholds.
        decider: of this rule, which may have seen earlier predictions; an alarm that started in them and still rings
            is one of the stream, with its early start.
    """
    decider, positive = decider or rule.decider(), set(rule.positive)
    begin_s = predictions[0].window.end_s if predictions else 0.0
    events: list[Event] = []
    for prediction in predictions:
        events += decider.update(prediction)[1]
    events += decider.finish()
    return [
        (event.start_s, event.end_s)
        for event in events
        if event.end_s is not None and event.label in positive and event.end_s >= begin_s
    ]


def answer(predictions: Sequence[Prediction], rule: Rule) -> str:
    """Return the label of a whole clip: that of the mean of its windows' scores, without smoothing."""
    scores = {label: float(np.mean([prediction.scores[label] for prediction in predictions])) for label in rule.labels}
    plain = msgspec.structs.replace(rule.decision, smoothing="none", baseline_share=0.0)
    last = predictions[-1]
    mean = msgspec.structs.replace(last, scores=scores).with_raw(last.raw)
    return dataclasses.replace(rule, decision=plain).decider().update(mean)[0].label


def kind_of_answer(label: str, rule: Rule) -> str:
    """Return "unknown", "background" or "event"."""
    if label == UNKNOWN:
        return "unknown"
    return "background" if label in rule.background else "event"


def lowest_threshold(alarms_per_hour: Callable[[float], float], most_per_hour: float) -> float:
    """Return the lowest threshold from which on no higher one has more false alarms than that.

    Alarms need not get fewer as the threshold rises: one long alarm may split into several.

    Args:
        alarms_per_hour: at a threshold.
        most_per_hour: how many are acceptable.

    Returns:
        One of `CANDIDATES`; 1, which is silence, if no lower one is good enough.
    """
    chosen = CANDIDATES[-1]
    for threshold in reversed(CANDIDATES[:-1]):
        if alarms_per_hour(threshold) > most_per_hour:
            break
        chosen = threshold
    return chosen
