"""`edgehar doctor`: check everything that a configuration needs, and say how to fix problems."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from edgehar.doctor.finding import Finding


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="check Python, models, cameras, broker, clock and disk, and say how to fix problems",
        description=f"{__doc__}\nExit code 0 if everything works (warnings are allowed), else 1.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="configuration (default: ~/.config/edgehar/config.toml, else /etc/edgehar/config.toml)",
    )
    parser.add_argument("--source", metavar="URI", help="check this camera or file instead of the configured ones")
    parser.add_argument("--model", metavar="BUNDLE|NAME", help="check this model instead of the configured one")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; returns 1 if one of them is a failure."""
    findings = []
    out = sys.stdout
    # Broken libraries print to standard output while they are imported.
    with contextlib.redirect_stdout(sys.stderr):
        for finding in _findings(args):
            findings.append(finding)
            if not args.json:
                print(_lines(finding), file=out, flush=True)
    failed = sum(finding.level == "fail" for finding in findings)
    if args.json:
        document = {"ok": not failed, "checks": [dataclasses.asdict(finding) for finding in findings]}
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        warned = sum(finding.level == "warn" for finding in findings)
        print(f"{len(findings)} checks: {failed} failed, {warned} with a warning")
    return EXIT_FAILED if failed else EXIT_DONE


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    from edgehar.doctor.finding import Finding

    try:
        from edgehar.config import Config, ConfigProblemsError, read, search_path
        from edgehar.doctor.checks import examine
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        yield Finding("Python", "fail", f"{library} cannot be imported: {error}", f"pip install {library}")
        return
    path = Path(args.config) if args.config else next(filter(Path.is_file, search_path(os.environ)), None)
    overrides = {"model": args.model, "camera": args.source and [{"source": args.source}]}
    try:
        loaded = read(path, os.environ, overrides)
    except ConfigProblemsError as error:
        for problem in error.problems:
            yield Finding("configuration", "fail", problem, "see edgehar config check; defaults are checked below")
        yield from examine(Config())
        return
    yield Finding("configuration", "ok", "no file, the defaults" if path is None else str(path))
    for warning in loaded.warnings:
        yield Finding("configuration", "warn", warning, "see edgehar config check")
    yield from examine(loaded.config)


def _lines(finding: Finding) -> str:
    first = f"{finding.level:<5} {finding.check}: {finding.says}"
    return f"{first}\n      fix: {finding.fix}" if finding.fix else first
