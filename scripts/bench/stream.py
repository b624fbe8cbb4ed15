"""Processor time of watching a video, next to other ways, in turns.

    python scripts/bench/stream.py [--rounds 5] [--seconds 10] [VIDEO...]

Without a video, three are made with ffmpeg: 1080p25 H.264 and H.265, and a 640x360 sub-stream, of moving shapes with
noise. Contenders are whole programs, and a run of one second of video is subtracted, so that the start does not count:

- ffmpeg: decoding in full, to nowhere.
- cv2: `VideoCapture.read` and `resize` to the model's input with INTER_AREA.
- pipe: ffmpeg decodes, picks the model's rate, scales, and sends raw frames through a pipe, which a program reads.
- edgehar-run, in each way to decode: everything, with answers every 0.4 s.

Ratios are to ffmpeg on the first video, in the same round: median, lowest and highest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUN = Path(sys.executable).parent / "edgehar-run"
MODES = ("full", "skip-loop-filter", "reference-only")
START_S = 1.0
WITH_CV2 = """
import sys, cv2
cv2.setNumThreads(1)
video = cv2.VideoCapture(sys.argv[1])
for _ in range(round(25 * float(sys.argv[2]))):
    ok, frame = video.read()
    if not ok:
        break
    cv2.resize(frame, (76, 76), interpolation=cv2.INTER_AREA)
"""
WITH_PIPE = """
import subprocess, sys
source, seconds = sys.argv[1:]
command = ["ffmpeg", "-loglevel", "error", "-threads", "1", "-i", source, "-t", seconds]
command += ["-vf", "fps=12.5,scale=320:240", "-pix_fmt", "yuv420p", "-f", "rawvideo", "pipe:"]
with subprocess.Popen(command, stdout=subprocess.PIPE) as decoder:
    while len(decoder.stdout.read(320 * 240 * 3 // 2)) == 320 * 240 * 3 // 2:
        pass
"""
CLIPS = {
    "1080p H.264": (
        "1920x1080",
        ("-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "50", "-b:v", "4M", "-maxrate", "5M"),
    ),
    "1080p H.265": (
        "1920x1080",
        ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=0:keyint=50", "-b:v", "3M"),
    ),
    "640x360 H.264": ("640x360", ("-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "50", "-b:v", "600k")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO", help="the first is the measure of all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of video (10)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = {path.name: path for path in args.videos} or make_clips(Path(folder), args.seconds)
        ratios: dict[tuple[str, str], list[float]] = {}
        times: dict[tuple[str, str], list[float]] = {}
        for number in range(args.rounds):
            measure = 0.0
            for clip, video in videos.items():
                for name in contenders(video, START_S):
                    spent = cost_s(name, video, args.seconds)
                    measure = measure or spent
                    times.setdefault((clip, name), []).append(1e3 * spent / (25 * (args.seconds - START_S)))
                    ratios.setdefault((clip, name), []).append(spent / measure)
            print(f"round {number + 1} of {args.rounds}; load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    report(times, ratios)


def make_clips(folder: Path, seconds: float) -> dict[str, Path]:
    """Encode the clips."""
    made = {}
    for number, (name, (size, options)) in enumerate(CLIPS.items()):
        made[name] = folder / f"{number}.mp4"
        source = f"testsrc2=s={size}:r=25:d={seconds + 1},noise=alls=12:allf=t"
        command = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", source, *options, "-pix_fmt", "yuv420p"]
        subprocess.run([*command, str(made[name])], check=True)
    return made


def contenders(video: Path, seconds: float) -> dict[str, list[str]]:
    """Return the commands that watch so many seconds of a video."""
    source, length = str(video), str(seconds)
    ffmpeg = ["ffmpeg", "-loglevel", "error", "-threads", "1", "-i", source, "-t", length, "-f", "null", "-"]
    python = [sys.executable, "-c"]
    return {
        "ffmpeg": ffmpeg,
        "cv2": [*python, WITH_CV2, source, length],
        "pipe": [*python, WITH_PIPE, source, length],
        **{
            f"edgehar {mode}": [
                *(str(RUN), "--source", source, "--decode", mode, "--duration", length, "--output", "none")
            ]
            for mode in MODES
        },
    }


def cost_s(name: str, video: Path, seconds: float) -> float:
    """Return the processor time of a contender, without its start."""
    return cpu_s(contenders(video, seconds)[name]) - cpu_s(contenders(video, START_S)[name])


def cpu_s(command: list[str]) -> float:
    """Return the processor time of a command and its children, in seconds."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read() if process.stderr is not None else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {errors[-300:]}")
    return usage.ru_utime + usage.ru_stime


def report(times: dict[tuple[str, str], list[float]], ratios: dict[tuple[str, str], list[float]]) -> None:
    """Print a line for each video and contender."""
    print(f"{'video':<16} {'contender':<26} {'CPU ms a frame':>14} {'ratio':>6} {'lowest':>7} {'highest':>8}")
    for (clip, name), found in ratios.items():
        cost = statistics.median(times[clip, name])
        print(f"{clip:<16} {name:<26} {cost:14.2f} {statistics.median(found):6.2f} {min(found):7.2f} {max(found):8.2f}")


if __name__ == "__main__":
    main()
