"""`edgehar bench`: how fast this machine shrinks, encodes and classifies frames, beside what others take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE
from edgehar.cli.run import DEFAULT_MODEL
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from typing import Any

PARTS = {
    "preprocess": "shrink frames of every format and size, beside cv2, numpy, Pillow and reading the bytes",
    "threads": "shrink frames in two Python threads at once",
    "jpeg": "decode and shrink pictures of an MJPEG camera",
    "model": "encode, classify, and whole answers",
    "peers": "other networks, given with --peer",
}
_STANDARD_OUTPUT = "-"
_EXAMPLES = """\
examples:
  edgehar bench                                      everything, in about two minutes
  edgehar bench preprocess --quick                   a first look, in seconds
  edgehar bench model --model my.edgehar --json -    one model's figures as JSON
  edgehar bench all --peer other.tflite --markdown results.md"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parts = "\n".join(f"  {name:<11} {what}" for name, what in PARTS.items())
    parser = subparsers.add_parser(
        "bench",
        help="measure this machine, beside what others take",
        description=f"{__doc__}\n\nparts:\n{parts}\n  {'all':<11} all of them (the default)",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", type=_part, metavar="PART", help="what to measure (default: all)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name of a shipped model, or path of a bundle")
    parser.add_argument("--size", type=_size, default=60, help="rows and columns to shrink to (default: %(default)s)")
    parser.add_argument(
        "--peer",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a .tflite to run beside; may be repeated",
    )
    parser.add_argument("--rounds", type=_rounds, metavar="N", help="rounds that medians are taken of (default: 9)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - prints them instead of the tables")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    parser.add_argument(
        "--quick", action="store_true", help="few and short rounds: seconds, but figures that say little"
    )
    parser.set_defaults(run=run)


def _part(text: str) -> str:
    if text not in (*PARTS, "all"):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PARTS)}, all")
    return text


def _rounds(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def _size(text: str) -> int:
    if not 8 <= int(text) <= 224:
        raise argparse.ArgumentTypeError(f"{text} is not between 8 and 224")
    return int(text)


# argparse names the type in its message: "invalid whole number value: 'x'".
_rounds.__name__ = _size.__name__ = "whole number"


def run(args: argparse.Namespace) -> int:
    """Measure, and say or write what was found."""
    from edgehar.bench import report, suite
    from edgehar.files import write_text
    from edgehar.progress import Progress

    json_file = None if args.json in (None, _STANDARD_OUTPUT) else Path(args.json)
    for file in filter(None, (json_file, args.markdown)):
        if not file.parent.is_dir():
            raise ConfigError(f"{file}: there is no folder {file.parent}; make it first")
    parts = frozenset(PARTS) if not args.parts or "all" in args.parts else frozenset(args.parts)
    options = suite.Options(parts, args.size, args.model, tuple(args.peer), args.rounds, args.quick)
    with Progress() as progress:
        found = suite.run(options, lambda part, details: progress.part(f"measuring {part}", details))
    print(report.as_json(found) if args.json == _STANDARD_OUTPUT else report.text(found), end="")
    if json_file is not None:
        write_text(json_file, report.as_json(found))
    if args.markdown is not None:
        write_text(args.markdown, report.markdown(found))
    return EXIT_DONE
