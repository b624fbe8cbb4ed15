"""Compare edgehar's reader with ffprobe and ffmpeg: frame times, frame counts and small pixels of many media files.

    python scripts/faults/compare_with_ffmpeg.py FOLDER...
    python scripts/faults/compare_with_ffmpeg.py samples --csv table.csv

Every file below the folders is read by edgehar, by ffprobe (times) and by ffmpeg (pixels, 16 x 12 of every frame,
turned as its display matrix says). Files with the same content are compared once, and of long files only the
first frames. A difference is explained if the cause can be checked, for example frames that edgehar dropped as damaged.
Exits with 1 if one is not explained.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import logging
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgehar import EdgeharError
from edgehar.pictures import as_bgr
from edgehar.sources.options import MAX_PIXELS
from edgehar.sources.video import VideoSource

WIDTH, HEIGHT = 16, 12
# Mean difference of small pixels, of 255, that comes from rounding, chroma siting and scaling.
ALIKE = 4.0
# Differences of times, in seconds: half of the coarsest tick of a container, 1 ms, and rounding.
SAME_TIME_S = 0.0011
TIMEOUT_S = 300
# More packets than frames to read, because the last frames wait for those after them.
REORDERED = 32


@dataclass
class Reading:
    """A reader's findings in a file.

    Attributes:
        times_s: time of each frame since the first, in seconds; None if unknown.
        pixels: uint8 `(frames, 12, 16, 3)`, BGR.
        error: why it cannot be read; empty if it can.
        damaged: frames that the reader dropped as damaged.
        flags: what explains differences: "cut" (joined recordings), "large" (over max_pixels), "tiny" (too small to
            be averaged over areas).
    """

    times_s: list[float | None] = field(default_factory=list)
    pixels: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    error: str = ""
    damaged: int = 0
    flags: set[str] = field(default_factory=set)


def read_with_edgehar(path: Path, most: int) -> Reading:
    """Read a file as `edgehar-run` does."""
    found = Reading()
    try:
        # Not `open_source`, which reads pictures by their names.
        with VideoSource(str(path)) as source:
            try:
                _collect(source, most, found)
            finally:
                found.damaged = source.damaged
    except EdgeharError as error:
        found.error = str(error).removeprefix(f"{path}: ")
    return found


def _collect(source: VideoSource, most: int, found: Reading) -> None:
    for frame in source:
        if frame.cut:
            found.flags.add("cut")
        found.times_s.append(frame.captured_s)
        found.pixels.append(small(as_bgr(frame)))
        if len(found.pixels) == most:
            break


def small(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return BGR pixels as a small picture, averaged over areas."""
    return np.asarray(cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def read_with_ffmpeg(path: Path, most: int) -> Reading:
    """Read a file with ffprobe and ffmpeg: the first video stream that is not a cover."""
    found = Reading()
    probe = _json(
        ["ffprobe", "-v", "error", "-select_streams", "V:0", "-of", "json", "-show_format", "-show_streams", str(path)]
    )
    streams = probe.get("streams", [])
    if not streams:
        found.error = "no video stream"
        return found
    if streams[0].get("width", 0) * streams[0].get("height", 0) > MAX_PIXELS:
        found.flags.add("large")
    if streams[0].get("width", 0) < 2 * WIDTH or streams[0].get("height", 0) < 2 * HEIGHT:
        found.flags.add("tiny")
    name = probe["format"]["format_name"]
    time = "pkt_dts_time" if name in ("avi", "mxf") else "best_effort_timestamp_time"
    entries = f"frame={time},key_frame"
    listed = _json(
        ["ffprobe", "-v", "error", "-select_streams", "V:0", "-of", "json", "-show_frames", "-show_entries", entries,
         "-read_intervals", f"%+#{most + REORDERED}", f"file:{path}"]
    ).get("frames", [])  # fmt: skip
    times = [float(frame[time]) if time in frame else None for frame in listed]
    first = next((time_s for time_s in times if time_s is not None), 0.0)
    found.times_s = [None if time_s is None else time_s - first for time_s in times[:most]]
    found.pixels = _small_frames(path, most)
    return found


def _json(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    try:
        return json.loads(done.stdout or "{}")
    except json.JSONDecodeError:
        return {}


def _small_frames(path: Path, most: int) -> list[npt.NDArray[np.uint8]]:
    """Return every frame of a file as ffmpeg decodes and turns it, each before any scaling of its own size."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", f"file:{path}", "-map", "0:V:0", "-fps_mode", "passthrough"]
    command += ["-frames:v", str(most), "-vf"]
    command += [f"format=bgr24,scale={WIDTH}:{HEIGHT}:flags=area", "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    size = WIDTH * HEIGHT * 3
    raw = np.frombuffer(done.stdout[: len(done.stdout) // size * size], np.uint8)
    return list(raw.reshape(-1, HEIGHT, WIDTH, 3))


def compare(ours: Reading, theirs: Reading) -> tuple[str, str]:
    """Return a verdict ("equal", "explained" or "different") and what differs."""
    if ours.error or theirs.error or not theirs.pixels:
        return _compare_errors(ours, theirs)
    pixels = [] if "tiny" in theirs.flags else _pixels(ours, theirs)
    differences = [*_counts(ours, theirs), *_times(ours, theirs), *pixels]
    if not differences:
        return "equal", ""
    why = explanation(ours)
    return ("explained" if why else "different"), "; ".join([*differences, *([f"because {why}"] if why else [])])


def _compare_errors(ours: Reading, theirs: Reading) -> tuple[str, str]:
    if ours.error and (theirs.error or not theirs.pixels):
        return "equal", f"neither reads it ({ours.error})"
    if not ours.error:
        return "explained", f"only edgehar reads it, {len(ours.pixels)} frames; this ffmpeg is older"
    verdict = "explained" if "large" in theirs.flags or ours.damaged else "different"
    why = f" because all {ours.damaged} frames are flagged as damaged" if ours.damaged else ""
    return verdict, f"only ffmpeg reads it, {len(theirs.pixels)} frames: {ours.error}{why}"


def explanation(ours: Reading) -> str:
    """Return why edgehar's frames differ on purpose; an empty string if nothing explains it."""
    if ours.damaged:
        return f"edgehar drops damaged frames ({ours.damaged})"
    if "cut" in ours.flags:
        return "times of joined recordings continue after a cut"
    return ""


def _counts(ours: Reading, theirs: Reading) -> list[str]:
    if len(ours.pixels) == len(theirs.pixels):
        return []
    return [f"{len(ours.pixels)} frames, ffmpeg {len(theirs.pixels)}"]


def _times(ours: Reading, theirs: Reading) -> list[str]:
    off = [
        abs(mine - yours)
        for mine, yours in zip(ours.times_s, theirs.times_s, strict=False)
        if mine is not None and yours is not None
    ]
    unequal = [step_s for step_s in off if step_s > SAME_TIME_S]
    return [f"times of {len(unequal)} of {len(off)} frames, by up to {max(unequal):.3f} s"] if unequal else []


def _pixels(ours: Reading, theirs: Reading) -> list[str]:
    off = [
        float(np.abs(mine.astype(np.int16) - yours).mean())
        for mine, yours in zip(ours.pixels, theirs.pixels, strict=False)
    ]
    unlike = [value for value in off if value > ALIKE]
    return [f"pixels of {len(unlike)} of {len(off)} frames, by up to {max(unlike):.1f}"] if unlike else []


def files_in(folders: list[Path]) -> list[Path]:
    """Return the files below folders, one for each content."""
    seen, files = set(), []
    for path in sorted(path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*"))):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).digest()
            if digest not in seen:
                seen.add(digest)
                files.append(path)
    return files


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folders of media files, or files")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each file")
    parser.add_argument(
        "--frames", type=int, default=300, metavar="N", help="most frames of a file (default: %(default)s)"
    )
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    verdicts, rows = Counter(), []
    files = files_in(args.folders)
    for number, path in enumerate(files):
        try:
            ours, theirs = read_with_edgehar(path, args.frames), read_with_ffmpeg(path, args.frames)
            verdict, why = compare(ours, theirs)
            frames = len(ours.pixels)
        except subprocess.TimeoutExpired:
            verdict, why, frames = "different", f"ffmpeg did not end within {TIMEOUT_S} s", 0
        except Exception as error:
            verdict, why, frames = "different", f"{type(error).__name__}: {error}", 0
        verdicts[verdict] += 1
        rows.append((str(path), verdict, frames, why))
        if why:
            print(f"{verdict:10} {path.name}: {why}", flush=True)
        elif number % 50 == 49:
            print(f"{number + 1} of {len(files)} files", file=sys.stderr)
    if args.csv is not None:
        with args.csv.open("w", newline="") as table:
            csv.writer(table).writerows([("file", "verdict", "frames", "why"), *rows])
    print(f"{len(files)} files: {dict(verdicts)}")
    return 1 if verdicts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
