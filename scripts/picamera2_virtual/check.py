"""Read libcamera's virtual camera with edgehar's source and with edgehar-run: check.py FOLDER_OF_PICTURES.

Says of each check what came out; exits with 1 when one failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

import adapter
import numpy as np
from PIL import Image

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.sources import open_source

FRAMES = 300
PREDICTIONS = 20
# A picture and its copy through JPEG differ by rounding only.
CLOSE = 1.0
# What edgehar-run is without the adapter.
RUN = "import sys, adapter; from edgehar.cli.run import main; sys.exit(main())"

_failures = 0


def say(name: str, passed: bool, detail: str) -> None:
    """Report one check."""
    global _failures
    _failures += not passed
    print(f"{'ok  ' if passed else 'FAIL'}  {name}: {detail}", flush=True)


def planes_of(path: Path) -> list[np.ndarray]:
    """Y, U and V of a JPEG, the colors averaged as the file holds them."""
    picture = Image.open(path)
    picture.draft("YCbCr", picture.size)
    y, u, v = np.moveaxis(np.asarray(picture.convert("YCbCr"), float), -1, 0)
    return [y, *(c.reshape(len(c) // 2, 2, -1, 2).mean((1, 3)) for c in (u, v))]


def furthest(frame: Frame, planes: list[np.ndarray]) -> float:
    """The largest mean difference of a plane, in levels."""
    return max(float(np.abs(ours - theirs).mean()) for ours, theirs in zip(frame.data, planes, strict=True))


def check_frames(folder: Path) -> None:
    """Pixels, order, times, and that frames are copies."""
    pictures = [planes_of(path) for path in sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))]
    numbers, worst, ages, stamps, first = [], 0.0, [], [], None
    with open_source("picamera2:0", rate_hz=30) as source:
        for count, frame in enumerate(source):
            if first is None:
                first, before = frame, [plane.copy() for plane in frame.data]
                shapes = [plane.shape for plane in frame.data]
            ages.append(frame.arrived_s - frame.captured_s)
            stamps.append(frame.captured_s)
            if count % 20 == 0:
                far = [furthest(frame, planes) for planes in pictures]
                numbers.append(int(np.argmin(far)))
                worst = max(worst, min(far))
            if count + 1 == FRAMES:
                break
    wanted = [(480, 640), (240, 320), (240, 320)]
    say("format", frame.format is PixelFormat.I420 and shapes == wanted, f"{frame.format.name} {shapes}")
    say("pixels", worst < CLOSE, f"planes are within {worst:.2f} levels of the pictures shown")
    say("motion", len(set(numbers)) > len(numbers) // 2, f"pictures seen: {numbers}")
    say("times", all(np.diff(stamps) > 0) and 0 <= min(ages) <= max(ages) < 1, f"median age {np.median(ages):.4f} s")
    kept = all(np.array_equal(a, b) for a, b in zip(first.data, before, strict=True))
    say("copies", kept, f"the first frame is as it was after {FRAMES} frames")


def check_refusals() -> None:
    """A source that cannot be opened is refused with our message."""
    for name, uri, options, kind in (
        ("a camera that is not there", "picamera2:7", {}, SourceError),
        ("an unknown control", "picamera2:0", {"controls": {"Zoom": 2}}, ConfigError),
    ):
        try:
            open_source(uri, **options).close()
        except kind as error:
            say(name, True, str(error).split(";")[0])
        else:
            say(name, False, "was accepted")


def check_unadapted() -> None:
    """Without the adapter the virtual camera is one that gives no raw pictures, which picamera2 cannot open."""
    command = [str(Path(sys.executable).with_name("edgehar-run")), "--source", "picamera2:0", "--duration", "5"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    last = run.stderr.splitlines()[-1]
    say("a camera without raw pictures", run.returncode == 1 and "not a camera module" in last, last.split(";")[0])


def check_run() -> None:
    """The command, with a network, on what the camera shows."""
    command = [sys.executable, "-c", RUN, "--source", "picamera2:0", "--model", "actions-synthetic"]
    command += ["--max-predictions", str(PREDICTIONS), "--duration", "60"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    records = [json.loads(line) for line in run.stdout.splitlines()]
    labels = Counter(record["label"] for record in records if record.get("type") == "prediction")
    walking = labels["walking"] > PREDICTIONS // 2 and labels.total() == PREDICTIONS
    say("edgehar-run", run.returncode == 0 and walking, f"exit code {run.returncode}, answers {dict(labels)}")
    if run.returncode or not walking:
        print(run.stderr[-2000:] or run.stdout[-2000:])


def main() -> int:
    """All checks."""
    cameras = adapter.VirtualCamera.global_camera_info()
    print(f"picamera2 {metadata.version('picamera2')}, libcamera's cameras: {[c['Model'] for c in cameras]}")
    check_refusals()
    check_unadapted()
    for time in ("first", "second"):
        print(f"opened for the {time} time")
        check_frames(Path(sys.argv[1]))
    check_run()
    print("picamera2_virtual: " + (f"{_failures} checks FAILED" if _failures else "all checks passed"))
    return int(_failures > 0)


if __name__ == "__main__":
    sys.exit(main())
