"""Accuracy of each way to decode: a model on clips encoded as a camera does, in every mode, against full decoding.

    python scripts/studies/decode_modes.py FOLDER... [--model fight] [--clips 12] [--seconds 20] [--codec libx264]

Each clip is scaled to 1920 columns and encoded like the main stream of a camera: 25 frames/s, no B-frames, a key frame
every 2 s. The mean absolute difference of scores, the windows whose best label changes, and the windows and events over
the model's thresholds that change are printed for each mode.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgehar import Classifier, open_source
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.network import Network

if TYPE_CHECKING:
    from edgehar.records import Event, Prediction

MODES = ("full", "skip-loop-filter", "reference-only", "key")
SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".mpg", ".webm"}
# Options of ffmpeg by encoder: what cameras send, at 4 Mbit/s for H.264 and 3 for H.265.
ENCODERS = {
    "libx264": ("-preset", "superfast", "-bf", "0", "-g", "50", "-b:v", "4M", "-maxrate", "5M", "-bufsize", "5M"),
    "libx264-b": ("-preset", "superfast", "-bf", "2", "-g", "50", "-b:v", "4M", "-maxrate", "5M", "-bufsize", "5M"),
    "libx265": ("-preset", "ultrafast", "-x265-params", "log-level=none:bframes=0:keyint=50", "-b:v", "3M"),
}


@dataclass
class Difference:
    """What a mode changes."""

    windows: int = 0
    scores: list[float] = field(default_factory=list)
    labels: int = 0
    decided: int = 0
    events: int = 0
    changed_events: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="video files, here and in the folders below")
    parser.add_argument("--model", default="fight", help="bundle or name of a shipped model (fight)")
    parser.add_argument("--clips", type=int, default=12, help="clips of each folder, evenly chosen (12)")
    parser.add_argument("--seconds", type=float, default=20, help="longest part of a clip to use (20)")
    parser.add_argument("--width", type=int, default=1920, help="columns of the encoded video (1920)")
    parser.add_argument("--codec", choices=ENCODERS, default="libx264", help="how to encode (libx264)")
    args = parser.parse_args()
    network = Network(args.model)
    found = {mode: Difference() for mode in MODES}
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(clip for folder in args.folders for clip in chosen(folder, args.clips)):
            video = Path(folder) / f"{number}.mp4"
            encode(path, video, args)
            answers = {mode: answers_of(network, video, mode) for mode in MODES}
            for mode in MODES:
                compare(found[mode], answers["full"], answers[mode])
            video.unlink()
            print(f"{path.name}: {len(answers['full'][0])} windows", flush=True)
    report(found)


def chosen(folder: Path, count: int) -> list[Path]:
    """Return clips of a folder, evenly chosen."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [paths[place] for place in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))]


def encode(path: Path, video: Path, args: argparse.Namespace) -> None:
    """Encode a clip as a camera would."""
    command = ["ffmpeg", "-loglevel", "error", "-y", "-t", str(args.seconds), "-i", str(path), "-an"]
    command += ["-vf", f"fps=25,scale={args.width}:-2", "-c:v", args.codec.removesuffix("-b")]
    subprocess.run([*command, *ENCODERS[args.codec], "-pix_fmt", "yuv420p", str(video)], check=True)


def answers_of(network: Network, video: Path, mode: str) -> tuple[list[Prediction], list[Event]]:
    """Return the answers of the model about a video, and the starts of events."""
    manifest = network.bundle.manifest
    decider = Decider(manifest.labels, DecisionOptions(), manifest.decision)
    answers, events = [], []
    with open_source(video, decode=mode) as source, Classifier(network) as classifier:
        for frame in source:
            if (answer := classifier.push(frame)) is not None:
                decided, new = decider.update(answer)
                answers.append(answer.decided(decided.label, answer.score, answer.scores))
                events += [event for event in new if event.phase == "start"]
    return answers, events


def compare(
    into: Difference, full: tuple[list[Prediction], list[Event]], other: tuple[list[Prediction], list[Event]]
) -> None:
    """Add the differences between two runs. Windows are matched by their end."""
    others = {round(answer.window.end_s, 2): answer for answer in other[0]}
    for answer in full[0]:
        match = others.get(round(answer.window.end_s, 2))
        into.windows += 1
        if match is None:
            continue
        best, match_best = (max(one.scores, key=one.scores.__getitem__) for one in (answer, match))
        into.scores.append(abs(answer.scores[best] - match.scores[best]))
        into.labels += best != match_best
        into.decided += answer.label != match.label
    into.events += len(full[1])
    into.changed_events += abs(len(full[1]) - len(other[1])) + sum(
        abs(one.start_s - two.start_s) > 1e-3 for one, two in zip(full[1], other[1], strict=False)
    )


def report(found: dict[str, Difference]) -> None:
    """Print a line for each mode."""
    print("mode              windows  matched  |score|  largest  best label  decision  events  changed")
    for mode, one in found.items():
        mean, largest = (float(np.mean(one.scores)), max(one.scores)) if one.scores else (float("nan"), float("nan"))
        print(
            f"{mode:<17} {one.windows:7} {len(one.scores):8} {mean:8.4f} {largest:8.3f} {one.labels:11} "
            f"{one.decided:9} {one.events:7} {one.changed_events:8}"
        )


if __name__ == "__main__":
    main()
