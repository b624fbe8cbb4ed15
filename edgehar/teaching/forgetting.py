"""Measure what a new head forgets: which remembered training windows of old actions it still names."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import BundleError
from edgehar.events.smoothing import evidence_of
from edgehar.model.remembered import REMEMBERED_FILE, RememberedWindows, parse
from edgehar.teaching.head import STATISTICS
from edgehar.teaching.softmax_regression import log_softmax

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy.typing as npt

    from edgehar.model.bundle import ModelBundle
    from edgehar.model.manifest import Decision
    from edgehar.teaching.head import Correction

log = logging.getLogger(__name__)

# The share of the windows of an action named by the old head that the new one may lose.
MOST_FORGOTTEN = 0.03


@dataclass(frozen=True)
class Kept:
    """Remembered windows of one action.

    Attributes:
        before: windows that the old head names at the action's threshold.
        after: those of them that the new head still names.
    """

    before: int
    after: int

    @property
    def forgotten(self) -> bool:
        """Whether more is lost than allowed."""
        return self.before - self.after > MOST_FORGOTTEN * self.before


@dataclass(frozen=True)
class Memory:
    """What a bundle remembers, as the correction of its head sees it.

    Attributes:
        windows: the windows.
        pooled: their statistics, float32 `(windows, 3 * features)`.
        rules: of the bundle.
    """

    windows: RememberedWindows
    pooled: npt.NDArray[np.float32]
    rules: Decision

    def kept(self, correction: Correction, labels: Sequence[str], rules: Decision) -> dict[str, Kept]:
        """Return how many windows of each old action the old and the new head name.

        Args:
            correction: of the old head.
            labels: of the new head, those of the old one first.
            rules: of the new bundle.
        """
        truth, old = self.windows.truth, self.windows.logits.astype(np.float64)
        before = named(old, truth, self.windows.labels, self.rules)
        after = before & named(correction.logits(old, self.pooled), truth, labels, rules)
        background = {*self.rules.background, *rules.background}
        return {
            label: Kept(int(before[truth == index].sum()), int(after[truth == index].sum()))
            for index, label in enumerate(self.windows.labels)
            if label not in background and (truth == index).any()
        }

    def taught(self, correction: Correction, labels: Sequence[str], head: bytes) -> bytes:
        """Return the file for the new bundle: the same windows, with the logits of the new head."""
        logits = correction.logits(self.windows.logits, self.pooled).astype(np.float32)
        digest = hashlib.sha256(head).hexdigest()
        return RememberedWindows(digest, tuple(labels), self.windows.truth, logits, self.windows.codes).pack()


def read_memory(bundle: ModelBundle) -> Memory | None:
    """Return what a bundle remembers; None if it remembers nothing, or its head was changed by another tool.

    Raises:
        BundleError: the file is damaged, or of another model.
    """
    manifest = bundle.manifest
    if REMEMBERED_FILE not in manifest.files:
        return None
    name = f"{bundle.path}: {REMEMBERED_FILE}"
    windows = parse(bundle.read(REMEMBERED_FILE), name)
    if windows.head != manifest.files["head.tflite"]:
        log.warning("%s: is of another head; what the new head forgets is not measured", name)
        return None
    if list(windows.labels) != manifest.labels:
        raise BundleError(f"{name}: its labels differ from the manifest's; convert the model again")
    return Memory(windows, windows.pooled(manifest.quantization.seam), manifest.decision)


def check_columns(memory: Memory, pooled: int, name: str) -> None:
    """Raise BundleError if the windows have other features than the model."""
    if memory.pooled.shape[1] != pooled:
        found, wanted = memory.pooled.shape[1] // STATISTICS, pooled // STATISTICS
        raise BundleError(f"{name}: has {found} features, and the model {wanted}; convert the model again")


def named(
    logits: npt.NDArray[Any], truth: npt.NDArray[np.intp], labels: Sequence[str], rules: Decision
) -> npt.NDArray[np.bool_]:
    """Return whether each window is given its own label, by its own score and the threshold, bool `(windows,)`.

    Args:
        logits: float `(windows, labels)`.
        truth: index of the label of each window.
        labels: of the logits.
        rules: thresholds; smoothing is left out, because a window stands alone.
    """
    scores = np.exp(log_softmax(logits))
    thresholds = np.array([rules.thresholds.get(label, rules.threshold) for label in labels])
    rows = np.arange(len(truth))
    own = scores[rows, truth]
    if rules.counts_evidence:
        evidence = [evidence_of(score, rules.evidence_from, rules.evidence_to) for score in own.tolist()]
        return np.asarray(np.array(evidence) >= thresholds[truth])
    reached = np.where(scores >= thresholds, scores, -1.0)
    return np.asarray((own >= thresholds[truth]) & (reached.argmax(axis=1) == truth))
