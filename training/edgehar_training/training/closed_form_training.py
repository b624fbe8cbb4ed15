"""Training of a head in closed form, over features of an encoder that does not learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import ConfigError
from edgehar_training import models
from edgehar_training.data.sampling import window_starts
from edgehar_training.models.layers import STATISTICS
from edgehar_training.settings.network import HISTORY
from edgehar_training.training.closed_form import ClosedForm, Windows, solve
from edgehar_training.training.fit import EpochRow, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.runs.run import Run

    Array = npt.NDArray[np.float32]


class ClosedFormTraining(Training):
    """A training of one step: the head's only weights are found at once.

    Args:
        run: where to, and with what settings.
        train: clips to learn from.
        val: clips that are scored afterwards; they decide nothing.
        resume: keep a network that is found already.

    Raises:
        ConfigError: the network's head is no `statistics_head`, its encoder learns, or windows are augmented.
    """

    def __init__(self, run: Run, train: Sequence[Clip], val: Sequence[Clip], *, resume: bool = False) -> None:
        super().__init__(run, train, val, resume=resume)
        self._train = list(train)
        head = self.model.get_layer("head")
        if self._features is None or [layer.name for layer in head.layers[1:]] != ["statistics", "scores"]:
            raise ConfigError(
                "--solver closed-form needs a head of statistics over an encoder that does not learn: use --model "
                "mobile with --model-option weights=FILE head=statistics, and --no-augment"
            )

    @property
    def finished(self) -> bool:
        """Whether the weights are found."""
        return bool(self.progress.history)

    def learn(self, _number: int, after_step: Callable[[EpochRow], object] = lambda _: None) -> EpochRow:
        """Find the weights; returns loss and accuracy on the windows learned from."""
        config, head = self.run.config, self.model.get_layer("head")
        windows = self._windows()
        apart = config.fit.parts != "taps"
        used = ("mean", "peak") if config.fit.parts == "mean+peak" else STATISTICS
        sizes = models.feature_parts(config.network, head.input_shape[-1], pools=apart)
        parts = statistics_parts(sizes, apart=apart, used=used)
        options = ClosedForm(config.fit.components, config.fit.ridge, config.split.seed, config.fit.slope)
        kernel, bias = solve(windows, parts, len(config.labels), options)
        head.get_layer("scores").set_weights([kernel, bias])
        logits = windows.features @ kernel + bias
        logits -= logits.max(axis=1, keepdims=True)
        likely = logits[np.arange(len(logits)), windows.truth] - np.log(np.exp(logits).sum(axis=1))
        right = logits.argmax(axis=1) == windows.truth
        seen: EpochRow = {"loss": float(-likely.mean()), "accuracy": float(right.mean())}
        after_step(seen)
        return seen

    def _windows(self) -> Windows:
        """Statistics, class and group of every training window."""
        config = self.run.config
        number_of = {group: number for number, group in enumerate(sorted({clip.group for clip in self._train}))}
        rows: list[Array] = []
        truth: list[int] = []
        groups: list[int] = []
        counts: list[float] = []
        for clip, stream in zip(self._train, self.streams(self._train), strict=True):
            for start in training_starts(len(stream), config.network.window, config.fit.window_hop):
                rows.append(_statistics(stream[start : start + config.network.window]))
                truth.append(config.labels.index(clip.label))
                groups.append(number_of[clip.group])
                counts.append(clip.weight)
        return Windows(np.stack(rows), np.array(truth, np.intp), np.array(groups, np.intp), np.array(counts))


def training_starts(frames: int, window: int, hop: int) -> range:
    """First frames of the windows of a clip that are learned from; at least one.

    The first `HISTORY` frames are left out where that leaves a window: their differences look back before the clip, so
    that short clips would be told from long recordings by how many windows hold a clip's beginning.
    """
    return window_starts(frames, window, hop, HISTORY)


def statistics_parts(
    sizes: Sequence[int], *, apart: bool = False, used: Sequence[str] = STATISTICS
) -> list[npt.NDArray[np.intp]]:
    """Columns of each part of the features in the output of `TimeStatistics`.

    Args:
        sizes: of the parts.
        apart: make each statistic of a part a part of its own.
        used: the statistics that get weight.
    """
    parts: list[npt.NDArray[np.intp]] = []
    features, begin = sum(sizes), 0
    for size in sizes:
        own = np.arange(begin, begin + size, dtype=np.intp)
        columns = [own + features * number for number, name in enumerate(STATISTICS) if name in used]
        parts += columns if apart else [np.concatenate(columns)]
        begin += size
    return parts


def _statistics(window: Array) -> Array:
    """Return the output of `TimeStatistics` for float32 `(window, features)`."""
    return np.concatenate([window.mean(axis=0), window.max(axis=0), window.std(axis=0)], dtype=np.float32)
