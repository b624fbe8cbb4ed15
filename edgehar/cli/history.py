"""`edgehar history`: show the scores of the last weeks, and find the threshold that keeps a camera quiet.

The history holds the scores of every answer, if `enabled = true` is set under `[history]` in the configuration. No
picture is kept.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import numpy.typing as npt

    from edgehar.model.bundle import ModelBundle
    from edgehar.teaching.history import CameraHistory, Series

    Floats = npt.NDArray[np.float64]

_EXAMPLES = """\
examples:
  edgehar history                                   cameras, hours watched, alarms at several thresholds
  edgehar history --at-most 1/week                  the threshold that keeps each camera below one alarm a week
  edgehar history --since 7d --csv scores.csv       every answer of the last seven days
  edgehar history --png history.png                 a picture: the highest score of every hour"""
_UNITS_H = {"hour": 1.0, "day": 24.0, "week": 168.0, "month": 720.0}
_SPANS_H = {"h": 1.0, "d": 24.0, "w": 168.0}
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "history",
        help="show the scores of the last weeks, and find the threshold that keeps a camera quiet",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration; by default as for edgehar-run")
    parser.add_argument(
        "--directory", metavar="DIR", type=Path, help="the history; by default that of the configuration"
    )
    parser.add_argument("--model", help="the model whose answers are read; by default that of the configuration")
    parser.add_argument("--since", metavar="SPAN", type=_hours, help="only the last hours, days or weeks: 12h, 7d, 4w")
    parser.add_argument(
        "--at-most",
        metavar="RATE",
        type=rate_per_hour,
        help="recommend a threshold for an alarm rate: 1/day, 2/week, 1/month",
    )
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write every answer as a line of a table")
    parser.add_argument("--png", metavar="FILE", type=Path, help="draw the highest score of every hour")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the history, print it, and write what is asked for."""
    import time

    from edgehar.model.bundle import ModelBundle
    from edgehar.teaching.history import read_histories, smoothed

    folder, model = _places(args)
    bundle = ModelBundle.open(model)
    since_ms = 0 if args.since is None else round((time.time() - 3600 * args.since) * 1e3)
    series = {}
    for camera in read_histories(folder, since_ms):
        own = camera.of_model(bundle.manifest)
        print(_summary(camera, own, bundle))
        if own.answers:
            series[camera.folder.name] = found = smoothed(own.blocks, bundle.manifest)
            print(_alarms(found, bundle, args.at_most))
    if args.csv is not None:
        _write_csv(args.csv, series, bundle)
    if args.png is not None:
        from edgehar.teaching.history_plot import draw

        draw(args.png, series, bundle.manifest)
        print(f"wrote {args.png}")
    return EXIT_DONE


def _places(args: argparse.Namespace) -> tuple[Path, str]:
    from edgehar.config import find_config, load
    from edgehar.teaching.history import history_folder

    if args.directory is not None and args.model is not None:
        return args.directory, args.model
    config = load(find_config(args.config or "auto", os.environ))
    folder = args.directory or history_folder(config.history, config.spool.directory)
    return folder, args.model or config.model


def _summary(camera: CameraHistory, own: CameraHistory, bundle: ModelBundle) -> str:
    name, hours = bundle.manifest.name, own.seconds / 3600
    size = f"{camera.bytes / 1e6:.2f} MB"
    lines = [f"{camera.folder.name}: {hours:.1f} hours watched with {name}, {own.answers:,} answers, {size}"]
    if others := camera.answers - own.answers:
        lines.append(f"  {others:,} answers of other models or heads are left out")
    if camera.damaged:
        lines.append(f"  {camera.damaged} damaged stretches were skipped")
    return "\n".join(lines)


def _alarms(series: Series, bundle: ModelBundle, per_hour: float | None) -> str:
    from edgehar.teaching.alarm_bound import block_maxima

    manifest, lines = bundle.manifest, []
    for index, label in enumerate(manifest.labels):
        if label not in manifest.decision.background:
            maxima, hours = block_maxima(series.steps_s, series.scores[:, index])
            lines += _table(label, maxima, hours) if per_hour is None else _advice(label, maxima, hours, per_hour)
    return "\n".join(f"  {line}" for line in lines)


def _table(label: str, maxima: Floats, hours: float) -> list[str]:
    from edgehar.teaching.alarm_bound import bound_at, overdispersion

    spread = overdispersion(maxima)
    bounds = [bound_at(maxima, hours, threshold, spread) for threshold in _THRESHOLDS]
    return [
        f"{label}: hours with a score at or above the threshold; a day would have at most (95 % confidence)",
        *(
            f"  {bound.threshold:.2f}  {bound.loud:>5} hours  {24 * bound.most_per_hour:>6.1f} a day"
            for bound in bounds
        ),
    ]


def _advice(label: str, maxima: Floats, hours: float, per_hour: float) -> list[str]:
    from edgehar.teaching.alarm_bound import hours_needed, recommend

    bound = recommend(maxima, hours, per_hour)
    if bound is None:
        needed = hours_needed(maxima, per_hour)
        return [f"{label}: {hours:.0f} hours are too few to promise this; it takes {needed:.0f} hours without an alarm"]
    most = f"at most {24 * bound.most_per_hour:.2f} alarms a day at 95 % confidence"
    # Rounded up: below the threshold the promise does not hold.
    threshold = math.ceil(bound.threshold * 1000) / 1000
    return [
        f"{label}: threshold {threshold:.3f}: {most}; {bound.loud} of {hours:.0f} hours would have had one",
        f"  set under [decision]: thresholds = {{ {label} = {threshold:.3f} }}",
    ]


def _write_csv(path: Path, series: dict[str, Series], bundle: ModelBundle) -> None:
    import csv
    import datetime

    from edgehar.files import whole_file

    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["camera", "time", *bundle.manifest.labels])
        for camera, found in series.items():
            for time_s, scores in zip(found.times_s.tolist(), found.scores.tolist(), strict=True):
                moment = datetime.datetime.fromtimestamp(time_s, datetime.UTC).isoformat(timespec="milliseconds")
                writer.writerow([camera, moment, *(f"{score:.4f}" for score in scores)])
    print(f"wrote {path}")


def _hours(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a span of time; write 12h, 7d or 4w")
    return float(found[1]) * _SPANS_H[found[2]]


def rate_per_hour(text: str) -> float:
    """Return a rate such as 1/day in 1/hour, for argparse."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/(hour|day|week|month)", text)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate; write 1/day, 2/week or 1/month")
    return float(found[1]) / _UNITS_H[found[2]]
