"""`edgehar batch`: classify an archive of video files, and write one table.

Every file is classified once, by several processes or by a Ray cluster. After an interruption, the same command
continues. Files that cannot be read are listed; they do not end the batch.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.cli.numbers import seconds, share, whole_number
from edgehar.printable import counted

if TYPE_CHECKING:
    from typing import Any

    from edgehar.batch.listing import BatchFile
    from edgehar.batch.run_batch import BatchOptions, Summary

_EXAMPLES = """\
examples:
  edgehar batch archive --out results.parquet                   every prediction and event of all videos of a folder
  edgehar batch archive --out results.parquet --every 10        a prediction every 10 s of video
  edgehar batch archive --out events.parquet --events-only      only the events
  edgehar batch @files.txt --model interactions --out r.parquet --jobs 8
  edgehar batch /mnt/archive --out r.parquet --ray 10.0.0.5:6379   on a Ray cluster, whose nodes see /mnt/archive
  duckdb -c "select source, label, start_s, end_s from 'results.parquet' where type = 'event'" """

_MOST_LISTED = 20
_log = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "batch",
        help="classify many files, and write one table (Parquet)",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="video files, folders of them, s3://bucket/prefix, or @FILE: a list with one a line",
    )
    parser.add_argument("--model", default="fight", help="path of a bundle, or the name of a shipped model (fight)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the table, NAME.parquet")
    parser.add_argument(
        "--every", type=seconds, default=0.0, metavar="S", help="store a prediction every S seconds of video (all)"
    )
    parser.add_argument("--events-only", action="store_true", help="store no predictions")
    parser.add_argument(
        "--threshold", type=share, metavar="P", help="score that an action needs, 0 to 1 (the model's own)"
    )
    parser.add_argument(
        "--jobs",
        type=whole_number(1),
        metavar="N",
        help="files at a time (one for each core of the machine or cluster)",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="run on the Ray cluster at HOST:PORT; without an address, $RAY_ADDRESS or a cluster of this machine",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the batch; returns 1 if a file was not classified to its end."""
    from edgehar.batch.listing import list_files
    from edgehar.batch.run_batch import BatchOptions
    from edgehar.errors import ConfigError
    from edgehar.events.options import DecisionOptions

    if args.out.suffix != ".parquet":
        raise ConfigError(f"--out {args.out}: the table is a Parquet file; name it NAME.parquet")
    files = list_files(args.sources)
    jobs = args.jobs or len(os.sched_getaffinity(0))
    options = BatchOptions(
        model=args.model,
        out=args.out,
        jobs=jobs,
        every_s=args.every,
        events_only=args.events_only,
        decision=DecisionOptions(threshold=args.threshold),
    )
    summary = _here(files, options) if args.ray is None else _on_ray(files, options, args)
    _print(summary)
    print(f"wrote {args.out} ({summary.rows} rows) and {summary.sources}")
    return EXIT_FAILED if summary.failed else EXIT_DONE


def _here(files: list[BatchFile], options: BatchOptions) -> Summary:
    from edgehar.batch.processes import Processes
    from edgehar.batch.run_batch import run_batch

    return run_batch(files, options, Processes)


def _on_ray(files: list[BatchFile], options: BatchOptions, args: argparse.Namespace) -> Summary:
    import dataclasses

    from edgehar.batch.ray_actors import RayActors
    from edgehar.batch.run_batch import run_batch
    from edgehar.cluster import ray_cluster

    with ray_cluster(args.ray, args.jobs) as ray:
        if args.jobs is None:
            options = dataclasses.replace(options, jobs=max(1, int(ray.cluster_resources().get("CPU", 1))))
        return run_batch(files, options, lambda job: RayActors(ray, job))


def _print(summary: Summary) -> None:
    outcomes = summary.outcomes
    video_s = sum(outcome.video_s for outcome in outcomes)
    events = sum(outcome.events for outcome in outcomes)
    failed = summary.failed
    for outcome in failed[:_MOST_LISTED]:
        _log.warning("%s: %s", outcome.status, outcome.error)
    if len(failed) > _MOST_LISTED:
        _log.warning("and %d more; see status and error in %s", len(failed) - _MOST_LISTED, summary.sources)
    files, found = counted(len(outcomes), "file"), counted(events, "event")
    print(f"{files}, {video_s / 3600:.2f} hours of video, {found}, {counted(len(failed), 'file')} failed")
