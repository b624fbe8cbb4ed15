"""Copy a folder of clips as a network camera on a slow link would have sent them: H.264 at 150 kbit/s.

    python scripts/studies/low_bitrate.py DATA/survfight OUT/survfight_150k

The copy has the folders and names of the original, with the suffix .mp4, and its tables (groups.csv, events.csv), so
that a network can learn from it beside the original: as another source of the same `namespace`, with
`learn_only = true` (docs/datasets.md). Clips that are there already are kept. They are encoded as the condition h264
of `edgehar eval --conditions` encodes: constant bit rate, and a key frame every two seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import av
from av.video.frame import PictureType

from edgehar.files import whole_file
from edgehar.sources.address import VIDEO_SUFFIXES

BITS_PER_S = 150_000
KEY_FRAME_EVERY_S = 2.0


def copy(source: Path, target: Path) -> None:
    """Re-encode the pictures of one clip with their times; one that is not later than the one before is left out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    bits = str(BITS_PER_S)
    options = {"preset": "veryfast", "tune": "zerolatency", "maxrate": bits, "bufsize": bits}
    with whole_file(target) as temporary, av.open(str(source)) as given, av.open(str(temporary), "w", "mp4") as made:
        video = given.streams.video[0]
        rate = video.average_rate or 25
        stream = made.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = video.width // 2 * 2, video.height // 2 * 2
        stream.pix_fmt, stream.bit_rate, stream.time_base = "yuv420p", BITS_PER_S, video.time_base
        stream.codec_context.gop_size = max(1, round(KEY_FRAME_EVERY_S * rate))
        stream.codec_context.thread_count = 1
        last = float("-inf")
        for frame in given.decode(video):
            if frame.pts is None or frame.pts <= last:
                continue
            last = frame.pts
            picture = frame.reformat(stream.width, stream.height, "yuv420p")
            picture.pict_type = PictureType.NONE
            made.mux(stream.encode(picture))
        made.mux(stream.encode(None))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    clips = sorted(path for path in args.source.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    if not clips:
        print(f"low_bitrate: {args.source} holds no video; give a folder of clips", file=sys.stderr)
        return 2
    for number, clip in enumerate(clips, 1):
        target = (args.target / clip.relative_to(args.source)).with_suffix(".mp4")
        if not target.exists():
            copy(clip, target)
        if sys.stderr.isatty():
            print(f"\r{number} of {len(clips)} clips", end="", file=sys.stderr, flush=True)
    for table in args.source.glob("*.csv"):
        text = table.read_text()
        for clip in clips:
            name = clip.relative_to(args.source)
            text = text.replace(f"{name},", f"{name.with_suffix('.mp4')},")
        (args.target / table.name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
