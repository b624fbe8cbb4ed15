"""`edgehar eval`: measure a run or a bundle, with intervals and a report."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError
from edgehar.printable import printable_lines
from edgehar_training.cli import eval_conditions, footage
from edgehar_training.pages.render import check_installed
from edgehar_training.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from edgehar.model.bundle import ModelBundle
    from edgehar_training.data.datasets import Clip
    from edgehar_training.evaluation.evaluated import Evaluated
    from edgehar_training.evaluation.page import Section
    from edgehar_training.runs.run import Run
    from edgehar_training.settings import DataSettings

EXAMPLES = """\
examples:
  edgehar eval runs/fight --out report                     the test part of the run's own split
  edgehar eval runs/fight-5-fold --out report              all folds and seeds, from stored predictions
  edgehar eval fight.edgehar --run runs/fight              the int8 bundle on the test part of that run
  edgehar eval fight.edgehar --data clips --out report     the int8 bundle on any clips
  edgehar eval fight.edgehar --data clips --ordinary footage   and false alarms per hour
  edgehar eval runs/fight-5-fold --conditions --out report accuracy on dark, blurred, compressed ... video
  edgehar eval fight.edgehar --annotate clip.mp4 --out out.mp4"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "eval",
        help="measure a run or a bundle, and write a report",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "target",
        metavar="MODEL|RUN",
        help="a folder written by edgehar-train, a bundle, or the name of a shipped model",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write eval.json, predictions.csv and report.html here")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of the table")
    _add_clips(parser)
    _add_answers(parser)
    footage.add_ordinary(parser)
    eval_conditions.add_options(parser)
    parser.add_argument("--windows-csv", action="store_true", help="write windows.csv too: the scores of every window")
    parser.add_argument("--no-thumbnails", action="store_true", help="show no frames of clips in report.html")
    parser.add_argument(
        "--annotate", metavar="VIDEO", help="write VIDEO with answers next to each frame to --out, an .mp4"
    )
    parser.set_defaults(run=run)


def _add_clips(parser: argparse.ArgumentParser) -> None:
    which = parser.add_argument_group("which clips")
    which.add_argument(
        "--part", choices=("test", "val", "train"), default="test", help="part of the split of the run (default: test)"
    )
    which.add_argument("--stored", action="store_true", help="use the stored predictions of a single run")
    which.add_argument("--int8", action="store_true", help="use the stored predictions of the int8 bundles")
    which.add_argument(
        "--run", dest="split_of", type=Path, metavar="RUN", help="for a bundle: use the split of this run"
    )
    which.add_argument("--data", metavar="DIR", help="use the clips of this folder (or table)")
    which.add_argument("--dataset", metavar="KIND", help="layout of --data (default: folder), or synthetic")
    which.add_argument("--classes", nargs="+", metavar="LABEL", help="use these classes of --data only")
    which.add_argument("--cache", metavar="DIR", help="folder of decoded frames (default: in the cache of the user)")


