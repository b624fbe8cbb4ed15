"""`edgehar explain`: show which part of the picture and which frames an answer rests on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, check_folder

if TYPE_CHECKING:
    from typing import Any

    from edgehar.inspect.occlusion import Explanation

_EXAMPLES = """\
examples:
  edgehar explain clip.mp4 --out why.png                  the fight detector, its surest window
  edgehar explain clip.mp4 --model interactions --label push --out why.mp4"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "explain",
        help="show what an answer rests on",
        description=f"{__doc__} Each part is covered in turn; the more of the score goes, the more it counted.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("clip", metavar="CLIP", help="video file")
    parser.add_argument("--model", default="fight", help="path of a bundle, or the name of a shipped model (fight)")
    parser.add_argument("--label", help="class to explain (the one with the highest score)")
    parser.add_argument(
        "--out", type=Path, default=Path("why.png"), help="picture (.png, .jpg) or video (.mp4) to write (why.png)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain the clip, and write the picture or video."""
    from edgehar.errors import ConfigError
    from edgehar.inspect import trial
    from edgehar.inspect.occlusion import explain
    from edgehar.printable import printable
    from edgehar.sources import open_source

    if args.out.suffix.lower() not in (".png", ".jpg", ".mp4"):
        raise ConfigError(f"--out {args.out}: write a .png, .jpg or .mp4")
    check_folder(args.out)
    with open_source(args.clip) as source:
        found = explain(source, trial.open_bundle(args.model), args.label)
    if args.out.suffix.lower() == ".mp4":
        _write_video(args.out, found)
    else:
        _write_picture(args.out, found)
    window = found.answer.window
    print(f"{printable(found.label)} {found.score:.2f}, {window.start_s:.2f} to {window.end_s:.2f} s; wrote {args.out}")
    return EXIT_DONE


def _write_picture(path: Path, found: Explanation) -> None:
    import numpy as np

    from edgehar import drawing
    from edgehar.files import whole_file
    from edgehar.inspect.occlusion import SPANS, overlay

    # The middle of the span that carries most.
    span = int(np.argmax(found.spans))
    number = min(round((span + 0.5) / SPANS * len(found.frames)), len(found.frames) - 1)
    encode = drawing.png if path.suffix.lower() == ".png" else drawing.jpeg
    encoded = encode(overlay(found, number))
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded)


def _write_video(path: Path, found: Explanation) -> None:
    from edgehar.annotate import AnnotatedVideo
    from edgehar.frames import Frame, PixelFormat
    from edgehar.inspect.occlusion import overlay

    window = found.answer.window
    step_s = (window.end_s - window.start_s) / max(len(found.frames) - 1, 1) or 0.1
    with AnnotatedVideo(path, rate_hz=1 / step_s) as video:
        for number in range(len(found.frames)):
            pixels = overlay(found, number)
            video.write(Frame(pixels, PixelFormat.BGR24, number * step_s, 0.0, number), found.answer)
