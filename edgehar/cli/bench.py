"""`edgehar bench`: measure how fast this machine resizes, encodes and classifies frames, next to other libraries."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, check_folder
from edgehar.cli.numbers import number_above_0, whole_number
from edgehar.cli.run import DEFAULT_MODEL
from edgehar.errors import ConfigError, EdgeharError

if TYPE_CHECKING:
    from typing import Any

PARTS = {
    "preprocess": "resize frames of every format and size, next to cv2, numpy, Pillow and plain reading",
    "threads": "resize frames in two Python threads at once",
    "jpeg": "decode and resize pictures of an MJPEG camera",
    "model": "encode, classify, and complete predictions",
    "peers": "other networks, given with --peer",
}
_STREAM = "stream"
_STANDARD_OUTPUT = "-"
_EXAMPLES = """\
examples:
  edgehar bench                                      everything, about two minutes
  edgehar bench preprocess --quick                   rough figures, in seconds
  edgehar bench model --model my.edgehar --json -    figures of one model as JSON
  edgehar bench all --peer other.tflite --markdown results.md
  edgehar bench stream rtsp://camera/stream          cost of a camera, and how many this machine carries"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parts = "\n".join(f"  {name:<11} {what}" for name, what in PARTS.items())
    parser = subparsers.add_parser(
        "bench",
        help="measure the speed of this machine, next to other libraries",
        description=f"{__doc__}\n\nparts:\n{parts}\n  {'all':<11} all of them (the default)\n\n"
        "edgehar bench stream SOURCE measures a video file or network stream instead: what each step costs, for each\n"
        "way to decode, and how many such cameras this machine carries.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="what to measure (default: all), or: stream, and a file or address"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name of a shipped model, or path of a bundle")
    parser.add_argument(
        "--size", type=whole_number(8, 224), default=60, help="rows and columns to resize to (default: %(default)s)"
    )
    parser.add_argument(
        "--peer",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="another .tflite file to compare with; repeatable",
    )
    parser.add_argument("--rounds", type=whole_number(1), metavar="N", help="rounds to take medians of (default: 9)")
    parser.add_argument(
        "--seconds", type=number_above_0, default=10.0, metavar="S", help="seconds of a stream to measure (10)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - prints them instead of tables")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    parser.add_argument(
        "--quick", action="store_true", help="few and short rounds: takes seconds, but the figures are rough"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, and print or write the figures."""
    if args.parts[:1] == [_STREAM]:
        return _run_stream(args)
    wrong = next((part for part in args.parts if part not in (*PARTS, "all")), None)
    if wrong is not None:
        raise ConfigError(f"{wrong!r} is not one of {', '.join(PARTS)}, all, stream; see edgehar bench --help")
    try:
        from edgehar.bench import report, suite
    except ImportError as error:
        if error.name != "cv2":
            raise
        raise EdgeharError("edgehar bench needs OpenCV; run: pip install opencv-python-headless") from error
    from edgehar.files import write_text
    from edgehar.progress import Progress

    json_file = None if args.json in (None, _STANDARD_OUTPUT) else Path(args.json)
    for file in filter(None, (json_file, args.markdown)):
        check_folder(file)
    parts = frozenset(PARTS) if not args.parts or "all" in args.parts else frozenset(args.parts)
    options = suite.BenchOptions(parts, args.size, args.model, tuple(args.peer), args.rounds, args.quick)
    with Progress() as progress:
        found = suite.run(options, lambda part, details: progress.part(f"measuring {part}", details))
    print(report.as_json(found) if args.json == _STANDARD_OUTPUT else report.text(found), end="")
    if json_file is not None:
        write_text(json_file, report.as_json(found))
    if args.markdown is not None:
        write_text(args.markdown, report.markdown(found))
    return EXIT_DONE


def _run_stream(args: argparse.Namespace) -> int:
    """Measure a stream, and print or write its figures."""
    if len(args.parts) != 2:
        raise ConfigError("stream needs one video file or address: edgehar bench stream rtsp://camera/stream")
    if args.peer or args.markdown:
        raise ConfigError("--peer and --markdown are not for a stream; leave them out, and use --json")
    from edgehar.bench import stream
    from edgehar.files import write_text
    from edgehar.progress import Progress

    json_file = None if args.json in (None, _STANDARD_OUTPUT) else Path(args.json)
    if json_file is not None:
        check_folder(json_file)
    rounds = args.rounds or (1 if args.quick else 3)
    options = stream.StreamBenchOptions(args.parts[1], args.model, args.seconds, rounds)
    with Progress() as progress:
        found = stream.run(options, lambda part, details: progress.part(f"measuring: {part}", details))
    print(stream.as_json(found) if args.json == _STANDARD_OUTPUT else stream.as_text(found), end="")
    if json_file is not None:
        write_text(json_file, stream.as_json(found))
    return EXIT_DONE
