"""Cost of recording, side by side: the same run with and without it, in turns, on the same video.

    python scripts/bench/recording.py [--seconds 30] [--rounds 3] [--json FILE]

Two cases: packets of 1080p25 H.264 (4 Mbit/s) that are copied, and raw 640x480 frames at 15 frames/s that are encoded.
An event is open all the time, so that every frame is recorded. Processor time is that of the whole process for the
same frames, read as fast as they can be, in percent of one core at the video's rate. A run of 10 s of video is
subtracted, so that the start and the two pictures of an event do not count. The 95th percentile of the frame age is of
runs in real time. Differences are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RUN = Path(sys.executable).parent / "edgehar-run"
SHORT_S = 10
CONFIG = """
model = "fight"
[decision]
thresholds = {{ fight = 0.0, noFight = 1.0 }}
min_duration_s = 86400
[[camera]]
name = "hall"
source = "{source}"
realtime = {realtime}
loop = true
[record]
min_free_mb = 0
labels = {labels}
"""


def write_h264(path: Path, seconds: int) -> Path:
    """Encode 1080p25 noise over moving bars at about 4 Mbit/s."""
    generator = np.random.default_rng(0)
    bars = np.add.outer(np.arange(1080), np.arange(1920)) % 256
    noise = generator.integers(-8, 9, (4, 1080, 1920))
    with av.open(str(path), "w") as file:
        stream = file.add_stream(
            "libx264",
            rate=25,
            options={"preset": "veryfast", "b": "4M", "maxrate": "5M", "bufsize": "5M", "bf": "0", "g": "50"},
        )
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(25 * seconds):
            luma = np.clip(np.roll(bars, 4 * number, 1) + noise[number % 4], 0, 255).astype(np.uint8)
            chroma = np.full((540, 1920), 128, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.vstack([luma, chroma]), format="yuv420p")))
        file.mux(stream.encode(None))
    return path


def write_raw(path: Path, seconds: int) -> Path:
    """Write raw YUYV 640x480 at 15 frames/s: moving bars with noise."""
    generator = np.random.default_rng(1)
    bars = np.add.outer(np.arange(480), np.arange(640)) % 256
    noise = generator.integers(-4, 5, (4, 480, 640))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("rawvideo", rate=15)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuyv422"
        for number in range(15 * seconds):
            gray = np.clip(np.roll(bars, 3 * number, 1) + noise[number % 4], 0, 255).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(np.repeat(gray[..., None], 3, 2), format="bgr24")
            picture = picture.reformat(format="yuyv422")
            picture.pts, picture.time_base = number, Fraction(1, 15)
            file.mux(stream.encode(picture))
    return path


def measure(source: Path, folder: Path, seconds: float, *, record: bool) -> tuple[float, float]:
    """Return processor time in percent of one core, and the 95th percentile of the frame age in milliseconds."""
    short_s, _ = run(source, folder, SHORT_S, record=record, realtime=False)
    long_s, _ = run(source, folder, SHORT_S + seconds, record=record, realtime=False)
    _, age_ms = run(source, folder, seconds, record=record, realtime=True)
    return 100 * (long_s - short_s) / seconds, age_ms


def run(source: Path, folder: Path, seconds: float, *, record: bool, realtime: bool) -> tuple[float, float]:
    """Return processor time in seconds, and the 95th percentile of the frame age in milliseconds."""
    config = folder / "edgehar.toml"
    config.write_text(CONFIG.format(source=source, labels="[]", realtime=str(realtime).lower()))
    config.chmod(0o600)
    with tempfile.TemporaryDirectory(dir=folder) as clips:
        command = [str(RUN), "--config", str(config), "--duration", str(seconds)]
        command += ["--record", clips] if record else []
        before = os.times()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        after = os.times()
        if done.returncode:
            raise SystemExit(done.stderr)
        ages = [row["frame_age_ms"] for row in map(json.loads, done.stdout.splitlines()) if row["type"] == "prediction"]
        recorded = sum(path.stat().st_size for path in Path(clips).rglob("*.mp4"))
        assert bool(recorded) == record, done.stderr
    busy_s = after.children_user + after.children_system - before.children_user - before.children_system
    return busy_s, float(np.percentile(ages, 95))


def main() -> None:
    """Run both cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="seconds of each run (30)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs for each case (3)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    report = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {
            "copied, 1080p25 H.264": write_h264(folder / "a.mp4", 10),
            "encoded, 640x480 at 15/s": write_raw(folder / "b.nut", 10),
        }
        print("| case | CPU without, % | CPU with, % | difference, points | p95 age without, ms | with, ms |")
        print("|---|---|---|---|---|---|")
        for case, source in cases.items():
            pairs = [
                (
                    measure(source, folder, args.seconds, record=False),
                    measure(source, folder, args.seconds, record=True),
                )
                for _ in range(args.rounds)
            ]
            without, with_it = ([statistics.median(p[k][i] for p in pairs) for i in (0, 1)] for k in (0, 1))
            difference = statistics.median(b[0] - a[0] for a, b in pairs)
            report[case] = {"without": without, "with": with_it, "difference": difference, "pairs": pairs}
            print(
                f"| {case} | {without[0]:.1f} | {with_it[0]:.1f} | {difference:+.2f} | {without[1]:.2f} | "
                f"{with_it[1]:.2f} |",
                flush=True,
            )
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
