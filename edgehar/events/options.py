"""Settings of `[decision]`, and how they combine with the defaults of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError
from edgehar.events.smoothing import score_of
from edgehar.model.manifest import Decision, Duration, Share, Smoothing, StartFrom, TimeConstant, Votes

if TYPE_CHECKING:
    from collections.abc import Sequence

# The settings that belong to each kind of smoothing.
_SETTINGS = {
    "none": (),
    "ema": ("ema_seconds", "start_from"),
    "k-of-n": ("k", "n"),
    "cusum": ("cusum_reference", "cusum_seconds"),
}


class DecisionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How scores become answers and events. A setting that is None leaves the choice to the model."""

    threshold: Annotated[
        Share | None,
        Meta(description='A class needs this score, or the answer is "unknown".', examples=[0.6]),
    ] = None
    thresholds: Annotated[
        dict[str, Share],
        Meta(
            description="Thresholds of single classes by their label, instead of `threshold`.",
            examples=[{"fight": 0.8}],
        ),
    ] = msgspec.field(default_factory=dict)
    evidence_from: Annotated[
        Share | None,
        Meta(description="An action's score up to this counts as 0; above, its log-odds count.", examples=[0.7]),
    ] = None
    evidence_to: Annotated[
        Share | None,
        Meta(description="An action's score from this on is full evidence (1).", examples=[0.99]),
    ] = None
    smoothing: Annotated[
        Smoothing | None,
        Meta(
            description='"ema" averages the scores over `ema_seconds`, "k-of-n" needs the same answer `k` times in `n`,'
            ' "cusum" adds up evidence over time.',
            examples=["ema"],
        ),
    ] = None
    start_from: Annotated[
        StartFrom | None,
        Meta(
            description='"score": "ema" starts from the first score of a stream. "quiet": it starts as if nothing had '
            "happened before.",
            examples=["quiet"],
        ),
    ] = None
    ema_seconds: Annotated[
        TimeConstant | None,
        Meta(description="Time constant of the moving average, in seconds of video.", examples=[1.0]),
    ] = None
    k: Annotated[Votes | None, Meta(description="Predictions of the last `n` that must agree.", examples=[3])] = None
    n: Annotated[Votes | None, Meta(description="Number of last predictions that vote.", examples=[5])] = None
    cusum_reference: Annotated[
        Share | None,
        Meta(description="Evidence grows while a score is above this, and shrinks while it is below.", examples=[0.5]),
    ] = None
    cusum_seconds: Annotated[
        TimeConstant | None,
        Meta(
            description="Evidence is the sum of (score - `cusum_reference`) x seconds, divided by this, from 0 to 1.",
            examples=[1.0],
        ),
    ] = None
    baseline_share: Annotated[
        Share | None,
        Meta(
            description="Share of the camera's slow mean score that is subtracted from an action's score; 0 is off.",
            examples=[0.5],
        ),
    ] = None
    baseline_seconds: Annotated[
        TimeConstant | None,
        Meta(description="Time constant of the slow mean, in seconds of video.", examples=[60.0]),
    ] = None
    baseline_reference: Annotated[
        Share | None,
        Meta(description="The part of the slow mean under this is not subtracted.", examples=[0.1]),
    ] = None
    baseline_most: Annotated[
        Share | None, Meta(description="The most that is subtracted from a score.", examples=[0.5])
    ] = None
    baseline_warm_up_s: Annotated[
        Duration | None,
        Meta(description="Seconds of video until the full share is subtracted.", examples=[30.0]),
    ] = None
    hysteresis: Annotated[
        Share | None,
        Meta(
            description="How far the score of an open event may fall under its threshold, or behind another class.",
            examples=[0.1],
        ),
    ] = None
    min_duration_s: Annotated[
        Duration | None, Meta(description="An event lasts at least this long once it has started.", examples=[2.0])
    ] = None
    refractory_s: Annotated[
        Duration | None,
        Meta(
            description="For this long after the end of an event, no event with the same label starts.",
            examples=[10.0],
        ),
    ] = None
    update_every_s: Annotated[
        Duration | None,
        Meta(description="Interval between updates of an open event; 0 sends none.", examples=[5.0]),
    ] = None

    def __post_init__(self) -> None:
        """Check `k` against `n`."""
        if self.k is not None and self.n is not None and self.k > self.n:
            raise ValueError(f"k is {self.k}, it must not be above n, which is {self.n}")


def resolve(options: DecisionOptions, defaults: Decision) -> Decision:
    """Return the rules that apply: the options where they are set, else the defaults of the model.

    A `threshold` of the options overrides every threshold of the model, those of single classes too.

    Raises:
        ConfigError: an option contradicts a default of the model.
    """
    names = [name for name in DecisionOptions.__struct_fields__ if name != "thresholds"]
    chosen = {name: value for name in names if (value := getattr(options, name)) is not None}
    kept = {} if options.threshold is not None else defaults.thresholds
    try:
        return msgspec.structs.replace(defaults, **chosen, thresholds={**kept, **options.thresholds})
    except ValueError as error:
        raise ConfigError(f"decision: {error}; the model sets what the configuration leaves out") from error


def thresholds_as_scores(rules: Decision, labels: Sequence[str]) -> dict[str, float]:
    """Return the threshold of each label as a score: the same, unless evidence is compared."""
    found = {label: rules.thresholds.get(label, rules.threshold) for label in labels}
    if not rules.counts_evidence:
        return found
    return {
        label: value
        if label in rules.background or not value
        else score_of(value, rules.evidence_from, rules.evidence_to)
        for label, value in found.items()
    }


def describe(rules: Decision) -> str:
    """Return the rules that differ from none as `key=value` words, for example "threshold=0.4 smoothing=ema".

    Settings of a smoothing that is off, and of a baseline that is off, are left out.
    """
    plain, idle = Decision(), _idle(rules)
    said = [f"threshold={rules.threshold:g}"]
    said += [f"thresholds.{label}={value:g}" for label, value in rules.thresholds.items()]
    for name in Decision.__struct_fields__:
        value = getattr(rules, name)
        if name in ("threshold", "thresholds", "background") or name in idle:
            continue
        # The settings of a rule that is on are said even where they are the default.
        if value != getattr(plain, name) or name in _SETTINGS[rules.smoothing]:
            said.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return " ".join(said)


def _idle(rules: Decision) -> set[str]:
    """Return the settings of rules that are off."""
    idle = {name for kind, names in _SETTINGS.items() if kind != rules.smoothing for name in names}
    if not rules.counts_evidence:
        idle |= {"evidence_from", "evidence_to"}
    if not rules.baseline_share:
        idle |= {name for name in Decision.__struct_fields__ if name.startswith("baseline_")}
    return idle
