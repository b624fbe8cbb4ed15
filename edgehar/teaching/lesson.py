"""Examples to teach a head: every window's logits and pooled features, with labels, clips and groups."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.teaching.head import (
    STATISTICS,
    Correction,
    Gate,
    everywhere,
    squared_distances,
    sure_of_action,
    with_new_labels,
)
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
# The radius of a new label is no larger than this. Windows of the lesson lie about 1 from the middle of all of them, so
# a larger radius would take in whatever resembles the lesson no more than its own clips resemble each other.
MOST_RADIUS = 1.2
# Where the old head is sure of an action, a new label must be nearer by 1 + this factor.
WARINESS = 8.0
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


@dataclass(frozen=True)
class Method:
    """What is chosen by clips of held-out groups.

    Attributes:
        penalty: on the weights of the regression.
        look: the only look whose features are used; None for all.
        reach: factor of the squared radii within which the correction applies.
    """

    penalty: float
    look: int | None = None
    reach: float = 1.0


class Lesson:
    """Clips with labels, and the heads that can be fitted to them."""

    def __init__(
        self,
        clips: Sequence[ClipData],
        labels: int,
        *,
        actions: Sequence[int] = (),
        looks: int = 1,
        memory: float = 0.0,
    ) -> None:
        """Make a lesson from clips.

        Args:
            clips: the clips.
            labels: how many the new head has.
            actions: indices of the old labels that open events.
            looks: of the model; the features of one follow those of another.
            memory: time constant of the moving average that the model's scores go through, in windows; 0 is none.
        """
        self._clips, self._labels, self._actions, self._memory = list(clips), labels, tuple(actions), memory
        self._looks: tuple[int | None, ...] = (None,) if looks == 1 else (None, *range(looks))

    def best_method(self, indices: Sequence[int]) -> Method:
        """Choose the method with the least log loss over clips of held-out groups, within the given clips.

        The look is chosen first, at the middle penalty, and then the penalty.
        """
        folds = self.folds(indices)
        middle = PENALTIES[len(PENALTIES) // 2]
        losses = {look: self._losses(folds, look, (middle,))[middle] for look in self._looks}
        look = min(losses, key=losses.__getitem__)
        by_penalty = self._losses(folds, look, PENALTIES)
        return Method(min(by_penalty, key=by_penalty.__getitem__), look)

    def _losses(
        self, folds: Sequence[tuple[list[int], list[int]]], look: int | None, penalties: Sequence[float]
    ) -> dict[float, float]:
        """Return the log loss of held-out clips by penalty, with the correction applied everywhere."""
        losses = dict.fromkeys(penalties, 0.0)
        for train, held_out in folds:
            space = self._space(train, look)
            gate, examples = everywhere(len(space.mean)), self._examples(train, space)
            for penalty in penalties:
                correction = space.correction(*self._fit(train, penalty, examples), gate)
                for i in held_out:
                    losses[penalty] -= float(self._clip_log_scores(i, correction)[self._clips[i].label])
        return losses

    def fit(self, indices: Sequence[int], method: Method) -> Correction:
        """Fit a correction to the given clips."""
        space = self._space(indices, method.look)
        weights, biases = self._fit(indices, method.penalty, self._examples(indices, space))
        return space.correction(weights, biases, self._gate(indices, method.look).shrunk(method.reach))

    def _space(self, indices: Sequence[int], look: int | None) -> _Space:
        return _Space.of([self._clips[i].pooled for i in indices], self._seen(look))

    def _seen(self, look: int | None) -> npt.NDArray[np.bool_]:
        """Return which of the pooled features belong to a look, bool `(pooled,)`."""
        size = self._clips[0].pooled.shape[1]
        if look is None:
            return np.ones(size, np.bool_)
        seen = np.zeros((STATISTICS, len(self._looks) - 1, size // STATISTICS // (len(self._looks) - 1)), np.bool_)
        seen[:, look] = True
        return seen.reshape(-1)

    def predicted(self, index: int, correction: Correction | None) -> int:
        """Return the label of a clip, by the scores that a run gives in the mean. None is the old head."""
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

    def _examples(self, indices: Sequence[int], space: _Space) -> Examples:
        clips = [self._clips[i] for i in indices]
        per_label = Counter(clip.label for clip in clips)
        weights = []
        for i, clip in zip(indices, clips, strict=True):
            share = (1.0 if self.predicted(i, None) == clip.label else _MISTAKE_WEIGHT) / per_label[clip.label]
            weights.append(share * window_shares(len(clip.pooled), self._memory))
        return Examples(
            np.concatenate([space.project(clip.pooled) for clip in clips]),
            np.concatenate([with_new_labels(clip.old, self._labels) for clip in clips]),
            np.concatenate([np.full(len(clip.pooled), clip.label) for clip in clips]),
            np.concatenate(weights) / sum(map(np.sum, weights)),
        )

    def _fit(self, indices: Sequence[int], penalty: float, examples: Examples) -> tuple[Floats, Floats]:
        # A label without a clip keeps its old logit: nothing is known that could change it.
        taught = {self._clips[i].label for i in indices}
        free = np.array([label in taught for label in range(self._labels)])
        return fit(examples, l2=penalty, free=free)

    def _gate(self, indices: Sequence[int], look: int | None) -> Gate:
        """Find where the correction applies: near clips of new labels, and near clips that the old head gets wrong.

        Near a clip that the old head gets right nothing has to change.
        """
        scale = _standardizing(self._clips_windows(indices), self._seen(look)).astype(np.float32)
        wrong = [i for i in indices if self.predicted(i, None) != self._clips[i].label]
        centres, radii, wary = [], [], []
        for label in sorted({self._clips[i].label for i in wrong}):
            own = [i for i in wrong if self._clips[i].label == label]
            new = label >= self._clips[own[0]].old.shape[1]
            wariness = WARINESS if new else 0.0
            radius = self._radius(own, scale, NEAR_NEW if new else NEAR_KNOWN, wariness)
            centres.append(middles(self._clips_windows(own) * scale))
            radii += [min(radius, MOST_RADIUS) if new else radius] * len(centres[-1])
            wary += [wariness] * len(centres[-1])
        if not centres:
            centres, radii, wary = [np.full((1, len(scale)), np.float32(1e6))], [1.0], [0.0]
        return Gate(
            scale, np.concatenate(centres), np.array(radii, np.float32), np.array(wary, np.float32), self._actions
        )

    def _radius(self, own: Sequence[int], scale: npt.NDArray[np.float32], near: float, wariness: float) -> float:
        """Return the squared distance within which a share of the windows of held-out groups lies."""
        groups = {self._clips[i].group for i in own}
        distances = []
        for train, held_out in self.folds(own) if len(groups) > 1 else _alternating(own):
            centres = middles(self._clips_windows(train) * scale)
            distances.append(self._distances(held_out, scale, centres, wariness))
        if not distances:
            middle = (self._clips_windows(own) * scale).mean(axis=0, keepdims=True)
            distances.append(self._distances(own, scale, middle, wariness))
        return max(float(np.quantile(np.concatenate(distances), near)), 1e-6)

    def _distances(
        self,
        indices: Sequence[int],
        scale: npt.NDArray[np.float32],
        centres: npt.NDArray[np.float32],
        wariness: float,
    ) -> Floats:
        """Return the squared distance of the windows of clips to the nearest centre, as the gate measures it."""
        distances = squared_distances(self._clips_windows(indices) * scale, centres).min(axis=1)
        sure = np.concatenate([sure_of_action(self._clips[i].old, self._actions) for i in indices])
        return np.asarray(distances * (1.0 + wariness * _thinned(sure)))

    def _clips_windows(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the pooled windows of clips, thinned out evenly if there are many."""
        return _thinned(np.concatenate([self._clips[i].pooled for i in indices]))

    def _clip_log_scores(self, index: int, correction: Correction | None) -> Floats:
        clip = self._clips[index]
        logits = clip.old if correction is None else correction.logits(clip.old, clip.pooled)
        shares = window_shares(len(logits), self._memory)
        return np.asarray(np.log(shares @ np.exp(log_softmax(logits)) + 1e-12))


