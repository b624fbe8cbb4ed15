"""CPU time of one training step of `lrcn`: plain Keras compared with the C stem, in the same run.

python scripts/bench/training_step.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from edgehar.bench.timing import Protocol, interleaved
from edgehar_training.models import build
from edgehar_training.models.stem import with_compiled_stem
from edgehar_training.settings import NetworkSettings
from edgehar_training.training.memory import keep_freed

BATCH, WINDOW, SIZE, CLASSES = 16, 20, 60, 2
STEPS_A_ROUND = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; medians are printed (default: 5)")
    args = parser.parse_args()

    keep_freed()
    rng = np.random.default_rng(0)
    windows = rng.random((BATCH, WINDOW, SIZE, SIZE, 3), np.float32)
    truth = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, BATCH)]
    networks = {"keras": build(NetworkSettings(window=WINDOW, size=SIZE), CLASSES)}
    networks["compiled"] = with_compiled_stem(build(NetworkSettings(window=WINDOW, size=SIZE), CLASSES))
    for network in networks.values():
        network.compile(keras.optimizers.Adam(), "categorical_crossentropy")
        for _ in range(3):
            network.train_on_batch(windows, truth)
    steps = {name: functools.partial(_step, network, windows, truth) for name, network in networks.items()}
    calls = dict.fromkeys(steps, STEPS_A_ROUND)
    times = interleaved(steps, Protocol(rounds=args.rounds), calls=calls)
    medians = {name: timing.cpu_s * 1e3 for name, timing in times.items()}
    print(f"{BATCH} windows of {WINDOW} frames of {SIZE}x{SIZE}, {args.rounds} rounds of {STEPS_A_ROUND} steps")
    for name, median in medians.items():
        print(f"{name:>9}: {median:7.1f} ms of CPU per step (median)")
    print(f"    ratio: {medians['keras'] / medians['compiled']:.1f}x less CPU")


def _step(network: keras.Model, windows: np.ndarray, truth: np.ndarray, _number: int) -> None:
    network.train_on_batch(windows, truth)


if __name__ == "__main__":
    main()
