"""A model in shadow: it answers beside the active one, on the same features, and opens no events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar.model.takeover import Comparison

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.events.decider import Decider
    from edgehar.model.network import Head
    from edgehar.records import Event, Prediction

_log = logging.getLogger(__name__)

# A longer pause between two answers is not watched time.
_LONGEST_STEP_S = 10.0


class Shadow:
    """The head of a candidate for one stream, with a decider of its own. For the thread that classifies.

    Attributes:
        head: the candidate.
        decider: decides on its answers; it is warm when the candidate takes over.
        comparison: what both have answered since the start; replaced at each answer, so any thread may read it.
    """

    def __init__(self, head: Head, decider: Decider, *, open_events: int = 0) -> None:
        """Start with nothing watched.

        Args:
            head: the candidate.
            decider: decides on its answers.
            open_events: events of the active model that are open now; the candidate has yet to start them.
        """
        self.head, self.decider = head, decider
        self.comparison = Comparison(alarms=open_events)
        self._last_s: float | None = None

    def answer(self, prediction: Prediction, features: npt.NDArray[np.int8], decided: str, events: list[Event]) -> None:
        """Answer about a window that the active model has answered.

        Args:
            prediction: the active model's answer, before its decider.
            features: of the window, int8 `(window, features)`.
            decided: the label that the active model's decider chose.
            events: what the active model reports.
        """
        raw = self.head.model.run(features).reshape(-1)
        output, manifest = self.head.model.output_quantization, self.head.bundle.manifest
        scores = ((raw.astype(np.int16) - output.zero_point) * output.scale).tolist()
        best = int(raw.argmax())
        own = msgspec.structs.replace(
            prediction,
            model=manifest.name,
            label=manifest.labels[best],
            score=scores[best],
            scores=dict(zip(manifest.labels, scores, strict=True)),
        )
        own, own_events = self.decider.update(own)
        started = [event for event in own_events if event.phase == "start"]
        for event in started:
            _log.info(
                "%s: %s in shadow reports %s, score %.2f", event.source, event.model, event.label, event.peak_score
            )
        now_s, before = prediction.window.end_s, self.comparison
        step_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        self.comparison = Comparison(
            hours=before.hours + (step_s if 0 <= step_s <= _LONGEST_STEP_S else 0.0) / 3600,
            answers=before.answers + 1,
            different=before.different + (own.label != decided),
            alarms=before.alarms + sum(event.phase == "start" for event in events),
            shadow_alarms=before.shadow_alarms + len(started),
            new_alarms=before.new_alarms + sum(event.label not in prediction.scores for event in started),
        )

    def interrupt(self) -> None:
        """Learn that the stream was interrupted."""
        self.decider.finish()
        self._last_s = None


def added(comparisons: list[Comparison]) -> Comparison:
    """Return the sum of the comparisons of several streams."""
    names = Comparison.__struct_fields__
    return Comparison(*(sum(getattr(comparison, name) for comparison in comparisons) for name in names))
