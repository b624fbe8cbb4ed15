"""Small files that claim or hold far too much, each read in a process of its own; prints the peak memory.

    python scripts/faults/hostile_files.py
    python scripts/faults/hostile_files.py --only H.264 --keep /tmp/files

This script makes every file. Exits with 1 if a reader takes 300 MB or more, ends by a signal, prints a traceback, or is
stuck.
"""

from __future__ import annotations

import argparse
import itertools
import os
import struct
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from hostile_reader import report

if TYPE_CHECKING:
    from collections.abc import Callable

# The encoder of AV1 reports its settings otherwise.
os.environ["SVT_LOG"] = "1"
HUGE = 30_000
# Height and width of the largest picture that is decoded.
LARGE = (2176, 4096)


def claims(content: bytes, marker: bytes, offset: int, size: bytes) -> bytes:
    """Return a file whose header has another size after a marker."""
    at = content.index(marker) + offset
    return content[:at] + size + content[at + len(size) :]


def encoded(suffix: str) -> bytes:
    """Return a small picture in a format of OpenCV, lossy where there is a choice."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    return bytes(cv2.imencode(suffix, pixels, [cv2.IMWRITE_WEBP_QUALITY, 80] if suffix == ".webp" else [])[1])


def huge_jpeg() -> bytes:
    """A JPEG whose header claims 30,000 x 30,000."""
    return claims(encoded(".jpg"), b"\xff\xc0", 5, struct.pack(">HH", HUGE, HUGE))


def tiff_claims() -> bytes:
    """A TIFF whose header claims 30,000 x 30,000."""
    content = encoded(".tiff")
    for tag in (256, 257):
        content = content.replace(struct.pack("<HHII", tag, 3, 1, 64), struct.pack("<HHII", tag, 4, 1, HUGE))
    return content


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png() -> bytes:
    """A PNG of 30,000 x 30,000 black pixels, in 3 MB."""
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 + 3 * HUGE)) for _ in range(HUGE // 10)) + packer.flush()
    header = struct.pack(">II", HUGE, HUGE) + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def png_text() -> bytes:
    """A PNG of 8 x 8 with a text that inflates to 1 GB."""
    packer = zlib.compressobj(9)
    text = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    whole = bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1])
    return whole[:33] + chunk(b"zTXt", b"x\0\0" + text) + whole[33:]


def gif() -> bytes:
    """A GIF of 65,535 x 65,535 with a small picture in it."""
    screen = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + bytes(6)
    picture = b"\x2c\0\0\0\0" + struct.pack("<HH", 65535, 65535) + b"\0\x02\x02\x44\x01\0\x3b"
    return screen + picture


def video(path: Path, codec: str, height: int, width: int, frames: int = 30, **options: str) -> None:
    """Encode black frames of any size."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.options = height, width, "yuv420p", options
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane, level in zip(frame.planes, (16, 128, 128), strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        for number in range(frames):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    # SVT-AV1 makes the thread that opens it a real-time one if that is root's, and all that it starts later.
    os.sched_setscheduler(0, policy, parameters)


def small_mp4() -> bytes:
    """A small MP4."""
    with tempfile.TemporaryDirectory() as folder:
        video(Path(folder) / "a.mp4", "libx264", 64, 64)
        return (Path(folder) / "a.mp4").read_bytes()


def avi_claims() -> bytes:
    """An AVI of raw pictures of 30,000 x 30,000."""
    form = struct.pack("<IiiHHIIiiII", 40, HUGE, HUGE, 1, 24, 0, HUGE * HUGE * 3 % 2**32, 0, 0, 0, 0)
    head = b"vidsDIB " + struct.pack("<12I", 0, 0, 0, 1, 25, 0, 100, 0xFFFFFFFF, 0, 0, 0, 0)[:48]
    stream = b"LIST" + struct.pack("<I", 4 + 8 + 56 + 8 + 40) + b"strl" + b"strh" + struct.pack("<I", 56) + head[:56]
    stream += bytes(max(0, 56 - len(head))) + b"strf" + struct.pack("<I", 40) + form
    main = b"avih" + struct.pack("<I", 56) + struct.pack("<14I", 40000, 0, 0, 16, 100, 0, 1, 0, HUGE, HUGE, 0, 0, 0, 0)
    header = b"LIST" + struct.pack("<I", 4 + len(main) + len(stream)) + b"hdrl" + main + stream
    movie = b"LIST" + struct.pack("<I", 0x7FFFFFFF) + b"movi" + b"00db" + struct.pack("<I", 0x7FFFFFF0) + bytes(4096)
    return b"RIFF" + struct.pack("<I", 0x7FFFFFFF) + b"AVI " + header + movie


def matroska_claims() -> bytes:
    """A Matroska file with an element of 2^55 bytes."""
    head = bytes.fromhex("1a45dfa3934286810142f7810142f2810442f381084282847765626d18538067") + b"\x01" + b"\xff" * 7
    return head + b"\xec\x01\x7f" + b"\xff" * 6 + bytes(4096)


def transport_of_zeros() -> bytes:
    """60 MB of a transport stream whose only packet never ends."""
    head = bytes([0x47, 0x41, 0x00, 0x10]) + b"\0\0\1\xe0\0\0\x80\0\0" + bytes(175)
    return head + b"".join(bytes([0x47, 1, 0, 0x10 | n & 15]) + bytes(184) for n in range(1, 320_000))


def h264_unit() -> bytes:
    """60 MB of one unit of H.264."""
    noise = np.random.default_rng(1).integers(1, 255, 60_000_000, dtype=np.uint8).tobytes()
    start = b"\0\0\0\1"
    return start + bytes.fromhex("6742c01eda0280f680") + start + bytes.fromhex("68ce3c80") + start + b"\x65" + noise


def bundle(**entries: bytes) -> Callable[[Path], None]:
    """A bundle with entries that inflate to 3 GB."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries.items():
                with archive.open(
                    f"{name}.json" if name == "manifest" else f"{name}.tflite", "w", force_zip64=True
                ) as entry:
                    entry.write(content)
                    for _ in itertools.repeat(None, 3000):
                        entry.write(bytes(1_000_000))

    return write


def bytes_of(make: Callable[[], bytes]) -> Callable[[Path], None]:
    """Return what writes a file of these bytes."""
    return lambda path: path.write_bytes(make()) and None


def coded(codec: str, height: int, width: int, frames: int = 30, **options: str) -> Callable[[Path], None]:
    """Return what encodes a file."""
    return lambda path: video(path, codec, height, width, frames, **options)


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n"
BUSY = {"preset": "ultrafast"}
# By name: the file's name, and what writes it.
FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "JPEG that claims 30,000 x 30,000": ("a.jpg", bytes_of(huge_jpeg)),
    "motion JPEG that claims 30,000 x 30,000": ("a.mjpeg", bytes_of(huge_jpeg)),
    "PNG of 30,000 x 30,000": ("a.png", bytes_of(huge_png)),
    "PNG with a text of 1 GB": ("b.png", bytes_of(png_text)),
    "BMP that claims 30,000 x 30,000": (
        "a.bmp",
        bytes_of(lambda: claims(encoded(".bmp"), b"BM", 18, struct.pack("<ii", HUGE, HUGE))),
    ),
    "TIFF that claims 30,000 x 30,000": (
        "a.tiff",
        bytes_of(tiff_claims),
    ),
    "WebP that claims 16,383 x 16,383": (
        "a.webp",
        bytes_of(lambda: claims(encoded(".webp"), b"\x9d\x01\x2a", 3, struct.pack("<HH", 16383, 16383))),
    ),
    "GIF of 65,535 x 65,535": ("a.gif", bytes_of(gif)),
    "Y4M of 50,000 x 50,000": (
        "a.y4m",
        bytes_of(lambda: b"YUV4MPEG2 W50000 H50000 F25:1 C420\nFRAME\n" + bytes(65536)),
    ),
    "AVI of raw 30,000 x 30,000": ("a.avi", bytes_of(avi_claims)),
    "H.264 of 8,192 x 8,192": ("a.mp4", coded("libx264", 8192, 8192, 2, **BUSY)),
    "H.264 of 4,096 x 2,176 with 16 references": ("b.mp4", coded("libx264", *LARGE, 24, **BUSY, refs="16", bf="0")),
    "H.264 of 4,096 x 2,176 with 5 references": ("b2.mp4", coded("libx264", *LARGE, 24, **BUSY, refs="5", bf="0")),
    "H.265 of 4,096 x 2,176": ("c.mp4", coded("libx265", *LARGE, 12, **BUSY, **{"x265-params": "log-level=none"})),
    "H.265 of 4,096 x 2,176 with 16 references": (
        "c2.mp4",
        coded("libx265", *LARGE, 20, **BUSY, **{"x265-params": "log-level=none:ref=16:bframes=0:level-idc=62"}),
    ),
    "VP9 of 4,096 x 2,176": ("a.webm", coded("libvpx-vp9", *LARGE, 12, deadline="realtime", **{"cpu-used": "8"})),
    "AV1 of 4,096 x 2,176": ("b.mkv", coded("libsvtav1", *LARGE, 8, preset="12")),
    "MP4 whose sample table claims 2^32 entries": (
        "d.mp4",
        bytes_of(lambda: claims(small_mp4(), b"stsz", 12, b"\xff\xff\xff\xff")),
    ),
    "MP4 whose times claim 2^32 entries": (
        "e.mp4",
        bytes_of(lambda: claims(small_mp4(), b"stts", 8, b"\xff\xff\xff\xff")),
    ),
    "MP4 whose one sample claims 2 GB": (
        "f.mp4",
        bytes_of(lambda: claims(small_mp4(), b"stsz", 16, b"\x7f\xff\xff\xff")),
    ),
    "MP4 with a frame of 10^8 s": (
        "g.mp4",
        bytes_of(lambda: claims(small_mp4(), b"stts", 16, b"\x7f\xff\xff\xff")),
    ),
    "Matroska with an element of 2^55 bytes": (
        "c.mkv",
        bytes_of(matroska_claims),
    ),
    "MPEG-TS of one packet of 60 MB": ("a.ts", bytes_of(transport_of_zeros)),
    "H.264 of one unit of 60 MB": ("a.h264", bytes_of(h264_unit)),
    "playlist that names itself": (
        "a.m3u8",
        bytes_of(lambda: PLAYLIST + b"#EXTINF:4,\na.m3u8\n#EXT-X-ENDLIST\n"),
    ),
    "playlist of 1,000,000 segments": (
        "b.m3u8",
        bytes_of(lambda: PLAYLIST + b"#EXTINF:4,\ns.ts\n" * 1_000_000 + b"#EXT-X-ENDLIST\n"),
    ),
    "list of files that names itself": (
        "a.ffconcat",
        bytes_of(lambda: b"ffconcat version 1.0\n" + b"file a.ffconcat\n" * 100),
    ),
    "bundle with a network of 3 GB": ("a.edgehar", bundle(encoder=b"")),
    "bundle with a manifest of 3 GB": ("b.edgehar", bundle(manifest=b'{"name": "')),
}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only files whose name in the table holds this word")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the files here, and leave them")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if args.keep is None else args.keep
        folder.mkdir(parents=True, exist_ok=True)
        sources = {}
        for name, (file_name, write) in FILES.items():
            if args.only in name:
                write(folder / file_name)
                sources[name] = str(folder / file_name)
        return report("file", sources)


if __name__ == "__main__":
    sys.exit(main())
