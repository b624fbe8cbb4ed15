"""The `edgehar` command: its subcommands, each in a file of its own."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_USAGE, make_parser, run_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

EXAMPLES = """\
  edgehar demo                          run a shipped model on built-in scenes, and write demo.mp4
  edgehar run --source clip.mp4         classify a camera, stream or file
  edgehar predict clips/*.mp4           name the action of each clip
  edgehar explain clip.mp4 --out why.png   which part of the picture, and which frames, decided
  edgehar batch archive --out r.parquet   classify many files, into one table
  edgehar models                        shipped and installed models, and what they recognize
  edgehar inspect my.edgehar --card     model card of a bundle; --verify checks it on this machine
  edgehar bundle unpack fight f/        extract the files of a model
  edgehar devices                       cameras of this machine
  edgehar bench --quick                 speed of this machine, compared with other libraries
  edgehar clips list clips              recorded events; clips verify finds altered ones
  edgehar config init                   write a configuration to edit; see also config check, config show
  edgehar data check clips              check clips before training
  edgehar doctor                        check that everything a device needs is there
  edgehar teach fight --data clips --out hall.edgehar   teach a model from labeled clips, on this machine
  edgehar fleet list --mqtt mqtt://ops@broker/edgehar   devices at a broker, their health, models and alarms
  edgehar label                         label what a run has kept in its inbox, to teach from it
  edgehar history --at-most 1/week      find the threshold that keeps a camera quiet, from its own scores
  edgehar service install               run it with systemd from boot
  edgehar web password                  password for the pages of edgehar run --web"""

# Modules of this folder, each with the command of its name.
_COMMANDS = (
    "batch",
    "bench",
    "bundle",
    "clips",
    "config",
    "demo",
    "devices",
    "doctor",
    "explain",
    "fleet",
    "history",
    "inspect",
    "label",
    "models",
    "notify",
    "predict",
    "seal",
    "service",
    "sign",
    "teach",
    "trust",
    "web",
)
# Commands that are also programs of their own, with all options there.
_PROGRAMS = {
    "run": "classify a camera, stream or file (also: edgehar-run)",
    "train": "train a network (also: edgehar-train)",
    "convert": "convert a trained network to a bundle (also: edgehar-convert)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments[:1] and arguments[0] in _PROGRAMS:
        return _run_program(arguments[0], arguments[1:])
    parser = make_parser("edgehar", "Human action recognition on small computers.", EXAMPLES)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _PROGRAMS.items():
        subparsers.add_parser(name, help=text, add_help=False)
    for command in _commands(arguments):
        command.add_parser(subparsers)

    def body(args: argparse.Namespace) -> int:
        code: int = args.run(args)
        return code

    return run_command(parser, body, arguments)


def _commands(arguments: list[str]) -> Iterator[Any]:
    """Yield the module of the given command, or of all commands if help or an error may list them."""
    if arguments[:1] and arguments[0] in _COMMANDS:
        yield importlib.import_module(f"edgehar.cli.{arguments[0]}")
        return
    for name in _COMMANDS:
        yield importlib.import_module(f"edgehar.cli.{name}")
    yield from _of_training(arguments)


def _of_training(arguments: list[str]) -> Iterator[Any]:
    """Yield the subcommands of the training package, which registers them as entry points.

    A command that cannot be imported is left out, so that the others work: for example `edgehar doctor`, which then
    says what is missing.
    """
    for entry in sorted(importlib.metadata.entry_points(group="edgehar.commands")):
        try:
            yield entry.load()
        except ImportError as error:
            if arguments[:1] == [entry.name]:
                print(f"edgehar: {entry.name} cannot be loaded: {error}; run: edgehar doctor", file=sys.stderr)


def _run_program(name: str, arguments: list[str]) -> int:
    """Run `edgehar-NAME` in this process."""
    if name == "run":
        from edgehar.cli.run import main as run

        return run(arguments, prog="edgehar run")
    for entry in importlib.metadata.entry_points(group="console_scripts", name=f"edgehar-{name}"):
        code: int = entry.load()(arguments)
        return code
    print(f"edgehar: {name} needs the training package; run: pip install 'edgehar[train]'", file=sys.stderr)
    return EXIT_USAGE