def window_shares(windows: int, memory: float) -> Floats:
    """Return the share of each window of a clip in the mean of the smoothed scores that a run gives for it.

    A moving average starts from the first score, so that the first window decides most of a short clip.

    Args:
        windows: of the clip.
        memory: time constant of the average, in windows; 0 is none.
    """
    if memory <= 0:
        return np.full(windows, 1.0 / windows)
    kept = math.exp(-1.0 / memory)
    shares = 1.0 - kept ** np.arange(windows, 0, -1.0)
    shares[0] /= 1.0 - kept
    return np.asarray(shares / windows)


@dataclass(frozen=True)
class _Space:
    """Pooled features, standardized and reduced to their principal components, which need no labels.

    Attributes:
        mean: float32 `(3 * features,)`.
        axes: float32 `(3 * features, components)`; projected features have a mean square length of about 1.
    """

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]

    @classmethod
    def of(cls, pooled: Sequence[npt.NDArray[np.float32]], seen: npt.NDArray[np.bool_]) -> _Space:
        table = np.concatenate(pooled)
        mean, scale = table.mean(axis=0), _standardizing(table, seen).astype(np.float32)
        standard = (table - mean) * scale
        # There are fewer windows than features, so their products give the components in less time.
        variances, turned = np.linalg.eigh((standard @ standard.T).astype(np.float64))
        kept = np.argsort(-variances)[:COMPONENTS]
        kept = kept[variances[kept] > 1e-6 * max(float(variances.max()), 1e-6)]
        axes = standard.T @ (turned[:, kept] / np.sqrt(variances[kept])).astype(np.float32)
        return cls(mean, scale[:, None] * axes)

    def project(self, pooled: npt.NDArray[np.float32]) -> Floats:
        return ((pooled - self.mean) @ self.axes).astype(np.float64)

    def correction(self, weights: Floats, biases: Floats, gate: Gate) -> Correction:
        whole = self.axes @ weights.astype(np.float32)
        return Correction(whole, (biases - self.mean @ whole).astype(np.float32), gate)


def _standardizing(table: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_]) -> Floats:
    """Return factors that give rows a mean square length of about 1 around their mean; 0 for what is not seen."""
    deviation = table.std(axis=0).astype(np.float64)
    # A feature that hardly moves must not become loud.
    scale = 1.0 / (deviation + 0.1 * deviation[seen].mean() + 1e-9) / math.sqrt(np.count_nonzero(seen))
    return np.asarray(np.where(seen, scale, 0.0))


def _thinned(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return rows[:: -(-len(rows) // _GATE_WINDOWS)]


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