def _add_answers(parser: argparse.ArgumentParser) -> None:
    answers = parser.add_argument_group("answers")
    answers.add_argument("--hop", type=int, metavar="N", help="frames between windows (default: 2; 1 with --annotate)")
    answers.add_argument("--allow-unknown", action="store_true", help="accept and count clips of unknown labels")
    answers.add_argument(
        "--threshold", type=float, metavar="P", help="do not answer below this score (default: of the bundle)"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate the target, print the figures and write the report."""
    _check(args)
    quiet_tensorflow()
    if args.annotate is not None:
        return _annotate(args)
    from edgehar_training.evaluation.files import FileOptions, write_files
    from edgehar_training.evaluation.summary import summarize
    from edgehar_training.evaluation.table import text_table

    folder = Path(args.target)
    if args.conditions is not None:
        bundle = None if folder.is_dir() else _bundle(args.target)
        return eval_conditions.run(args, bundle, _hop(args), _clips)
    if folder.is_dir():
        evaluated, threshold = _of_folder(folder, args), args.threshold or 0.0
    else:
        bundle = _bundle(args.target)
        default = bundle.manifest.decision.threshold
        evaluated, threshold = _of_bundle(bundle, args), default if args.threshold is None else args.threshold
    summary = summarize(evaluated, threshold)
    beside: list[tuple[str, str]] = []
    sections: list[Section] = []
    if args.ordinary:
        summary, beside, sections = footage.beside_accuracy(args, summary)
    print(json.dumps(summary, indent=2) if args.json else printable_lines(text_table(summary, beside)))
    if args.out is not None:
        options = FileOptions(
            hop=_hop(args), windows=args.windows_csv, thumbnails=not args.no_thumbnails, sections=sections
        )
        written = write_files(args.out, evaluated, summary, options)
        print(f"edgehar eval: wrote {', '.join(str(path) for path in written)}", file=sys.stderr)
    return EXIT_DONE


def _check(args: argparse.Namespace) -> None:
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise ConfigError(f"--threshold is {args.threshold:g}, must be 0 to 1")
    if args.hop is not None and args.hop < 1:
        raise ConfigError(f"--hop is {args.hop}, must be at least 1")
    if args.out is not None and args.annotate is None and args.out.exists() and not args.out.is_dir():
        raise ConfigError(f"{args.out}: is a file; --out names a folder")
    if args.windows_csv and args.out is None:
        raise ConfigError("--windows-csv needs --out DIR, the folder to write to")
    if args.out is not None and args.annotate is None:
        check_installed("--out")
    eval_conditions.check(args)


def _hop(args: argparse.Namespace) -> int:
    from edgehar_training.runs.run import EVALUATION_HOP

    return EVALUATION_HOP if args.hop is None else int(args.hop)


def _bundle(target: str) -> ModelBundle:
    from edgehar.inspect import trial
    from edgehar.model.bundle import SUFFIX

    path = Path(target)
    if len(path.parts) > 1 and not path.exists():
        raise ConfigError(f"{path}: no such folder or file; give a run of edgehar-train or a {SUFFIX} bundle")
    return trial.open_bundle(target)


def _of_folder(folder: Path, args: argparse.Namespace) -> Evaluated:
    """Evaluate a run, or all runs under a folder."""
    from edgehar_training.evaluation.evaluate import evaluate_part, evaluate_run_on
    from edgehar_training.evaluation.stored import evaluate_stored, runs_in
    from edgehar_training.runs.run import load_run

    if args.split_of is not None:
        raise ConfigError("--run gives the split for a bundle; a run has its own split")
    single = runs_in(folder) == [folder]
    has_data = args.data is not None or args.dataset is not None
    if args.int8 or args.stored or not single:
        if has_data:
            what = "what runs stored is" if single else "several runs are"
            raise ConfigError(f"{what} of their own clips; give --data with a single run, without --stored or --int8")
        if args.part == "train":
            raise ConfigError("runs store no predictions of their train part; give a single run without --stored")
        return evaluate_stored(folder, "int8" if args.int8 else args.part)
    run_ = load_run(folder)
    if has_data:
        data, clips = _clips(args, run_.config.labels, str(folder))
        with _progress(len(clips)) as step:
            return evaluate_run_on(run_, data, clips, _hop_of(run_, args), step)
    with _progress(len(run_.clips(args.part))) as step:
        return evaluate_part(run_, args.part, _hop_of(run_, args), step)


def _hop_of(run_: Run, args: argparse.Namespace) -> int:
    _check_hop(args, run_.config.network.window)
    return _hop(args)


def _check_hop(args: argparse.Namespace, window: int) -> None:
    if args.hop is not None and args.hop > window:
        raise ConfigError(f"--hop is {args.hop}, it must be 1 to {window} (the window)")


def _of_bundle(bundle: ModelBundle, args: argparse.Namespace) -> Evaluated:
    """Evaluate a bundle on the clips of a folder, or of the split of a run."""
    from edgehar_training.evaluation.evaluate import evaluate_bundle, evaluate_bundle_part
    from edgehar_training.runs.run import load_run

    if args.stored or args.int8:
        raise ConfigError("--stored and --int8 are of runs; a bundle is measured on --data or the split of a --run")
    _check_hop(args, bundle.manifest.temporal.window)
    if args.split_of is not None:
        if args.data is not None or args.dataset is not None:
            raise ConfigError("give --data or --run, not both")
        run_ = load_run(args.split_of)
        with _progress(len(run_.clips(args.part))) as step:
            return evaluate_bundle_part(bundle, run_, args.part, _hop(args), step)
    if args.data is None and args.dataset is None:
        raise ConfigError("a bundle needs clips: give --data DIR, --dataset synthetic, or the --run it is of")
    data, clips = _clips(args, bundle.manifest.labels, bundle.manifest.name)
    with _progress(len(clips)) as step:
        return evaluate_bundle(bundle, data, clips, _hop(args), step)


def _clips(args: argparse.Namespace, labels: list[str], model: str) -> tuple[DataSettings, list[Clip]]:
    """Return the clips of `--data`, whose labels the model must know."""
    from edgehar.errors import DatasetError
    from edgehar_training.data.datasets import load_dataset
    from edgehar_training.evaluation.evaluated import check_labels
    from edgehar_training.settings import DataSettings

    folder = None if args.data is None else str(Path(args.data).resolve())
    data = DataSettings(dataset=args.dataset or "folder", folder=folder, classes=args.classes, cache=args.cache)
    clips = load_dataset(data, training=False)
    if not clips:
        raise DatasetError(f"{args.data}: holds no clips")
    check_labels(labels, clips, model, allow_unknown=args.allow_unknown)
    return data, clips


def _progress(clips: int) -> Any:
    from edgehar_training.evaluation.progress import progress

    return progress(clips, "scoring")


def _annotate(args: argparse.Namespace) -> int:
    from edgehar_training.evaluation.annotated import annotate_video

    if args.out is None:
        raise ConfigError("--annotate needs --out FILE.mp4, the video to write")
    if Path(args.target).is_dir():
        from edgehar_training.runs.run import BUNDLE_FILE

        model = Path(args.target) / BUNDLE_FILE
        if not model.exists():
            raise ConfigError(f"{args.target}: holds no {BUNDLE_FILE}; convert it with edgehar-convert and give that")
    else:
        model = _bundle(args.target).path
    frames, answers = annotate_video(model, args.annotate, args.out, hop=args.hop or 1, threshold=args.threshold)
    print(f"edgehar eval: {answers} answers on {frames} frames; the video is {args.out}", file=sys.stderr)
    return EXIT_DONE
