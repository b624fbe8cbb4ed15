"""The workload that `scripts/arm64/estimate.sh` counts in the arm64 system: workload.py LIBRARY KIND [ARGUMENT...]

Prints where the code of LIBRARY and of the C library is mapped, in the form of qemu's QEMU_DFILTER, and the address of
getppid. Then runs the work twice, and calls getppid before and after the second time. KIND is `frame FORMAT WIDTH
HEIGHT` (a frame into a ring of 60x60 int8), `bundle NAME PART` or `model FILE` (one run of a network, one thread).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgehar import Frame, FrameRing, ModelBundle, PixelFormat
from edgehar.frames import plane_shapes
from edgehar.model.runtime import load_runtime


def frame(format_name: str, width: str, height: str) -> Callable[[], object]:
    pixel_format = PixelFormat[format_name]
    shapes = plane_shapes(pixel_format, int(height), int(width))
    planes = tuple(np.random.default_rng(0).integers(0, 256, shape, np.uint8) for shape in shapes)
    picture = Frame(planes if len(planes) > 1 else planes[0], pixel_format, 0.0, 0.0, 0)
    ring = FrameRing(2, 60, 60)
    return lambda: ring.push(picture)


def model(content: bytes) -> Callable[[], object]:
    interpreter = load_runtime().interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    invoke: Callable[[], object] = interpreter.invoke
    return invoke


def mapped(library: str) -> str:
    """Return the addresses of the code of a loaded library."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, access, *rest = line.split()
        if access == "r-xp" and rest[-1].endswith(library):
            first, _, end = addresses.partition("-")
            return f"0x{first}..{int(end, 16) - 1:#x}"
    raise SystemExit(f"workload.py: {library} is not loaded")


def main() -> None:
    library, kind, *arguments = sys.argv[1:]
    if kind == "frame":
        work = frame(*arguments)
    elif kind == "bundle":
        work = model(ModelBundle.open(arguments[0]).read(f"{arguments[1]}.tflite"))
    else:
        work = model(Path(arguments[0]).read_bytes())
    mark = ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value or 0
    print(f"{mapped(library)},{mapped('libc.so.6')} {mark:#x}", flush=True)
    work()
    os.getppid()
    work()
    os.getppid()


if __name__ == "__main__":
    main()
