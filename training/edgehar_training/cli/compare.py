"""`edgehar compare`: compare runs side by side, with a paired test on the clips that they were tested on."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError
from edgehar.printable import printable_lines
from edgehar_training.pages.render import check_installed
from edgehar_training.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from edgehar_training.evaluation.stored import Stored

EXAMPLES = """\
examples:
  edgehar compare runs/lrcn runs/convlstm
  edgehar compare runs/rgb-5-fold runs/motion-5-fold --html comparison.html"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "compare",
        help="compare runs side by side, with a paired test",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folders written by edgehar-train; the others are compared with the first",
    )
    parser.add_argument("--part", choices=("test", "val"), default="test", help="of the splits (default: %(default)s)")
    parser.add_argument("--int8", action="store_true", help="compare the answers of the int8 bundles")
    parser.add_argument("--no-cost", action="store_true", help="do not load the networks to count and time them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the comparison as a page")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare the runs and print the table."""
    if len(args.runs) < 2:
        raise ConfigError(f"{args.runs[0]}: a comparison needs two runs or more")
    for folder in args.runs:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give the --out folders of edgehar-train")
    if len({folder.resolve() for folder in args.runs}) < len(args.runs):
        raise ConfigError("a run is given twice; give different runs")
    if args.html is not None:
        check_installed("--html")
    quiet_tensorflow()
    from edgehar.files import write_text
    from edgehar_training.evaluation.comparison import compare
    from edgehar_training.evaluation.comparison_pages import comparison_page, comparison_text

    part: Stored = "int8" if args.int8 else args.part
    comparison = compare(args.runs, part, cost=not args.no_cost)
    print(json.dumps(comparison, indent=2) if args.json else printable_lines(comparison_text(comparison)))
    if args.html is not None:
        write_text(args.html, comparison_page(comparison))
        print(f"edgehar compare: wrote {args.html}", file=sys.stderr)
    return EXIT_DONE
