"""False alarms per hour on footage: `edgehar operate --ordinary` and `edgehar eval --ordinary`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError
from edgehar.printable import printable_lines

if TYPE_CHECKING:
    import argparse

    from edgehar_training.alarms.recordings import Recording
    from edgehar_training.alarms.summary import AlarmOptions
    from edgehar_training.evaluation.page import Section

MOST_PER_HOUR = 6.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of footage to `edgehar operate`."""
    footage = parser.add_argument_group("footage, for any bundle or run")
    footage.add_argument(
        "--ordinary",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="footage in which nothing happens: counts false alarms per hour",
    )
    footage.add_argument(
        "--incident",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="clips of incidents, with times in events.csv if they are long: counts the share found",
    )
    footage.add_argument(
        "--label", nargs="+", metavar="LABEL", help="events that are alarms (default: all but background labels)"
    )
    footage.add_argument(
        "--tolerance-s",
        type=float,
        default=3.0,
        metavar="S",
        help="borders before and after each incident that do not count (default: 3)",
    )
    footage.add_argument("--hop", type=int, metavar="N", help="frames between answers (default: the bundle's)")
    footage.add_argument("--jobs", type=int, metavar="N", help="processes that score clips (default: one per core)")
    footage.add_argument("--cache", type=Path, metavar="DIR", help="where scores are kept (default: the user's cache)")


def add_ordinary(parser: argparse.ArgumentParser) -> None:
    """Add the option of footage to `edgehar eval`."""
    parser.add_argument_group("false alarms").add_argument(
        "--ordinary",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="footage in which nothing happens: shows false alarms per hour beside the accuracy, by the bundle's rules",
    )


def beside_accuracy(
    args: argparse.Namespace, summary: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, str]], list[Section]]:
    """Return the summary of an evaluation with the false alarms, facts for its table, and a part of its report."""
    from edgehar_training.alarms.summary import AlarmOptions
    from edgehar_training.alarms.table import ordinary_facts
    from edgehar_training.data.frames_cache import default_folder

    cache = default_folder("scores") if args.cache is None else Path(args.cache) / "scores"
    found = measure(
        Path(args.target),
        args.ordinary,
        [],
        AlarmOptions(cache=cache, jobs=args.jobs, thresholds=(), most_per_hour=None),
    )
    sections: list[Section] = []
    if args.out is not None:
        from edgehar_training.alarms.page import alarms_section

        sections.append(alarms_section(found))
    kept = {key: found[key] for key in ("alarm_labels", "decision", "protocol", "as_decided", "skipped")}
    warnings = [*summary["warnings"], *found["warnings"]]
    return {**summary, "warnings": warnings, "ordinary": kept}, ordinary_facts(found), sections


def asked(args: argparse.Namespace) -> bool:
    """Whether footage was given."""
    return bool(args.ordinary or args.incident)


def run(args: argparse.Namespace) -> int:
    """Measure a bundle or a run on footage, print the table and write the files."""
    from edgehar_training.alarms.table import text_table

    _check(args)
    if args.out is not None:
        from edgehar_training.pages.render import check_installed

        check_installed("--out")
    options = options_of(args, background=args.background, rules=args.decision, thresholds=args.thresholds)
    summary = measure(args.folder, args.ordinary, args.incident, options)
    print(json.dumps(summary, indent=2) if args.json else printable_lines(text_table(summary)))
    if args.out is not None:
        from edgehar_training.alarms.files import write_files

        written = write_files(args.out, summary)
        print(f"edgehar operate: wrote {', '.join(map(str, written))}", file=sys.stderr)
    return EXIT_DONE


def options_of(args: argparse.Namespace, **given: Any) -> AlarmOptions:
    """Return the options of the command line; options that are not given keep their defaults."""
    from edgehar_training.alarms.summary import AlarmOptions
    from edgehar_training.data.frames_cache import default_folder

    chosen = {name: tuple(value) for name, value in given.items() if value}
    if "thresholds" in chosen:
        chosen["thresholds"] = tuple(sorted(chosen["thresholds"]))
    most = getattr(args, "false_alarms_per_hour", None)
    return AlarmOptions(
        labels=None if not getattr(args, "label", None) else tuple(args.label),
        most_per_hour=MOST_PER_HOUR if most is None else most,
        tolerance_s=getattr(args, "tolerance_s", 3.0),
        hop=args.hop,
        cache=default_folder("scores") if args.cache is None else Path(args.cache),
        jobs=args.jobs,
        **chosen,
    )


def measure(target: Path, ordinary: list[Path], incident: list[Path], options: AlarmOptions) -> dict[str, Any]:
    """Measure a bundle, or the runs of a folder, each recording by a run that is blind to its camera.

    Raises:
        ConfigError: the target, a folder or an option is wrong.
        BundleError: a bundle cannot be used.
        DatasetError: a table is wrong, or no recording can be read.
    """
    from edgehar_training.alarms import summary
    from edgehar_training.alarms.recordings import find_recordings
    from edgehar_training.evaluation.progress import progress

    logging.getLogger("edgehar_training.data.filling").setLevel(logging.WARNING)
    if target.is_dir():
        from edgehar_training.operating.answers import int8_runs
        from edgehar_training.runs.run import BUNDLE_FILE

        runs = int8_runs(target)
        _, labels = _bundle(runs[0].path / BUNDLE_FILE, options)
        recordings, warnings = find_recordings(ordinary, incident, labels)
        with progress(summary.watched_clips(runs, recordings, options), "scoring", lines=True) as step:
            found = summary.summarize_runs(target, runs, lambda run: run.path / BUNDLE_FILE, recordings, options, step)
    else:
        path, labels = _bundle(target, options)
        recordings, warnings = find_recordings(ordinary, incident, labels)
        with progress(len(recordings), "scoring", lines=True) as step:
            found = summary.summarize_bundle(path, recordings, options, step)
    return {**found, "warnings": [*found["warnings"], *warnings, *_skipped(found, recordings)]}


def _bundle(target: Path, options: AlarmOptions) -> tuple[Path, list[str]]:
    from edgehar.inspect import trial
    from edgehar_training.alarms.summary import rule_for

    bundle = trial.open_bundle(target)
    return bundle.path, rule_for(bundle.manifest.labels, bundle.manifest.decision, options).positive


def _skipped(found: dict[str, Any], recordings: list[Recording]) -> list[str]:
    skipped = found["skipped"]
    if not skipped:
        return []
    return [f"{len(skipped)} of {len(recordings)} recordings cannot be read: {next(iter(skipped.values()))}"]


def _check(args: argparse.Namespace) -> None:
    if not args.ordinary:
        raise ConfigError("--incident needs --ordinary DIR too: what a detector finds means nothing without its alarms")
    if args.unknown is not None:
        raise ConfigError("--unknown is for the clips of a run; give such clips as --ordinary")
    if not args.tolerance_s >= 0:
        raise ConfigError(f"--tolerance-s is {args.tolerance_s:g}, it must be 0 or more")
    for name, value in (("--jobs", args.jobs), ("--hop", args.hop)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}, it must be 1 or more")
