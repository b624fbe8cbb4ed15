"""From predictions to decisions: thresholds, and the events they open and close."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import TYPE_CHECKING

import msgspec

from edgehar.results import Event, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection

    from edgehar.results import Prediction

UNKNOWN = "unknown"


class Decider:
    """Answers "unknown" under a threshold, and makes an event of each run of predictions with the same label."""

    def __init__(self, threshold: float, background: Collection[str] = ()) -> None:
        """Make a decider.

        Args:
            threshold: a best score under this, 0 to 1, is answered "unknown".
            background: labels that open no event; "unknown" never does.
        """
        self._threshold = threshold
        self._quiet = {UNKNOWN, *background}
        self._open: Event | None = None
        self._last_s = 0.0

    def update(self, prediction: Prediction) -> tuple[Prediction, list[Event]]:
        """The prediction as decided, and the events it ends and starts, in that order."""
        if prediction.score < self._threshold:
            prediction = prediction.relabelled(UNKNOWN)
        events = []
        if self._open is not None and self._open.label == prediction.label:
            peak_score = max(self._open.peak_score, prediction.score)
            self._open = msgspec.structs.replace(self._open, peak_score=peak_score)
        else:
            events += self.finish()
            if prediction.label not in self._quiet:
                self._open = _start(prediction)
                events.append(self._open)
        self._last_s = prediction.window.end_s
        return prediction, events

    def finish(self) -> list[Event]:
        """The end of the event that is open, if one is."""
        if self._open is None:
            return []
        ended = msgspec.structs.replace(
            self._open, phase="end", revision=self._open.revision + 1, time=utc_now(), end_s=self._last_s
        )
        self._open = None
        return [ended]


def _start(prediction: Prediction) -> Event:
    return Event(
        phase="start",
        id=str(_uuid7()),
        revision=0,
        time=prediction.time,
        source=prediction.source,
        model=prediction.model,
        label=prediction.label,
        peak_score=prediction.score,
        start_s=prediction.window.end_s,
    )


def _uuid7() -> uuid.UUID:
    """A time-ordered UUID: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562, section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
