"""Streaming predictions against window.tflite on every clip under a folder: the bytes must be the same.

python scripts/check_identity.py CLIPS MODEL... [--hop 1]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgehar import Classifier, EdgeharError, ModelBundle, open_source
from edgehar.interpreter import TfliteModel
from edgehar.timegrid import TimeGrid

VIDEO_SUFFIXES = {".mp4", ".avi", ".mkv", ".mov"}


def compare(clip: Path, bundle: ModelBundle, hop: int) -> tuple[int, int]:
    """Windows compared and windows that differ, for one clip."""
    whole = TfliteModel(bundle.read("window.tflite"), name="window.tflite")
    ring, grid = bundle.make_ring(), TimeGrid(bundle.manifest.temporal.rate_hz)
    windows = differing = 0
    with Classifier(bundle, hop=hop) as classifier, open_source(clip) as source:
        for frame in source:
            if grid.accepts(frame.captured_s):
                ring.push(frame)
            prediction = classifier.push(frame)
            if prediction is not None:
                windows += 1
                differing += whole.run(ring.window()).tobytes() != prediction.raw.tobytes()
    return windows, differing


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
