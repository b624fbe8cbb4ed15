"""What removing changes of light costs a frame, beside making both looks without it, alone and with shake removed.

    python scripts/bench/light.py [--rounds 200] [--size 76]

Frames of 640x480 (BGR and I420) of a still scene, in steady light and brighter or darker by up to 20 % at random; the
resizers take turns. Times are the least processor time of each frame of all rounds, because other work only adds to
it, and means of the frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from shake import scene

from edgehar import LookResizer, PixelFormat

if TYPE_CHECKING:
    from edgehar import Frame

MOST = 0.2


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="rounds of eight frames (200)")
    parser.add_argument("--size", type=int, default=76, help="side of each look in pixels (76)")
    args = parser.parse_args()
    print("| frames | shake | looks, us | and steady light, us | more, us | ratio |\n|---|---|---|---|---|---|")
    for layout in (PixelFormat.BGR24, PixelFormat.I420):
        for name, most in (("steady", 0.0), ("flickering", MOST)):
            frames = flickering(scene(layout, 0), most)
            for stabilize in (False, True):
                times = np.array([measured(frames, args.size, stabilize=stabilize) for _ in range(args.rounds)])
                plain, steady = times.min(axis=0).mean(axis=1)
                cells = f"{plain:.1f} | {steady:.1f} | {steady - plain:.1f} | {steady / plain:.3f}"
                print(f"| {layout.value} {name} | {'removed' if stabilize else ''} | {cells} |")


def flickering(frames: list[Frame], most: float) -> list[Frame]:
    """Return the frames, each multiplied by a random gain."""
    rng = np.random.default_rng(1)
    return [dataclasses.replace(frame, data=_lit(frame.data, rng.uniform(1 - most, 1 + most))) for frame in frames]


def measured(frames: list[Frame], size: int, *, stabilize: bool) -> list[list[float]]:
    """Return microseconds of each frame, without and with steady light."""
    times = []
    for steady_light in (False, True):
        with LookResizer(size, size, stabilize=stabilize, steady_light=steady_light) as resizer:
            out = np.empty((2, size, size, 3), np.int8)
            for frame in frames[:2]:
                resizer.resize_into(frame, out)
            taken = []
            for frame in frames:
                start = time.thread_time_ns()
                resizer.resize_into(frame, out)
                taken.append((time.thread_time_ns() - start) / 1000)
            times.append(taken)
    return times


def _lit(data: Any, gain: float) -> Any:
    if isinstance(data, tuple):
        return (_lit(data[0], gain), *data[1:])
    return np.rint(data * gain).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
