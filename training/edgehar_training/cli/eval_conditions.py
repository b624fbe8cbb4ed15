"""`edgehar eval --conditions`: the accuracy of an int8 model on changed video."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError
from edgehar.printable import printable_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from edgehar.model.bundle import ModelBundle
    from edgehar_training.data.datasets import Clip
    from edgehar_training.evaluation.conditions.measure import Bench
    from edgehar_training.settings import DataSettings

    FindClips = Callable[[argparse.Namespace, list[str], str], tuple[DataSettings, list[Clip]]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    changed = parser.add_argument_group("changed video")
    changed.add_argument(
        "--conditions",
        nargs="*",
        metavar="NAME",
        help="measure the int8 bundles on changed video: darker, blurred, compressed, ... (default: all; another word "
        "lists them)",
    )
    changed.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="processes for --conditions and --ordinary (default: one per core)",
    )


def check(args: argparse.Namespace) -> None:
    """Check that the options fit each other.

    Raises:
        ConfigError: they do not.
    """
    if args.conditions is None:
        if args.jobs is not None and not args.ordinary:
            raise ConfigError("--jobs is for --conditions or --ordinary; give one of them too")
        return
    if args.jobs is not None and args.jobs < 1:
        raise ConfigError(f"--jobs is {args.jobs}, it must be at least 1")
    others = ("annotate", "stored", "windows_csv", "allow_unknown")
    for name in (name for name in others if getattr(args, name)):
        raise ConfigError(f"--{name.replace('_', '-')} does not go with --conditions; leave one out")


def run(args: argparse.Namespace, bundle: ModelBundle | None, hop: int, find_clips: FindClips) -> int:
    """Measure the target under the conditions, print the table and write the report.

    Args:
        args: the command line.
        bundle: the target if it is a bundle; None if it is a folder of runs.
        hop: frames between windows.
        find_clips: the clips of `--data`, for a model of these labels and this name.
    """
    from edgehar_training.evaluation.conditions.changes import chosen
    from edgehar_training.evaluation.conditions.figures import condition_figures
    from edgehar_training.evaluation.conditions.measure import measure
    from edgehar_training.evaluation.conditions.pages import conditions_text
    from edgehar_training.evaluation.progress import progress

    conditions = chosen(args.conditions)
    bench = _of_folder(args) if bundle is None else _of_bundle(bundle, args, find_clips)
    if (window := bench.tested[0].bundle.manifest.temporal.window) < hop:
        raise ConfigError(f"--hop is {hop}, it must be 1 to {window} (the window)")
    with progress(bench.videos, f"{len(conditions)} conditions", lines=True) as step:
        measured = measure(bench, conditions, hop, lambda: step(1), args.jobs)
    figures = condition_figures(measured, hop)
    print(json.dumps(figures, indent=2) if args.json else printable_lines(conditions_text(figures)))
    if args.out is not None:
        written = _write(args, measured.evaluated, figures, hop)
        print(f"edgehar eval: wrote {', '.join(map(str, written))}", file=sys.stderr)
    return EXIT_DONE


def _of_folder(args: argparse.Namespace) -> Bench:
    from edgehar_training.evaluation.conditions.measure import bench_of_runs

    if args.split_of is not None:
        raise ConfigError("--run gives the split for a bundle; a run has its own split")
    if args.data is not None or args.dataset is not None:
        raise ConfigError("--conditions of runs are of their own clips; give a bundle with --data")
    return bench_of_runs(Path(args.target), args.part)


def _of_bundle(bundle: ModelBundle, args: argparse.Namespace, find_clips: FindClips) -> Bench:
    from edgehar_training.evaluation.conditions.measure import bench_of_bundle, bench_of_bundle_part
    from edgehar_training.runs.run import load_run

    if args.int8:
        raise ConfigError("--int8 is of runs; a bundle is measured on --data or the split of a --run")
    has_data = args.data is not None or args.dataset is not None
    if args.split_of is not None:
        if has_data:
            raise ConfigError("give --data or --run, not both")
        return bench_of_bundle_part(bundle, load_run(args.split_of), args.part)
    if not has_data:
        raise ConfigError("a bundle needs clips: give --data DIR, --dataset synthetic, or the --run it is of")
    data, clips = find_clips(args, bundle.manifest.labels, bundle.manifest.name)
    return bench_of_bundle(bundle, data, clips)


def _write(args: argparse.Namespace, evaluated: Any, figures: dict[str, Any], hop: int) -> list[Path]:
    from edgehar.files import write_text
    from edgehar_training.evaluation.conditions.figures import write_csv
    from edgehar_training.evaluation.conditions.pages import conditions_section
    from edgehar_training.evaluation.files import FileOptions, write_files
    from edgehar_training.evaluation.summary import summarize

    options = FileOptions(hop=hop, thumbnails=not args.no_thumbnails, sections=[conditions_section(figures)])
    written = write_files(args.out, evaluated, summarize(evaluated, args.threshold or 0.0), options)
    write_text(args.out / "conditions.json", json.dumps(figures, indent=2) + "\n")
    write_csv(args.out / "conditions.csv", figures)
    return [*written, args.out / "conditions.json", args.out / "conditions.csv"]
