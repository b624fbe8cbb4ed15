"""Compare streaming predictions with window.tflite on every clip in a folder: the bytes must be equal.

python scripts/release/check_identity.py CLIPS MODEL... [--hop 1]
"""

from __future__ import annotations

import argparse
import collections
import sys
from pathlib import Path

import numpy as np

from edgehar import Classifier, EdgeharError, ModelBundle, open_source
from edgehar.model.interpreter import TfliteModel
from edgehar.model.timegrid import TimeGrid
from edgehar.sources.address import VIDEO_SUFFIXES


def compare(clip: Path, bundle: ModelBundle, hop: int) -> tuple[int, int]:
    """Return the number of compared and of different windows of a clip; a short clip counts as one window."""
    manifest = bundle.manifest
    whole = TfliteModel(bundle.read("window.tflite"), name="window.tflite")
    resizer, grid = bundle.make_resizer(), TimeGrid(manifest.temporal.rate_hz)
    recent: collections.deque[np.ndarray] = collections.deque(maxlen=manifest.temporal.window)
    answers = []
    with Classifier(bundle, hop=hop) as classifier, open_source(clip) as source:
        for frame in source:
            if grid.accepts(frame.captured_s):
                recent.append(resizer.resize(frame))
            if (prediction := classifier.push(frame)) is not None:
                answers.append(prediction.raw.tobytes() == whole.run(np.stack(recent)).tobytes())
        if (prediction := classifier.flush()) is not None:
            still = [recent[0]] * (manifest.temporal.window - len(recent))
            answers.append(prediction.raw.tobytes() == whole.run(np.stack([*still, *recent])).tobytes())
    return len(answers), answers.count(False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder searched for videos")
    parser.add_argument("models", nargs="+", help="bundles to check")
    parser.add_argument("--hop", type=int, default=1, help="frames between answers (default: 1)")
    args = parser.parse_args()
    clips = sorted(path for path in args.clips.rglob("*") if path.suffix in VIDEO_SUFFIXES)
    failed = not clips
    for model in args.models:
        bundle = ModelBundle.open(model)
        windows = differing = 0
        for clip in clips:
            try:
                compared, differ = compare(clip, bundle, args.hop)
            except EdgeharError as error:
                print(error, file=sys.stderr)
                failed = True
                continue
            windows, differing = windows + compared, differing + differ
        print(f"{bundle.manifest.name}: {len(clips)} clips, {windows} windows at hop {args.hop}, {differing} differ")
        failed |= differing > 0 or windows == 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
