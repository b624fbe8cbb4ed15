"""Write what the emulated computer watches: fixtures.py FOLDER. Needs edgehar installed.

FOLDER/people.mp4 shows drawn people: 160x120 H.264, six actions of five seconds each.
"""

from __future__ import annotations

import fractions
import sys
from pathlib import Path

import av

from edgehar.sources import open_source

_RATE_HZ = 12.5


def write_clip(path: Path) -> None:
    """Write the video."""
    with open_source(f"synthetic:all?duration_s=5&rate_hz={_RATE_HZ}") as source, av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=fractions.Fraction(_RATE_HZ), options={"bf": "0", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for frame in source:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame.data, format="bgr24")))
        file.mux(stream.encode())


if __name__ == "__main__":
    write_clip(Path(sys.argv[1]) / "people.mp4")
