"""The batches of an epoch: random windows of training clips."""

from __future__ import annotations

import math
import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from edgehar.errors import ConfigError
from edgehar_training.data import sampling
from edgehar_training.data.augment import augment, lose_frames, random_timing
from edgehar_training.data.augment.geometry import scale_flow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.runs.run import Run

Item = TypeVar("Item")
Batch = tuple["npt.NDArray[np.float32]", "npt.NDArray[np.float32]"]

# Number of batches made ahead; one if they are large.
AHEAD = 2
LARGE_BYTES = 1 << 27


class Batches:
    """Random windows of training clips, the same for the same seed and epoch.

    Args:
        run: settings, frames and preprocessing.
        clips: the training clips.

    Raises:
        ConfigError: the network has two looks.
    """

    def __init__(self, run: Run, clips: Sequence[Clip]) -> None:
        if run.config.network.two_looks:
            raise ConfigError(
                "--looks whole+crop needs the frames before a window, which random windows do not have; use an encoder "
                "that does not learn (--model mobile with --model-option weights=FILE) and --no-augment"
            )
        self._config, self._preprocessor = run.config, run.preprocessor
        self._clips = [run.pixels(clip) for clip in clips]
        self._truth = np.array([run.config.labels.index(clip.label) for clip in clips])

    def __len__(self) -> int:
        return math.ceil(len(self._clips) * self._config.fit.windows_per_clip / self._config.fit.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Return the batches of an epoch, made in a thread slightly ahead of their use.

        Their content depends only on the seed and the number.

        Returns:
            Windows, float32 `(n, window, height, width, channels)`, and labels, float32 `(n, classes)`: one-hot, or
            mixed with mixup. Close the iterator to end early.
        """
        network = self._config.network
        floats = self._config.fit.batch_size * network.window * network.size**2 * network.channels
        return ahead(self._epoch(number), 1 if 4 * floats > LARGE_BYTES else AHEAD)

    def _epoch(self, number: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self._config.split.seed, number])
        rounds = [rng.permutation(len(self._clips)) for _ in range(self._config.fit.windows_per_clip)]
        one_hot = np.eye(len(self._config.labels), dtype=np.float32)
        # Parts of equal size, give or take one, so that no step has only a few windows.
        for part in np.array_split(np.concatenate(rounds), len(self)):
            windows = self._preprocessor.real(np.stack([self._window(index, rng) for index in part]))
            yield self._mixed(windows, one_hot[self._truth[part]], rng)

    def _window(self, index: int, rng: np.random.Generator) -> npt.NDArray[np.int8]:
        clip, settings = self._clips[index], self._config.augment
        timing = random_timing(len(clip.times_s), settings, rng)
        left = slice(timing.first, timing.beyond)
        energy = None if clip.energy is None else clip.energy[left]
        # A window that is spread over the clip has no speed.
        speed = timing.speed if self._config.network.sampling in ("consecutive", "key-frames") else 1.0
        taken = timing.first + sampling.training_indices(
            clip.times_s[left], self._config.network, rng, speed=speed, energy=energy
        )
        indices = lose_frames(taken, settings, rng)
        flow = None
        if clip.flow is not None:
            flow = clip.flow[indices]
            flow[indices != taken] = 0  # nothing moved until a frame that stays
            if speed != 1:
                flow = scale_flow(flow, speed, speed)
        window = self._preprocessor.window(*augment(clip.frames[indices], settings, rng, flow))
        return window[self._config.frame_order.training(len(window), rng)]

    def _mixed(
        self, windows: npt.NDArray[np.float32], truth: npt.NDArray[np.float32], rng: np.random.Generator
    ) -> Batch:
        """Mix every window with another of the batch, in one random proportion (mixup, Zhang et al., ICLR 2018)."""
        settings = self._config.augment
        if not (settings.on and settings.mixup):
            return windows, truth
        share = np.float32(rng.beta(settings.mixup, settings.mixup))
        order = rng.permutation(len(windows))
        other = windows[order]
        other *= 1 - share
        windows *= share
        windows += other
        return windows, share * truth + (1 - share) * truth[order]


class _Maker(threading.Thread, Generic[Item]):
    """Takes items of an iterable until it is stopped."""

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        super().__init__(name="batches", daemon=True)
        self._items, self._stopped = items, threading.Event()
        self.made: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(depth)

    def run(self) -> None:
        """Put items, then None, or the error that ended the iterable."""
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
        except BaseException as error:  # raised where the items are used
            self._put(error)
        else:
            self._put(None)

    def _put(self, entry: tuple[Item] | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self.made.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def stop(self) -> None:
        """Stop after the current item, and wait for it."""
        self._stopped.set()
        self.join()


def ahead(items: Iterable[Item], depth: int) -> Iterator[Item]:
    """Yield the same items in the same order, up to `depth` of them made by a thread before they are asked for.

    An error of `items` is raised here in its place. The thread ends with the iteration, also when that is broken off.
    """
    maker = _Maker(items, depth)
    maker.start()
    try:
        while (entry := maker.made.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
    finally:
        maker.stop()
