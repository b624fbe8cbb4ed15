"""CPU time of one answer per VGA frame: edgehar against the usual Keras script, side by side in one run.

The usual script keeps a deque of frames, resizes each with cv2.resize, divides by 255 and calls model.predict on the
window, as most action recognition tutorials do. Both get the same frames with hop 1: one answer per frame once the
window is full. CPU time covers all threads of the process. Needs the train extra.

    python scripts/bench/answer.py [--model actions-synthetic] [--rounds 9]
"""

from __future__ import annotations

import argparse
import collections
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np

from edgehar import Classifier
from edgehar.bench.timing import Protocol, interleaved
from edgehar_training.models import build
from edgehar_training.settings import NetworkSettings

FRAMES_A_ROUND = {"edgehar": 200, "keras": 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="actions-synthetic", help="bundle of an LRCN to measure (default: actions-synthetic)"
    )
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds; medians are printed (default: 9)")
    args = parser.parse_args()

    # 96 MB of frames, so that none is still in a CPU cache when it is used, as with a camera.
    frames = np.random.default_rng(0).integers(0, 256, (104, 480, 640, 3), dtype=np.uint8)
    classifier = Classifier(args.model, hop=1)
    manifest = classifier.bundle.manifest
    size, window = manifest.input.height, manifest.temporal.window
    network = build(NetworkSettings(window=window, size=size), len(manifest.labels))
    recent: collections.deque[np.ndarray] = collections.deque(maxlen=window)

    def edgehar(n: int) -> None:
        classifier.push(frames[n % len(frames)])

    def keras(n: int) -> None:
        recent.append(cv2.resize(frames[n % len(frames)], (size, size)) / 255.0)
        if len(recent) == window:
            network.predict(np.expand_dims(np.array(recent), 0), verbose=0)

    contenders = {"edgehar": edgehar, "keras": keras}
    for push in contenders.values():
        for n in range(window + 2):
            push(n)
    times = interleaved(contenders, Protocol(rounds=args.rounds), calls=FRAMES_A_ROUND)
    medians = {name: timing.cpu_s * 1e3 for name, timing in times.items()}
    print(f"model {manifest.name}: {size}x{size}, window {window}, hop 1, 640x480 BGR frames, {args.rounds} rounds")
    for name, median in medians.items():
        print(f"{name:>8}: {median:8.3f} ms of CPU per answered frame (median)")
    print(f"   ratio: {medians['keras'] / medians['edgehar']:.0f}x less CPU")


if __name__ == "__main__":
    main()
