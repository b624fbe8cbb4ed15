"""Judge watched recordings by a rule: the alarms of each, its false alarms and finds."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from edgehar_training.alarms.counting import Find, Incident, Tally, tally
from edgehar_training.alarms.decisions import alarm_spans
from edgehar_training.alarms.watching import prediction_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from edgehar.events.decider import Decider
    from edgehar_training.alarms.decisions import Rule
    from edgehar_training.alarms.recordings import Recording
    from edgehar_training.alarms.watching import Watched

    Span: TypeAlias = tuple[float, float]

# Incidents of recordings of this length are also judged with a rule that has seen quiet footage before: in a shorter
# one a slow rule has no time to react, whatever the network says.
LONG_S = 5.0
# So much quiet footage is before them.
QUIET_S = 60.0


@dataclasses.dataclass(frozen=True, eq=False)
class Viewing:
    """A recording as one network watched it.

    Attributes:
        recording: which.
        watched: its scores.
        run: the run that the network is of; "" for a bundle.
        period_s: seconds from one answer to the next.
    """

    recording: Recording
    watched: Watched
    run: str
    period_s: float

    @property
    def incidents(self) -> list[Incident]:
        """The incidents to find, each with an end."""
        length_s = self.watched.length_s
        return [Incident(start_s, length_s if end_s is None else end_s) for start_s, end_s in self.recording.incidents]


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """A viewing and what a rule made of it.

    Attributes:
        viewing: which.
        spans: start and end of each alarm, in seconds.
        tally: what the alarms came to.
        from_quiet: finds by a rule that has seen quiet footage before; None where the recording is too short for it.
    """

    viewing: Viewing
    spans: list[Span]
    tally: Tally
    from_quiet: list[Find] | None


def judge(viewings: Sequence[Viewing], rule_of: Callable[[Viewing], Rule], tolerance_s: float) -> list[Judged]:
    """Judge every viewing by its rule.

    Args:
        viewings: recordings with their scores.
        rule_of: the rule of each, with its thresholds.
        tolerance_s: width of the borders of incidents.
    """
    quiet = _QuietStart(viewings)
    judged = []
    for viewing in viewings:
        rule, incidents, length_s = rule_of(viewing), viewing.incidents, viewing.watched.length_s
        spans = alarm_spans(viewing.watched.predictions, rule)
        found = tally(spans, incidents, length_s, tolerance_s)
        late = None
        if incidents and length_s >= LONG_S:
            spans_after = alarm_spans(viewing.watched.predictions, rule, quiet.decider(viewing, rule))
            late = tally(spans_after, incidents, length_s, tolerance_s).finds
        judged.append(Judged(viewing, spans, found, late))
    return judged


class _QuietStart:
    """Deciders that have seen quiet footage: the median scores of the ordinary recordings of the same network."""

    def __init__(self, viewings: Sequence[Viewing]) -> None:
        self._scores: dict[str, list[float]] = {}
        for run in {viewing.run for viewing in viewings}:
            known = [one.watched.scores for one in viewings if one.run == run and one.recording.ordinary]
            if known:
                self._scores[run] = np.median(np.concatenate(known), axis=0).tolist()
        self._warm: dict[tuple[str, int, float], Decider] = {}

    def decider(self, viewing: Viewing, rule: Rule) -> Decider:
        """A decider whose quiet past ends one answer before the first of the viewing."""
        first_s = round(viewing.watched.predictions[0].window.end_s, 3)
        key = (viewing.run, id(rule), first_s)
        if key not in self._warm:
            self._warm[key] = self._made(viewing, rule, first_s)
        return copy.deepcopy(self._warm[key])

    def _made(self, viewing: Viewing, rule: Rule, first_s: float) -> Decider:
        labels, period_s = viewing.watched.labels, viewing.period_s
        idle = [1.0 / max(1, len(rule.background)) if label in rule.background else 0.0 for label in labels]
        scores = self._scores.get(viewing.run, idle)
        decider = rule.decider()
        for number in range(int(QUIET_S / period_s), 0, -1):
            end_s = first_s - number * period_s
            decider.update(prediction_of(labels, scores, end_s, end_s))
        return decider
