"""`edgehar fuse`: join several trained networks in one, with one int8 bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError

EXAMPLES = """\
examples:
  edgehar fuse runs/mobile runs/lrcn --out runs/fused
  edgehar fuse runs/mobile-5-fold runs/lrcn-5-fold --out runs/fused-5-fold --int8
  edgehar compare runs/mobile-5-fold runs/fused-5-fold"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "fuse",
        help="join several trained networks in one",
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
        help="folders written by edgehar-train, with the same clips and splits",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the fused run or runs")
    parser.add_argument("--int8", action="store_true", help="convert the networks and test their int8 bundles too")
    parser.add_argument(
        "--qat",
        action="store_true",
        help="also fine-tune the head in float and with fake quantization, and compare (docs/quantization.md)",
    )
    parser.add_argument(
        "--head",
        choices=("unrolled", "fused", "float"),
        help="head of the int8 files (default: setting of the first RUN)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue the runs in --out; finished runs are not repeated"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fuse the runs and print the accuracy."""
    _check(args)
    from edgehar_training.cli.workstation import prepare

    prepare()
    from edgehar_training.cli.train import summary
    from edgehar_training.fusion.fuse_runs import fuse_runs

    made = fuse_runs(args.runs, args.out, int8=args.int8, resume=args.resume, qat=args.qat, head=args.head)
    print(summary(made))
    return EXIT_DONE


def _check(args: argparse.Namespace) -> None:
    if len(args.runs) < 2:
        raise ConfigError(f"{args.runs[0]}: at least two runs are needed")
    for folder in args.runs:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; give the --out folders of edgehar-train")
    folders, out = {folder.resolve() for folder in args.runs}, args.out.resolve()
    if len(folders) < len(args.runs):
        raise ConfigError("a run is given twice; give different runs")
    if args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"{args.out}: is a file; --out names a folder")
    # The runs of a folder are found by looking through it.
    for folder in folders:
        if out == folder or folder in out.parents or out in folder.parents:
            raise ConfigError(f"--out {args.out}: lies within {folder}, or holds it; give another folder")
