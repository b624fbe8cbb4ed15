"""Many decisions of the same answers: the device's own `Decider` at one threshold after the other."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgehar.nearest import nearest
from edgehar.errors import ConfigError
from edgehar.events.decider import Decider, DecisionOptions
from edgehar.records import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgehar.records import Event, Prediction

# Without `--decision`: a moving average over about as long as an action takes to be seen.
DEFAULT = DecisionOptions(smoothing="ema", ema_seconds=1.0)
# What is searched for, and what makes no difference here.
_NOT_TO_SET = ("threshold", "thresholds", "update_every_s")
# int8 scores are in steps of 1/256, and their sum may be one step more than 1.
_SLACK = 2 / 256
# Thresholds that are tried on validation clips; no score reaches 1, so the last is silence.
CANDIDATES = (*(step / 128 for step in range(1, 128)), 255 / 256, 1.0)


def decision_options(pairs: Sequence[str]) -> DecisionOptions:
    """Options of the decision from `KEY=VALUE`, over the default.

    Raises:
        ConfigError: a pair is none, or no option, or its value is out of bounds.
    """
    given: dict[str, Any] = {}
    names = [name for name in DecisionOptions.__struct_fields__ if name not in _NOT_TO_SET]
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"--decision {pair}: must be KEY=VALUE, such as smoothing=k-of-n")
        if key in ("threshold", "thresholds"):
            raise ConfigError(
                "--decision threshold: the thresholds are what is looked for; name those with --thresholds"
            )
        if key not in names:
            near = nearest(key, names)
            raise ConfigError(
                f"--decision {key}: no such option; "
                + (f"did you mean {near}?" if near else f"there are {', '.join(names)}")
            )
        given[key] = value
    # To ask for other smoothing is not to ask for the default's time constant, but that hurts nobody.
    everything = {**{name: getattr(DEFAULT, name) for name in names}, **given}
    try:
        return msgspec.convert(everything, DecisionOptions, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--decision: {error}") from error


def describe(options: DecisionOptions) -> str:
    """What differs from no smoothing at all, as `--decision` takes it."""
    plain = DecisionOptions()
    said = [f"smoothing={options.smoothing}"]
    if options.smoothing == "ema":
        said.append(f"ema_seconds={options.ema_seconds:g}")
    if options.smoothing == "k-of-n":
        said += [f"k={options.k}", f"n={options.n}"]
    for name in ("hysteresis", "min_duration_s", "refractory_s"):
        if (value := getattr(options, name)) != getattr(plain, name):
            said.append(f"{name}={value:g}")
    return " ".join(said)


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a detector decides but for its threshold.

    Attributes:
        labels: the classes of the model.
        background: those that are no event.
        options: smoothing and times.
    """

    labels: tuple[str, ...]
    background: frozenset[str]
    options: DecisionOptions = DEFAULT

    @property
    def positive(self) -> list[str]:
        """Labels that are events."""
        return [label for label in self.labels if label not in self.background]

    def at(self, threshold: float) -> DecisionOptions:
        """The options of the device for a threshold of the events.

        A background label needs the same, but at thresholds under 1/2 so much more that it never wins where an event
        reaches its own: else no threshold under 1/2 would be of any use.
        """
        quiet = min(1.0, max(threshold, 1 - threshold + _SLACK) if threshold < 0.5 else threshold)
        thresholds = {label: quiet if label in self.background else threshold for label in self.labels}
        return msgspec.structs.replace(self.options, thresholds=thresholds)


@dataclasses.dataclass(frozen=True)
class Decided:
    """What a stream came to.

    Attributes:
        spans: start and end of each event, capture times in seconds.
    """

    spans: list[tuple[float, float]]

    @property
    def seconds(self) -> float:
        """Time in events."""
        return sum(end - start for start, end in self.spans)


def decide(predictions: Sequence[Prediction], rule: Rule, threshold: float) -> Decided:
    """Events of a stream's answers by the device's `Decider`."""
    decider = Decider(rule.labels, rule.at(threshold), background=rule.background, new_id=_no_id, utc=_no_time)
    events: list[Event] = []
    for prediction in predictions:
        events += decider.update(prediction)[1]
    events += decider.finish()
    ends = [event.end_s for event in events if event.phase == "end" and event.end_s is not None]
    starts = [event.start_s for event in events if event.phase == "start"]
    return Decided(list(zip(starts, ends, strict=True)))


def answer(predictions: Sequence[Prediction], rule: Rule, threshold: float) -> str:
    """The label of a whole clip: that of the mean of its windows' scores, without smoothing."""
    scores = {label: float(np.mean([prediction.scores[label] for prediction in predictions])) for label in rule.labels}
    options = msgspec.structs.replace(rule.at(threshold), smoothing="none")
    decider = Decider(rule.labels, options, background=rule.background, new_id=_no_id, utc=_no_time)
    last = predictions[-1]
    mean = msgspec.structs.replace(last, scores=scores).with_raw(last.raw)
    return decider.update(mean)[0].label


def kind_of_answer(label: str, rule: Rule) -> str:
    """ "unknown", "background" or "event"."""
    if label == UNKNOWN:
        return "unknown"
    return "background" if label in rule.background else "event"


def lowest_threshold(alarms_per_hour: Callable[[float], float], most_per_hour: float) -> float:
    """The lowest threshold from which on no higher one has more false alarms than that.

    Alarms need not grow fewer with the threshold: one long alarm may fall apart into several.

    Args:
        alarms_per_hour: at a threshold.
        most_per_hour: how many are bearable.

    Returns:
        One of `CANDIDATES`; 1, which is silence, where nothing lower will do.
    """
    chosen = CANDIDATES[-1]
    for threshold in reversed(CANDIDATES[:-1]):
        if alarms_per_hour(threshold) > most_per_hour:
            break
        chosen = threshold
    return chosen


def _no_id() -> str:
    return ""


def _no_time() -> str:
    return ""
