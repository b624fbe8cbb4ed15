"""`edgehar operate`: measure false alarms per hour, actions found and delay of an event detector at every threshold."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE
from edgehar.cli.history import rate_per_hour
from edgehar.errors import ConfigError, DatasetError
from edgehar_training.cli import footage

if TYPE_CHECKING:
    from edgehar_training.alarms.decisions import Rule
    from edgehar_training.operating.answers import OtherClips, RunAnswers
    from edgehar_training.runs.run import Run

EXAMPLES = """\
examples:
  edgehar operate fight --ordinary cctv/ordinary --incident cctv/fight survfight/fight --label fight --out alarms
  edgehar operate my.edgehar --ordinary week --decision smoothing=cusum threshold=0.5
  edgehar operate fight --history ~/.local/state/edgehar/history --at-most 1/week
  edgehar operate runs/fight-5-fold --background noFight --ordinary cctv/ordinary --incident cctv/fight
  edgehar operate runs/fight-5-fold --background noFight --out operate                  the clips of a run
  edgehar operate runs/fight-5-fold --background noFight --unknown ucf101 --unknown-dataset ucf101"""

MOST_PER_HOUR = 10.0
THRESHOLDS = (*(step / 20 for step in range(1, 20)), 0.98)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "operate",
        help="measure false alarms per hour, actions found and delay, at every threshold",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="BUNDLE|RUN",
        help="a bundle or the name of a shipped one, with --ordinary; or folds and seeds of edgehar-train --int8",
    )
    parser.add_argument(
        "--background",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="labels that never open an event (a bundle has its own)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write all figures as JSON, CSV and an HTML page here")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of the table")
    footage.add_options(parser)
    history = parser.add_argument_group("history of a device, for any bundle")
    history.add_argument(
        "--history", type=Path, metavar="DIR", help="the history of edgehar-run: counts alarms of each camera"
    )
    history.add_argument(
        "--at-most", type=rate_per_hour, metavar="RATE", help="find the threshold for a rate: 1/day, 2/week, 1/month"
    )
    _add_decision(parser.add_argument_group("decision"))
    others = parser.add_argument_group("clips of other actions")
    others.add_argument("--unknown", type=Path, metavar="DIR", help="clips of actions that the model does not know")
    others.add_argument("--unknown-dataset", default="folder", metavar="KIND", help="their layout (default: folder)")
    parser.set_defaults(run=run)


def _add_decision(choice: argparse._ArgumentGroup) -> None:
    choice.add_argument(
        "--false-alarms-per-hour",
        type=float,
        metavar="X",
        help="choose thresholds for at most so many, on clips that are not judged (default: 6 on footage, else 10)",
    )
    choice.add_argument(
        "--decision",
        nargs="+",
        default=[],
        metavar="KEY=VALUE|FILE",
        help="rules, as in the table [decision] of docs/events.md (default: those of a bundle; else smoothing=ema)",
    )
    choice.add_argument("--thresholds", nargs="+", type=float, metavar="P", help="of the table (default: 0.05 to 0.98)")
    choice.add_argument(
        "--context-s",
        type=float,
        default=5.0,
        metavar="S",
        help="seconds of background before and after a clip, for the latency (default: 5)",
    )


def run(args: argparse.Namespace) -> int:
    """Score the clips, decide at every threshold, print the table and write the files."""
    _check_numbers(args)
    if args.history is not None:
        from edgehar_training.cli import operate_history

        return operate_history.run(args)
    if args.at_most is not None:
        raise ConfigError("--at-most needs --history DIR")
    if footage.asked(args):
        return footage.run(args)
    return _run_on_clips(args)


def _run_on_clips(args: argparse.Namespace) -> int:
    """Judge an experiment on the clips of its own splits."""
    _check_clips(args)
    from edgehar.model.manifest import Decision
    from edgehar_training.alarms.decisions import Rule
    from edgehar_training.alarms.rules import parse_rules
    from edgehar_training.operating.answers import check_background, int8_runs
    from edgehar_training.operating.summary import OperatingOptions, summarize
    from edgehar_training.operating.table import text_table

    runs = int8_runs(args.folder)
    labels = runs[0].config.labels
    plain = Decision(smoothing="ema", background=check_background(labels, args.background))
    rule = Rule(tuple(labels), parse_rules(args.decision, plain))
    others, about = _others(args, runs[0])
    answers = _answers(args, runs, rule, others)
    for reason in others.skipped.values():
        print(f"edgehar operate: skipped: {reason}", file=sys.stderr)
    options = OperatingOptions(
        thresholds=args.thresholds or THRESHOLDS,
        most_per_hour=MOST_PER_HOUR if args.false_alarms_per_hour is None else args.false_alarms_per_hour,
        context_s=args.context_s,
        unknown=None if about is None else about | {"clips": len(others.clips) - len(others.skipped)},
    )
    summary = summarize(args.folder, runs, answers, rule, options)
    print(json.dumps(summary, indent=2) if args.json else text_table(summary))
    if args.out is not None:
        from edgehar_training.operating.files import write_files

        written = write_files(args.out, summary)
        print(f"edgehar operate: wrote {', '.join(map(str, written))}", file=sys.stderr)
    return EXIT_DONE


def _check_numbers(args: argparse.Namespace) -> None:
    for name, value in (("--false-alarms-per-hour", args.false_alarms_per_hour), ("--context-s", args.context_s)):
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise ConfigError(f"{name} is {value:g}, it must be 0 or more")
    for threshold in args.thresholds or ():
        if not 0 < threshold <= 1:
            raise ConfigError(f"--thresholds {threshold:g}: must be more than 0, up to 1")
    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"{args.out}: is a file; --out names a folder")


def _check_clips(args: argparse.Namespace) -> None:
    if args.folder.is_file():
        raise ConfigError(f"{args.folder}: a bundle has no clips of its own; give --ordinary DIR, and --incident DIR")
    if not args.folder.is_dir():
        raise ConfigError(
            f"{args.folder}: no such folder; give the --out folder of edgehar-train --int8, or a bundle with --ordinary"
        )
    if given := [word for word in args.decision if word.startswith("threshold")]:
        raise ConfigError(
            f"--decision {given[0]}: the threshold is what is measured; name those of the table with --thresholds"
        )


def _others(args: argparse.Namespace, first: Run) -> tuple[OtherClips, dict[str, Any] | None]:
    """Return the clips of `--unknown`, which must have labels that the model does not know, and their description."""
    from edgehar_training.operating.answers import OtherClips

    if args.unknown is None:
        return OtherClips(), None
    from edgehar_training.data.datasets import describe_data, load_dataset
    from edgehar_training.settings import DataSettings

    folder = args.unknown.resolve()
    clips = load_dataset(DataSettings(dataset=args.unknown_dataset, folder=str(folder)), training=False)
    if known := sorted({clip.label for clip in clips} & set(first.config.labels)):
        raise ConfigError(f"--unknown {args.unknown}: holds clips of {known[0]!r}, which the model knows")
    about = {"data": describe_data(args.unknown_dataset, folder), "labels": sorted({clip.label for clip in clips})}
    return OtherClips(clips=clips, root=folder), about


def _answers(args: argparse.Namespace, runs: list[Run], rule: Rule, others: OtherClips) -> list[RunAnswers]:
    from edgehar_training.evaluation.progress import progress
    from edgehar_training.operating.answers import answers_of

    count = sum(len(run.clips("val")) + len(run.clips("test")) + len(others.clips) for run in runs)
    with progress(count, "scoring") as step:
        answers = [answers_of(run, rule, others, args.context_s, step) for run in runs]
    if others.clips and len(others.skipped) == len(others.clips):
        raise DatasetError(f"--unknown {args.unknown}: none of its {len(others.clips)} clips can be read")
    return answers
