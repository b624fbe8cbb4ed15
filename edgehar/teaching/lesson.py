"""Examples to teach a head: every window's logits and pooled features, with labels, clips and groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.teaching.head import Correction, Gate, everywhere, squared_distances, with_new_labels
from edgehar.teaching.softmax_regression import Examples, fit, log_softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Principal components that the pooled features are reduced to before the fit.
COMPONENTS = 128
PENALTIES = (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01)
FOLDS = 5
# Middles of the clips of one label, and the share of held-out windows that lie within the radius around them. A new
# label must be found in scenes that differ; a correction of known labels that reaches too far costs real events.
CENTRES, NEAR_NEW, NEAR_KNOWN = 32, 0.9, 0.5
_GATE_WINDOWS, _GATE_ROUNDS = 1000, 3
# A clip that the old head gets wrong counts this many times.
_MISTAKE_WEIGHT = 2.0


@dataclass(frozen=True)
class ClipData:
    """One clip as the head sees it.

    Attributes:
        label: index of its label among those of the new head.
        group: what it shares with other clips.
        old: logits of the old head; float `(windows, old labels)`.
        pooled: means, maxima and deviations of features; float32 `(windows, 3 * features)`.
    """

    label: int
    group: str
    old: Floats
    pooled: npt.NDArray[np.float32]


class Lesson:
    """Clips with labels, and the heads that can be fitted to them."""

    def __init__(self, clips: Sequence[ClipData], labels: int) -> None:
        """Make a lesson from clips; `labels` is how many the new head has."""
        self._clips, self._labels = list(clips), labels

    def best_penalty(self, indices: Sequence[int]) -> float:
        """Choose the penalty with the least log loss over clips of held-out groups, within the given clips."""
        losses = dict.fromkeys(PENALTIES, 0.0)
        for train, held_out in self.folds(indices):
            space = _Space.of([self._clips[i].pooled for i in train])
            gate = everywhere(len(space.mean))
            for penalty in PENALTIES:
                correction = space.correction(*self._fit(train, penalty, space), gate)
                for i in held_out:
                    losses[penalty] -= float(self._clip_log_scores(i, correction)[self._clips[i].label])
        return min(losses, key=losses.__getitem__)

    def fit(self, indices: Sequence[int], penalty: float) -> Correction:
        """Fit a correction to the given clips."""
        space = _Space.of([self._clips[i].pooled for i in indices])
        return space.correction(*self._fit(indices, penalty, space), self._gate(indices))

    def predicted(self, index: int, correction: Correction | None) -> int:
        """Return the label of a clip: the largest mean score over its windows. None is the old head."""
        return int(self._clip_log_scores(index, correction).argmax())

    def folds(self, indices: Sequence[int]) -> list[tuple[list[int], list[int]]]:
        """Split clips into training and held-out parts that share no group, labels spread evenly.

        Groups are dealt out one after the other, the largest first, each to the fold that has fewest clips of its most
        frequent label. There is no randomness: the same clips give the same folds.
        """
        groups: dict[str, list[int]] = {}
        for i in indices:
            groups.setdefault(self._clips[i].group, []).append(i)
        count = min(FOLDS, len(groups))
        parts: list[list[int]] = [[] for _ in range(count)]
        for _, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
            label = Counter(self._clips[i].label for i in members).most_common(1)[0][0]
            parts.sort(key=lambda part: (sum(self._clips[i].label == label for i in part), len(part)))
            parts[0].extend(members)
        folds = []
        for part in parts:
            train = [i for i in indices if i not in set(part)]
            if train and part:
                folds.append((train, part))
        return folds

    def _fit(self, indices: Sequence[int], penalty: float, space: _Space) -> tuple[Floats, Floats]:
        clips = [self._clips[i] for i in indices]
        per_label = Counter(clip.label for clip in clips)
        weights = []
        for i, clip in zip(indices, clips, strict=True):
            share = 1.0 / per_label[clip.label] / len(clip.pooled)
            weights += [share * (1.0 if self.predicted(i, None) == clip.label else _MISTAKE_WEIGHT)] * len(clip.pooled)
        examples = Examples(
            np.concatenate([space.project(clip.pooled) for clip in clips]),
            np.concatenate([with_new_labels(clip.old, self._labels) for clip in clips]),
            np.concatenate([np.full(len(clip.pooled), clip.label) for clip in clips]),
            np.array(weights) / sum(weights),
        )
        # A label without a clip keeps its old logit: nothing is known that could change it.
        free = np.array([label in per_label for label in range(self._labels)])
        return fit(examples, l2=penalty, free=free)

    def _gate(self, indices: Sequence[int]) -> Gate:
        """Find where the correction applies: near clips of new labels, and near clips that the old head gets wrong.

        Near a clip that the old head gets right nothing has to change.
        """
        every = self._clips_windows(indices)
        deviation = every.std(axis=0)
        scale = (1.0 / (deviation + 0.1 * deviation.mean() + 1e-9) / np.sqrt(every.shape[1])).astype(np.float32)
        wrong = [i for i in indices if self.predicted(i, None) != self._clips[i].label]
        centres, radii = [], []
        for label in sorted({self._clips[i].label for i in wrong}):
            own = [i for i in wrong if self._clips[i].label == label]
            near = NEAR_NEW if label >= self._clips[own[0]].old.shape[1] else NEAR_KNOWN
            centres.append(middles(self._clips_windows(own) * scale))
            radii += [self._radius(own, scale, near)] * len(centres[-1])
        if not centres:
            return Gate(scale, np.full((1, len(scale)), np.float32(1e6)), np.ones(1, np.float32))
        return Gate(scale, np.concatenate(centres), np.array(radii, np.float32))

    def _radius(self, own: Sequence[int], scale: npt.NDArray[np.float32], near: float) -> float:
        """Return the squared distance within which a share of the windows of held-out groups lies."""
        groups = {self._clips[i].group for i in own}
        distances = []
        for train, held_out in self.folds(own) if len(groups) > 1 else _alternating(own):
            centres = middles(self._clips_windows(train) * scale)
            distances.append(squared_distances(self._clips_windows(held_out) * scale, centres).min(axis=1))
        if not distances:
            windows = self._clips_windows(own) * scale
            distances.append(squared_distances(windows, windows.mean(axis=0, keepdims=True))[:, 0])
        return max(float(np.quantile(np.concatenate(distances), near)), 1e-6)

    def _clips_windows(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the pooled windows of clips, thinned out evenly if there are many."""
        table = np.concatenate([self._clips[i].pooled for i in indices])
        return table[:: -(-len(table) // _GATE_WINDOWS)]

    def _clip_log_scores(self, index: int, correction: Correction | None) -> Floats:
        clip = self._clips[index]
        logits = clip.old if correction is None else correction.logits(clip.old, clip.pooled)
        return np.asarray(np.log(np.exp(log_softmax(logits)).mean(axis=0) + 1e-12))


@dataclass(frozen=True)
class _Space:
    """Pooled features, standardized and reduced to their principal components, which need no labels.

    Attributes:
        mean: float `(2 * features,)`.
        axes: float `(2 * features, components)`; projected features have a mean square length of about 1.
    """

    mean: Floats
    axes: Floats

    @classmethod
    def of(cls, pooled: Sequence[npt.NDArray[np.float32]]) -> _Space:
        table = np.concatenate(pooled)
        mean, deviation = table.mean(axis=0), table.std(axis=0)
        # A feature that hardly moves must not become loud.
        scale = 1.0 / (deviation + 0.1 * deviation.mean() + 1e-9) / np.sqrt(table.shape[1])
        standard = (table - mean) * scale
        _, _, axes = np.linalg.svd(standard, full_matrices=False)
        return cls(mean, scale[:, None] * axes[:COMPONENTS].T)

    def project(self, pooled: npt.NDArray[np.float32]) -> Floats:
        return np.asarray((pooled - self.mean) @ self.axes)

    def correction(self, weights: Floats, biases: Floats, gate: Gate) -> Correction:
        whole = self.axes @ weights
        return Correction(whole.astype(np.float32), (biases - self.mean @ whole).astype(np.float32), gate)


def middles(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return at most `CENTRES` middles of rows: k-means from rows that lie far from each other.

    Args:
        rows: float `(rows, columns)`.
    """
    if len(rows) <= CENTRES:
        return rows
    chosen = [int(squared_distances(rows, rows.mean(axis=0, keepdims=True)).argmin())]
    nearest = squared_distances(rows, rows[chosen]).min(axis=1)
    for _ in range(CENTRES - 1):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, squared_distances(rows, rows[chosen[-1:]])[:, 0])
    centres = rows[chosen].copy()
    for _ in range(_GATE_ROUNDS):
        owner = squared_distances(rows, centres).argmin(axis=1)
        for centre in np.unique(owner):
            centres[centre] = rows[owner == centre].mean(axis=0)
    return centres


def _alternating(indices: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Split clips of one group by turns."""
    halves = list(indices[::2]), list(indices[1::2])
    return [halves, halves[::-1]] if halves[1] else []
