"""Results of teaching, and why a new head is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import EdgeharError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgehar.teaching.forgetting import Kept
    from edgehar.teaching.lesson import Method


@dataclass(frozen=True)
class LabelResult:
    """Answers to the clips of one label while their group was held out.

    Attributes:
        clips: how many there are.
        before: right answers of the old head.
        after: right answers of the new head.
    """

    clips: int
    before: int
    after: int


@dataclass(frozen=True)
class OrdinaryResult:
    """Answers to random moments without a label.

    Attributes:
        moments: how many there are.
        before: moments that the old head reports as an action.
        after: moments that the new head reports as an action.
    """

    moments: int = 0
    before: int = 0
    after: int = 0


@dataclass(frozen=True)
class Verdict:
    """Results of teaching, before anything is written.

    Attributes:
        results: by label.
        ordinary: a fair sample of the time watched.
        protocol: how clips were held out.
        method: of the head that is fitted to all clips.
        unreadable: clips that were left out, with why.
        kept: of each old action, the remembered training windows that the new head still names; None if the bundle
            remembers none, so that forgetting cannot be measured.
    """

    results: Mapping[str, LabelResult]
    protocol: str
    method: Method
    unreadable: Mapping[str, str] = field(default_factory=dict)
    ordinary: OrdinaryResult = OrdinaryResult()
    kept: Mapping[str, Kept] | None = None

    @property
    def before(self) -> float:
        """Share of held-out clips the old head got right, mean over labels."""
        return _balanced([(result.before, result.clips) for result in self.results.values()])

    @property
    def after(self) -> float:
        """Share of held-out clips the new head got right, mean over labels."""
        return _balanced([(result.after, result.clips) for result in self.results.values()])

    @property
    def problem(self) -> str | None:
        """Why the new head is refused; None if it is better on held-out clips, not louder, and forgets little."""
        if self.before == self.after == 1:
            return "the old head already gets all held-out clips right; add clips that it gets wrong"
        if self.after <= self.before:
            shares = f"{self.after:.0%} of held-out clips right, the old one {self.before:.0%}"
            return f"the new head gets {shares}; add clips, or correct wrong labels"
        found = self.ordinary
        if found.after > found.before:
            counts = f"{found.after} of {found.moments} random moments as an action, the old one {found.before}"
            return f"the new head reports {counts}; label more of what is ordinary"
        if lost := [label for label, kept in (self.kept or {}).items() if kept.forgotten]:
            kept = (self.kept or {})[lost[0]]
            counts = f"{kept.after} of {kept.before} training windows of {lost[0]!r} that the old one names"
            return f"the new head names only {counts}; withdraw labels of scenes that look like {lost[0]!r}"
        return None


class NotBetterError(EdgeharError):
    """The new head does not beat the old one; `verdict` has the table."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


def _balanced(shares: list[tuple[int, int]]) -> float:
    return float(np.mean([right / clips for right, clips in shares]))
