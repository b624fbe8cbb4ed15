"""The `edgehar` command: its subcommands, each in a file of its own."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

from edgehar.cli import bench, bundle, clips, config, demo, devices, doctor, inspect, seal, service, teach
from edgehar.cli.common import make_parser, run_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

EXAMPLES = """\
  edgehar demo                          run a shipped model on built-in scenes, and write demo.mp4
  edgehar inspect fight                 what a model is, what it needs and how good it is
  edgehar inspect my.edgehar --card     its model card; --verify checks it on this machine
  edgehar bundle unpack fight f/        the files in a model; add-edgetpu adds one
  edgehar devices                       the cameras of this machine
  edgehar bench --quick                 how fast this machine is, and beside what others take
  edgehar clips list clips              recorded events; clips verify finds one that was altered
  edgehar config init                   write a configuration to edit; edgehar config check, show
  edgehar data check clips              what is wrong with clips before a network is trained on them
  edgehar doctor                        whether all is there that a device needs, and what to do where it is not
  edgehar teach fight --data clips --out hall.edgehar   teach a model from labelled clips, on this machine
  edgehar service install               have systemd run it from the start of the machine on
see also: edgehar-run (classify a camera or file), edgehar-train, edgehar-convert"""


_COMMANDS = (bench, bundle, clips, config, demo, devices, doctor, inspect, seal, service, teach)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = make_parser("edgehar", "Human action recognition on small computers.", EXAMPLES)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (*_COMMANDS, *_of_the_workstation()):
        command.add_parser(subparsers)

    def body(args: argparse.Namespace) -> int:
        code: int = args.run(args)
        return code

    return run_command(parser, body, argv)


def _of_the_workstation() -> list[Any]:
    """Subcommands of training and evaluation, which are not of this package but register with it."""
    return [entry.load() for entry in sorted(importlib.metadata.entry_points(group="edgehar.commands"))]
