"""Instructions and allocations of one push, counted by valgrind's callgrind.

python scripts/bench/instructions.py [--json FILE]

Counts instructions of the installed edgehar, including Python, as the difference between 2N and N pushes of the same
frame, so that everything else cancels. Allocations are all calls of malloc and similar functions; small Python objects
come from Python's own pools, unless PYTHONMALLOC=malloc is set. Valgrind emulates an AVX2 processor. Needs valgrind.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgehar import Frame, FrameRing, PixelFormat

CASES = [  # format, width and height of the source, side of the output
    ("BGR24", 160, 120, 60),
    ("BGR24", 640, 480, 60),
    ("BGR24", 1280, 720, 60),
    ("BGR24", 1920, 1080, 60),
    ("BGR24", 1920, 1080, 64),
    ("RGB24", 640, 480, 60),
    ("BGRA32", 640, 480, 60),
    ("GRAY8", 640, 480, 60),
    ("I420", 640, 480, 60),
    ("NV12", 640, 480, 60),
    ("YUYV", 640, 480, 60),
    ("GRAY8", 8, 8, 1),  # next to nothing but the call itself
]
PUSHES = 10
MARK = "getppid"  # callgrind writes and resets its counts at each call of this C function
ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}


@dataclass
class Count:
    """Cost of one push."""

    pixel_format: str
    width: int
    height: int
    side: int
    instructions: float
    allocations: float

    @property
    def per_pixel(self) -> float:
        return self.instructions / (self.width * self.height)


def frame_of(name: str, width: int, height: int) -> Frame:
    rng = np.random.default_rng(0)
    half = (height // 2, width // 2)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "BGRA32": [(height, width, 4)],
        "GRAY8": [(height, width)],
        "I420": [(height, width), half, half],
        "NV12": [(height, width), (*half, 2)],
        "YUYV": [(height, width, 2)],
    }
    planes = tuple(rng.integers(0, 256, shape, np.uint8) for shape in shapes.get(name, [(height, width, 3)]))
    data = planes if len(planes) > 1 else planes[0]
    return Frame(data, PixelFormat[name], captured_s=0.0, arrived_s=0.0, sequence=0)


def push_all() -> None:
    """Push frames under callgrind: for each case, mark before N pushes, before 2N pushes and after them."""
    for name, width, height, side in CASES:
        ring, frame = FrameRing(20, side, side), frame_of(name, width, height)
        for _ in range(3):
            ring.push(frame)
        for pushes in (0, PUSHES, 2 * PUSHES):
            for _ in range(pushes):
                ring.push(frame)
            os.getppid()


def read_dump(path: Path) -> tuple[int, int]:
    """Read instructions and allocator calls from a file of callgrind."""
    names: dict[str, str] = {}
    allocations = instructions = 0
    called = ""
    for line in path.read_text().splitlines():
        if match := re.match(r"c?fn=(\(\d+\))(?: (.+))?", line):
            number, name = match.groups()
            if name:
                names[number] = name.partition("'")[0].partition("@")[0]
            if line[0] == "c":
                called = names[number]
        elif line.startswith("calls=") and called in ALLOCATORS:
            allocations += int(line[6:].split()[0])
        elif line.startswith(("summary:", "totals:")):
            instructions = int(line.split()[1])
    return instructions, allocations


def count() -> list[Count]:
    """Run this script under callgrind and read its counts."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={folder}/counts"]
        command = ["valgrind", "-q", *options, sys.executable, __file__, "--push"]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            raise SystemExit("valgrind is not installed: install it (Debian: apt install valgrind)") from None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"valgrind ended with exit code {error.returncode}; its messages are above") from None
        dumps = [read_dump(Path(folder, f"counts.{number + 1}")) for number in range(3 * len(CASES))]
    counts = []
    for number, case in enumerate(CASES):
        once, twice = dumps[3 * number + 1], dumps[3 * number + 2]
        counts.append(Count(*case, *((b - a) / PUSHES for a, b in zip(once, twice, strict=True))))
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there too")
    parser.add_argument("--push", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.push:
        push_all()
        return 0
    counts = count()
    print("| source | output | instructions a push | a pixel | allocations |\n|---|---|---|---|---|")
    for c in counts:
        source, output = f"{c.width}x{c.height} {c.pixel_format}", f"{c.side}x{c.side} int8"
        print(f"| {source} | {output} | {c.instructions:,.0f} | {c.per_pixel:.2f} | {c.allocations:g} |")
    if args.json:
        args.json.write_text(json.dumps([asdict(c) for c in counts], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
