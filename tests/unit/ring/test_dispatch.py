"""Each copy of the kernel, for baseline, AVX2 and AVX-512, gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import dispatch
from support.pictures import random_frame

import edgehar
from edgehar import LookResizer, PixelFormat, Resizer, _ring

KERNEL = Path(_ring.__file__)
EXPECTED = {
    "sum_row",
    "map_levels",
    "greys_of_levels",
    "motion_grey",
    "looks_cells",
    "looks_mask",
    "looks_place",
    "sum_up",
    "nearest",
    "sum_blocks",
    "is_enough",
    "multiply",
}


def digests() -> dict[str, str]:
    """Return a checksum of what the kernel makes of frames of every format, whole and odd scales, of every type."""
    found = {}
    for layout in PixelFormat:
        for height, width in ((120, 160), (97, 134)):
            frames = [random_frame(seed, layout, height, width) for seed in range(2)]
            for name, options in {
                "uint8": {"dtype": "uint8"}, "int8": {"scale": 0.013}, "float32": {"dtype": "float32"},
                "motion": {"motion": "grey-difference", "zero_point": 0},
            }.items():  # fmt: skip
                with Resizer(60, 53, **options) as resizer:
                    made = b"".join(resizer.resize(frame).tobytes() for frame in frames)
                found[f"{layout.name} {width}x{height} {name}"] = hashlib.sha256(made).hexdigest()
            with LookResizer(40, 36, stabilize=True, steady_light=True) as looks:
                made = b"".join(looks.resize(frame).tobytes() for frame in frames)
            found[f"{layout.name} {width}x{height} looks"] = hashlib.sha256(made).hexdigest()
    ground = np.kron(np.random.default_rng(0).integers(0, 256, (32, 42), np.uint8), np.ones((8, 8), np.uint8))
    moves = []
    with LookResizer(40, 36, stabilize=True) as looks:
        for right, down in ((0, 0), (5, -3), (-9, 12), (2, 2)):
            picture = np.repeat(ground[13 - down :, 13 - right :][:230, :300, None], 3, axis=2)
            found[f"moved {right} {down}"] = hashlib.sha256(looks.resize(picture).tobytes()).hexdigest()
            moves.append(looks.shake)
    gains = []
    with LookResizer(40, 36, steady_light=True) as looks:
        looks.set_mask(np.repeat([[255, 0]], (300, 20), axis=1).repeat(240, axis=0).astype(np.uint8))
        for gain in (1.0, 0.8, 1.3, 1.0):
            picture = np.repeat((ground[:, :, None] * gain).clip(0, 255).astype(np.uint8), 3, axis=2)
            found[f"lit {gain} {len(gains)}"] = hashlib.sha256(looks.resize(picture).tobytes()).hexdigest()
            gains.append(looks.gain)
    assert all(gain != 1 for gain in gains[1:3])
    return {**found, "moves": json.dumps(moves), "gains": json.dumps(gains)}


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or not any(dispatch.copies(KERNEL).values()),
    reason="the kernel has copies on x86-64 with glibc only",
)
def test_the_copies_for_all_instruction_sets_give_the_same_bytes() -> None:
    levels = [level for level in dispatch.LEVELS if dispatch.supported(level)]
    runs = {
        level: subprocess.Popen(
            [sys.executable, __file__, level],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for level in levels
    }
    found = {level: json.loads(run.communicate()[0]) for level, run in runs.items()}
    assert all(run.returncode == 0 for run in runs.values())
    wanted = digests()
    for level, (forced, made) in found.items():
        assert set(forced) == dispatch.copies(KERNEL)[level] >= EXPECTED
        assert made == wanted


if __name__ == "__main__":
    assert Path(edgehar.__file__).parent == KERNEL.parent
    print(json.dumps([sorted(dispatch.force(KERNEL, sys.argv[1])), digests()]))
