"""Swap the head of a running program many times, and count the windows that are lost.

    scripts/faults/hot_swaps.py MODEL FIRST.edgehar SECOND.edgehar --source clip.mp4 --swaps 1000

A program watches the source, looped at the pace of a camera, and answers at every frame. Two bundles that were taught
from MODEL take over in turn. Run it beside a load, for example `stress-ng --cpu 4`. Every answer must follow the one
before by one number, at the next frame of the time grid, and be of the bundle whose turn it was.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from edgehar import ModelBundle
from edgehar.config import CameraOptions, Config
from edgehar.model.options import ModelsOptions
from edgehar.model.takeover import Takeovers
from edgehar.pipeline.program import Program
from edgehar.pipeline.stream import Stream
from edgehar.records import Prediction


def main() -> int:
    """Run, print counts, and return 1 if a window was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("bundles", nargs=2, type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--swaps", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(args, Path(folder))


def run(args: argparse.Namespace, folder: Path) -> int:
    """Swap in a thread while the program runs in this one."""
    config = Config(
        model=args.model,
        hop=1,
        output="none",
        cameras=[CameraOptions(name="hall", source=args.source, loop=True, realtime=True)],
        models=ModelsOptions(swap=True, directory=str(folder), rollback_alarms_per_hour=0),
    )
    answers: list[Prediction] = []
    decide = Stream._decide  # noqa: SLF001 - the answers before any queue can drop one

    def noted(stream: Stream, prediction: Prediction | None) -> list:
        records = decide(stream, prediction)
        answers.extend(record for record in records if isinstance(record, Prediction))
        return records

    Stream._decide = noted  # type: ignore[method-assign]  # noqa: SLF001
    program = Program(config)
    program._keeper._poll_s = 0.005  # noqa: SLF001
    bundles = [ModelBundle.open(path) for path in args.bundles]
    taken = collections.Counter()
    thread = threading.Thread(target=swap_all, args=(program, bundles, args, folder, taken))
    thread.start()
    started_s = time.monotonic()
    program.run()
    thread.join()
    lost = sum(after.seq != before.seq + 1 for before, after in pairwise(answers))
    changes = sum(after.model != before.model for before, after in pairwise(answers))
    period_s = 1.0 / bundles[0].manifest.temporal.rate_hz
    steps = [after.window.end_s - before.window.end_s for before, after in pairwise(answers)]
    late = sum(step > 1.5 * period_s for step in steps)
    models = dict(collections.Counter(answer.model for answer in answers))
    print(f"{taken['swaps']} swaps in {time.monotonic() - started_s:.0f} s, {changes} changes seen; answers {models}")
    print(f"answers lost {lost}, gaps of more than 1.5 frames {late}")
    return int(lost > 0 or taken["swaps"] < args.swaps)


def swap_all(program: Program, bundles: list[ModelBundle], args: argparse.Namespace, folder: Path, taken) -> None:
    """Put the bundles forward in turn, each as soon as the one before answers."""
    takeovers, (stream,) = Takeovers(folder), program._streams  # noqa: SLF001
    try:
        for number in range(args.swaps):
            bundle = bundles[number % 2]
            takeovers.put(args.model, bundle, shadow_s=0)
            until_s = time.monotonic() + 30
            while stream.classifier.bundle.manifest.name != bundle.manifest.name:
                if time.monotonic() > until_s:
                    return
                time.sleep(0.002)
            taken["swaps"] += 1
    finally:
        program.stop()


if __name__ == "__main__":
    raise SystemExit(main())
