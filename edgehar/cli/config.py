"""`edgehar config`: write a sample configuration, check one, and show all settings with their origins."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_USAGE
from edgehar.credentials import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from edgehar.config import Config

_FILE_HELP = "the file; by default ~/.config/edgehar/config.toml, else /etc/edgehar/config.toml"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("config", help="write, check or show a configuration", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, what: str, file_help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        action: argparse.ArgumentParser = actions.add_parser(name, help=what, description=f"{what.capitalize()}.")
        action.add_argument("file", nargs="?", metavar="FILE", help=file_help)
        action.set_defaults(run=run)
        return action

    init = add(
        "init",
        "write a sample with every setting commented out",
        "the file, or - for standard output; by default ~/.config/edgehar/config.toml",
        _init,
    )
    init.add_argument("--force", action="store_true", help="overwrite an existing file")
    add("check", "check a configuration, its models and files, and list every problem", _FILE_HELP, _check)
    add("show", "show every setting and its origin; secrets are masked", _FILE_HELP, _show)


def _init(args: argparse.Namespace) -> int:
    from edgehar.config import search_path
    from edgehar.config.pages import sample
    from edgehar.errors import ConfigError
    from edgehar.files import whole_file

    if args.file == "-":
        print(sample(), end="")
        return EXIT_DONE
    path = Path(args.file) if args.file is not None else search_path(os.environ)[0]
    if path.exists() and not args.force:
        raise ConfigError(f"{path}: exists already; --force overwrites it")
    if args.file is None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_file(path) as temporary:
        # Only for its owner, because passwords may be added.
        temporary.touch(mode=0o600)
        temporary.write_text(sample(), encoding="utf-8")
    print(f"{path}: written; edit it, then: edgehar config check {path}")
    return EXIT_DONE


def _check(args: argparse.Namespace) -> int:
    from edgehar.config import ConfigProblemsError, read
    from edgehar.config.checks import problems_here

    path = _path(args.file)
    where = "no file, the defaults" if path is None else str(path)
    try:
        loaded = read(path, os.environ)
    except ConfigProblemsError as error:
        found = [] if error.valid is None else problems_here(error.valid)
        return _print_all([*error.problems, *(f"{where}: {problem}" for problem in found)])
    for warning in loaded.warnings:
        print(f"edgehar: warning: {warning}", file=sys.stderr)
    problems = problems_here(loaded.config)
    if problems:
        return _print_all([f"{where}: {problem}" for problem in problems])
    cameras = len(loaded.config.cameras)
    print(f"{where}: ok, {cameras} camera{'s' if cameras != 1 else ''}, {loaded.config.model}")
    return EXIT_DONE


def _print_all(problems: list[str]) -> int:
    for problem in problems:
        print(f"edgehar: {problem}", file=sys.stderr)
    return EXIT_USAGE


def _show(args: argparse.Namespace) -> int:
    from edgehar.config import read
    from edgehar.config.pages import as_set

    path = _path(args.file)
    loaded = read(path, os.environ)
    for warning in loaded.warnings:
        print(f"edgehar: warning: {warning}", file=sys.stderr)
    print(f"# {'no file' if path is None else path}\n{as_set(loaded)}", end="")
    for line in _rules(loaded.config):
        print(f"# {line}")
    return EXIT_DONE


def _rules(config: Config) -> Iterator[str]:
    """Say for each camera which rules of decision are in force, its model's defaults included."""
    from edgehar.errors import EdgeharError
    from edgehar.events.options import describe, resolve
    from edgehar.model.bundle import ModelBundle

    for camera in config.cameras:
        name, model = camera.name or camera.source, config.model_of(camera)
        try:
            rules = resolve(config.decision_of(camera), ModelBundle.open(model).manifest.decision)
        except EdgeharError as error:
            yield f"rules of {without_credentials(name)}: {error}"
        else:
            yield f"rules of {without_credentials(name)}, with those of {model}: {describe(rules)}"


def _path(name: str | None) -> Path | None:
    """Return the file to read: the named one, else the first that exists; None for the defaults."""
    from edgehar.config import search_path

    return Path(name) if name is not None else next(filter(Path.is_file, search_path(os.environ)), None)
