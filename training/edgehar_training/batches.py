"""What a network learns from in an epoch: random windows of training clips, in batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgehar_training import sampling
from edgehar_training.augment import augment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from edgehar_training.datasets import Clip
    from edgehar_training.runs import Run


class Batches:
    """Random windows of training clips, the same for the same seed and epoch.

    Args:
        run: settings, frames and preprocessing.
        clips: the training clips.
    """

    def __init__(self, run: Run, clips: Sequence[Clip]) -> None:
        self._config, self._preprocessor = run.config, run.preprocessor
        self._clips = [run.cache().load(clip) for clip in clips]
        self._truth = np.array([run.config.labels.index(clip.label) for clip in clips])

    def __len__(self) -> int:
        return math.ceil(len(self._clips) * self._config.fit.windows_per_clip / self._config.fit.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Batches of an epoch: windows float32 `(n, window, height, width, 3)` and one-hot labels `(n, classes)`."""
        rng = np.random.default_rng([self._config.split.seed, number])
        rounds = [rng.permutation(len(self._clips)) for _ in range(self._config.fit.windows_per_clip)]
        # Parts of one size, give or take one, so that no step is taken on a handful of windows.
        for part in np.array_split(np.concatenate(rounds), len(self)):
            windows = np.stack([self._window(index, rng) for index in part])
            yield (
                self._preprocessor.real(windows),
                np.eye(len(self._config.labels), dtype=np.float32)[self._truth[part]],
            )

    def _window(self, index: int, rng: np.random.Generator) -> npt.NDArray[np.int8]:
        clip, config = self._clips[index], self._config
        frames = clip.frames[sampling.training_window(clip.times_s, config.network.rate_hz, config.network.window, rng)]
        return self._preprocessor.window(augment(frames, rng) if config.augment.on else frames)
