"""Training steps per second of `lrcn`: the training loop of edgehar compared with `fit` of Keras on arrays in memory.

The loop of edgehar chooses random windows of clips, augments and preprocesses them and takes a step; `fit` of Keras
gets finished windows. All take turns in one process. The loop is timed with the plain network, without and with
augmentation, and with the network used on a CPU, whose first block is written in C.

python scripts/bench/fit.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from edgehar.bench.timing import Protocol, interleaved
from edgehar_training.data.datasets import Clip
from edgehar_training.data.pixels import Pixels
from edgehar_training.models import build, stem
from edgehar_training.runs.run import Run, RunConfig
from edgehar_training.settings import AugmentSettings, FitSettings, NetworkSettings
from edgehar_training.training.fit import Training
from edgehar_training.training.memory import keep_freed

if TYPE_CHECKING:
    import numpy.typing as npt

CLIPS, FRAMES, RATE_HZ, LABELS = 64, 75, 25.0, ("a", "b")
STEPS = CLIPS // FitSettings().batch_size


class MadeClips(Run):
    """A run with clips of noise in memory."""

    def pixels(self, clip: Clip) -> Pixels:
        """Return frames of three seconds."""
        size = self.config.network.size
        rng = np.random.default_rng(int(clip.path))
        frames = rng.integers(0, 256, (FRAMES, size, size, 3), np.uint8)
        return Pixels(frames, np.arange(FRAMES) / RATE_HZ, None, None)

    def stream(self, clip: Clip) -> npt.NDArray[np.int8]:
        """Return the network input of all frames."""
        return self.preprocessor.quantized(self.pixels(clip).frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; medians are printed (default: 5)")
    args = parser.parse_args()

    keep_freed()
    with tempfile.TemporaryDirectory() as folder:
        with mock.patch.object(stem, "_usable_stem", return_value=None):
            loops = {name: _training(Path(folder), augment=name == "augmented") for name in ("plain", "augmented")}
        loops["compiled"] = _training(Path(folder), augment=True)
        contenders: dict[str, Any] = {"keras": _keras_fit()}
        contenders |= {name: lambda number, loop=loop: loop.learn(number + 1) for name, loop in loops.items()}
        for contender in contenders.values():
            contender(0)
        times = interleaved(contenders, Protocol(rounds=args.rounds), calls=dict.fromkeys(contenders, 1))
    rates = {name: (STEPS / timing.wall_s, STEPS / timing.cpu_s) for name, timing in times.items()}
    texts = {
        "keras": "fit of Keras, windows in memory",
        "plain": "edgehar, no augmentation",
        "augmented": "edgehar, augmentation",
        "compiled": "edgehar, augmentation, compiled block",
    }
    network = NetworkSettings()
    print(
        f"lrcn, {FitSettings().batch_size} windows of {network.window} frames of {network.size}x{network.size} a step, "
        f"{args.rounds} rounds of {STEPS} steps, medians"
    )
    for name, (wall, cpu) in rates.items():
        against = f"{wall / rates['keras'][0]:5.2f}x, {cpu / rates['keras'][1]:5.2f}x by processor time"
        print(f"{texts[name]:<38}{wall:7.2f} steps/s {against}")


def _training(folder: Path, *, augment: bool) -> Training:
    config = RunConfig(augment=AugmentSettings(on=augment), labels=list(LABELS), protocol="none")
    clips = [Clip(str(number), LABELS[number % len(LABELS)], str(number)) for number in range(CLIPS + 2)]
    return Training(MadeClips(folder, config), clips[:CLIPS], clips[CLIPS:])


def _keras_fit() -> Any:
    settings = NetworkSettings()
    model = build(settings, len(LABELS))
    model.compile(keras.optimizers.Adam(), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    rng = np.random.default_rng(0)
    windows = rng.random((CLIPS, settings.window, settings.size, settings.size, settings.channels), np.float32)
    truth = np.eye(len(LABELS), dtype=np.float32)[np.arange(CLIPS) % len(LABELS)]
    return lambda _: model.fit(windows, truth, batch_size=FitSettings().batch_size, verbose=0)


if __name__ == "__main__":
    main()
