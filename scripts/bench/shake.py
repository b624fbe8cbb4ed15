"""What removing the shake of the camera costs a frame, beside making both looks without it.

    python scripts/bench/shake.py [--rounds 200] [--size 76]

Frames of 640x480 (BGR and I420) of a still scene, steady, and moved at random by up to 1 % of the width; the resizers
take turns. Times are medians of processor time of this thread; ratios are medians of the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np

from edgehar import Frame, LookResizer, PixelFormat

if TYPE_CHECKING:
    import numpy.typing as npt

    Picture = npt.NDArray[np.uint8]

HEIGHT, WIDTH, FRAMES, MOST = 480, 640, 8, 6


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="rounds of eight frames (200)")
    parser.add_argument("--size", type=int, default=76, help="side of each look in pixels (76)")
    args = parser.parse_args()
    print("| frames | looks, us | and stabilized, us | more, us | ratio |\n|---|---|---|---|---|")
    for layout in (PixelFormat.BGR24, PixelFormat.I420):
        for name, most in (("steady", 0), ("shaken", MOST)):
            frames = scene(layout, most)
            times = np.array([measured(frames, args.size) for _ in range(args.rounds)])
            plain, steady = np.median(times, axis=0)
            ratio = np.median(times[:, 1] / times[:, 0])
            more = np.median(times[:, 1] - times[:, 0])
            print(f"| {layout.value} {name} | {plain:.1f} | {steady:.1f} | {more:.1f} | {ratio:.3f} |")


def scene(layout: PixelFormat, most: int) -> list[Frame]:
    """Return frames of a camera that moves by up to so many pixels, of a scene with structure of several sizes."""
    rng = np.random.default_rng(0)
    ground = np.zeros((HEIGHT + 2 * MOST, WIDTH + 2 * MOST), np.float32) + 110
    for cell, contrast in ((80, 60), (32, 30), (8, 15)):
        cells = rng.uniform(-contrast, contrast, (len(ground) // cell + 1, ground.shape[1] // cell + 1))
        ground += np.kron(cells, np.ones((cell, cell)))[: len(ground), : ground.shape[1]]
    levels = ground.clip(0, 255).astype(np.uint8)
    frames = []
    for number in range(FRAMES):
        down, right = rng.integers(-most, most + 1, 2) if number else (0, 0)
        picture = levels[MOST + down :, MOST + right :][:HEIGHT, :WIDTH]
        frames.append(Frame(_laid_out(picture, layout), layout, number / 12.5, number / 12.5, number))
    return frames


def measured(frames: list[Frame], size: int) -> tuple[float, float]:
    """Return microseconds a frame, without and with stabilizing."""
    times = []
    for stabilize in (False, True):
        with LookResizer(size, size, stabilize=stabilize) as resizer:
            out = np.empty((2, size, size, 3), np.int8)
            for frame in frames[:2]:
                resizer.resize_into(frame, out)
            start = time.thread_time_ns()
            for frame in frames:
                resizer.resize_into(frame, out)
            times.append((time.thread_time_ns() - start) / 1000 / len(frames))
    return times[0], times[1]


def _laid_out(picture: Picture, layout: PixelFormat) -> Picture | tuple[Picture, ...]:
    if layout is PixelFormat.I420:
        gray = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
        return picture, gray, gray
    return np.repeat(picture[..., np.newaxis], 3, axis=2)


if __name__ == "__main__":
    main()
