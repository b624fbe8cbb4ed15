"""Speed of decoding a data set into the cache of small frames, compared with a plain cv2 loop in the same run.

The plain loop is that of most tutorials: cv2.VideoCapture, cv2.resize with INTER_AREA, and the frames of a clip in one
array on disk. All contenders read the same files from the page cache, write to a fresh folder and take turns; the
results are medians. cv2 decodes with one thread per core.

    python scripts/bench/decode.py FOLDER [--clips 40] [--size 60] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgehar_training.data.datasets import Clip
from edgehar_training.data.frames_cache import FramesCache

SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".mpg", ".webm"}
PLAIN = "plain cv2 loop"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="video files, here and in the folders below")
    parser.add_argument("--clips", type=int, default=40, help="so many of them, evenly chosen (default: 40)")
    parser.add_argument("--size", type=int, default=60, help="side of a small frame (default: 60)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default: 3)")
    args = parser.parse_args()
    found = sorted(path for path in args.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        parser.error(f"{args.folder}: holds no video file")
    paths = [found[i] for i in np.unique(np.linspace(0, len(found) - 1, args.clips).astype(int))]
    cores = len(os.sched_getaffinity(0))
    contenders: dict[str, Callable[[Path], int]] = {
        PLAIN: lambda folder: plain(paths, args.size, folder),
        "edgehar, 1 process": lambda folder: ours(paths, args.size, folder, 1),
        f"edgehar, {cores} processes": lambda folder: ours(paths, args.size, folder, cores),
    }
    for path in paths:
        path.read_bytes()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    frames = {}
    for _ in range(args.rounds):
        for name, fill in contenders.items():
            with tempfile.TemporaryDirectory() as folder:
                started_s, cpu_s = time.perf_counter(), all_cpu_s()
                frames[name] = fill(Path(folder))
                times[name].append((time.perf_counter() - started_s, all_cpu_s() - cpu_s))
    print(f"{len(paths)} clips of {args.folder}, to {args.size}x{args.size}, {args.rounds} rounds, {cores} cores")
    report(len(paths), frames, times)


def report(clips: int, frames: dict[str, int], times: dict[str, list[tuple[float, float]]]) -> None:
    """Print clips and frames per second, and their ratio to the plain loop."""
    print(f"{'':<22}{'clips/s':>9}{'frames/s':>10}{'ratio':>7}{'CPU s':>8}{'ratio':>7}")
    first: dict[str, float] = {}
    for name, rounds in times.items():
        wall_s, cpu_s = (statistics.median(one[i] for one in rounds) for i in (0, 1))
        first = first or {"wall": wall_s, "cpu": cpu_s}
        speed, cpu = first["wall"] / wall_s, first["cpu"] / cpu_s
        print(f"{name:<22}{clips / wall_s:9.1f}{frames[name] / wall_s:10.0f}{speed:7.2f}{cpu_s:8.2f}{cpu:7.2f}")


def plain(paths: list[Path], size: int, folder: Path) -> int:
    """Decode as tutorials do. Returns the number of frames."""
    count = 0
    for number, path in enumerate(paths):
        capture = cv2.VideoCapture(str(path))
        frames = []
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            frames.append(
                cv2.cvtColor(cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
            )
        capture.release()
        np.save(folder / f"{number}.npy", np.array(frames))
        count += len(frames)
    return count


def ours(paths: list[Path], size: int, folder: Path, processes: int) -> int:
    """Fill a cache. Returns the number of frames."""
    clips = [Clip(str(path), "", "") for path in paths]
    unreadable = FramesCache(folder, size, size).fill(clips, workers=processes)
    if unreadable:
        raise SystemExit("\n".join(unreadable.values()))
    return sum(np.load(path, mmap_mode="r").shape[0] for path in folder.glob("*.npy"))


def all_cpu_s() -> float:
    """Return the CPU time of this process and its finished children, in seconds."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()
