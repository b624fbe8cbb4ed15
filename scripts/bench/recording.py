"""Cost of recording, side by side: the same run with and without it, in turns, on the same video.

    python scripts/bench/recording.py [--seconds 30] [--rounds 8] [--json FILE]

Packets of 1080p25 H.264 (4 Mbit/s) are copied, and raw 640x480 frames at 15 frames/s are encoded. An event is open all
the time, so that every frame is recorded. Three kinds of measurement:

- copying alone: packets are read in real time, and kept and recorded or not, without decoding. Processor time is that
  of the process, in percent of one core.
- whole runs: the processor time of `edgehar-run` for the same frames, read as fast as they can be, in percent of one
  core at the video's rate. A run of 10 s of video is subtracted, so that the start and the two pictures of an event do
  not count. On a busy machine this is too noisy for the cost of copying.
- the 95th percentile of the frame age of runs in real time.

Differences are medians over the rounds, with the lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from edgehar.masks import View
from edgehar.recording.options import RecordOptions
from edgehar.recording.recorder import Recorder
from edgehar.recording.sidecar import Model
from edgehar.records import Event, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = Path(sys.executable).parent / "edgehar-run"
SHORT_S = 10
CONFIG = """
model = "fight"
[decision]
evidence_from = 0.0001
evidence_to = 0.0002
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


def copying(source: Path, folder: Path, seconds: float, *, record: bool) -> float:
    """Return processor time of reading the packets of a video in real time, in percent of one core."""
    with tempfile.TemporaryDirectory(dir=folder) as clips, av.open(str(source)) as video:
        stream = video.streams.video[0]
        recorder = feed = None
        if record:
            recorder = Recorder(RecordOptions(directory=clips, min_free_mb=0, max_s=86_400))
            camera = recorder.camera("hall", Model("none", None, ("fight",)), View())
            feed = camera.begin(stream, live=True)
            start = Event("start", "0" * 36, 0, utc_now(), "hall", "none", "fight", 1.0, time.monotonic())
            camera.records([start])
        started_s, cpu_s = time.monotonic(), time.process_time()
        for packet in _endless(video, stream, seconds):
            time.sleep(max(0.0, started_s + float(packet.pts * packet.time_base) - time.monotonic()))
            if feed is not None:
                feed.packet(packet)
        busy_s = time.process_time() - cpu_s
        if recorder is not None:
            recorder.close(60)
            assert any(Path(clips).rglob("*.mp4"))
    return 100 * busy_s / seconds


def _endless(video: Any, stream: Any, seconds: float) -> Iterator[Any]:
    """Yield the packets of a video again and again, with rising times, for some seconds of video."""
    begin = 0
    while begin * stream.time_base < seconds:
        video.seek(0, stream=stream)
        for packet in video.demux(stream):
            if packet.dts is None:
                continue
            packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
            if packet.pts * packet.time_base >= seconds:
                return
            yield packet
        begin += stream.duration


def whole_run(source: Path, folder: Path, seconds: float, *, record: bool) -> float:
    """Return processor time of a run, in percent of one core."""
    short_s, _ = run(source, folder, SHORT_S, record=record, realtime=False)
    long_s, _ = run(source, folder, SHORT_S + seconds, record=record, realtime=False)
    return 100 * (long_s - short_s) / seconds


def frame_age(source: Path, folder: Path, seconds: float, *, record: bool) -> float:
    """Return the 95th percentile of the frame age of a run in real time, in milliseconds."""
    return run(source, folder, seconds, record=record, realtime=True)[1]


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


def pairs_of(measure: Callable[[bool], float], rounds: int) -> list[tuple[float, float]]:
    """Measure without and with recording, in turns; every second pair begins with the other."""
    pairs = []
    for number in range(rounds):
        first = number % 2 == 1
        values = {record: measure(record) for record in (first, not first)}
        pairs.append((values[False], values[True]))
    return pairs


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="seconds of each run (30)")
    parser.add_argument("--rounds", type=int, default=8, help="pairs of runs for each case (8)")
    parser.add_argument("--only", help="measure only what has this text in its name")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    report = {}
    with tempfile.TemporaryDirectory() as name:
        folder, seconds = Path(name), args.seconds
        copied, encoded = write_h264(folder / "a.mp4", 10), write_raw(folder / "b.nut", 10)
        cases: dict[str, Callable[[bool], float]] = {
            "copying 1080p25 alone, % of a core": lambda on: copying(copied, folder, seconds, record=on),
            "run with 1080p25 copied, % of a core": lambda on: whole_run(copied, folder, seconds, record=on),
            "run with 640x480 at 15/s encoded, % of a core": lambda on: whole_run(encoded, folder, seconds, record=on),
            "frame age p95 with 1080p25 copied, ms": lambda on: frame_age(copied, folder, seconds, record=on),
            "frame age p95 with 640x480 encoded, ms": lambda on: frame_age(encoded, folder, seconds, record=on),
        }
        print("| what | without | with | difference | lowest, highest |")
        print("|---|---|---|---|---|")
        for case, measure in cases.items():
            if args.only is not None and args.only not in case:
                continue
            pairs = pairs_of(measure, args.rounds)
            without, recorded = (statistics.median(pair[k] for pair in pairs) for k in (0, 1))
            changes = sorted(pair[1] - pair[0] for pair in pairs)
            report[case] = {
                "without": without,
                "with": recorded,
                "difference": statistics.median(changes),
                "pairs": pairs,
            }
            print(
                f"| {case} | {without:.2f} | {recorded:.2f} | {statistics.median(changes):+.2f} | "
                f"{changes[0]:+.2f}, {changes[-1]:+.2f} |",
                flush=True,
            )
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
