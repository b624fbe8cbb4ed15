"""`edgehar devices`: list the cameras of this machine, with the value of `--source` for each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from edgehar.sources.listing import Device


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("devices", help="list the cameras of this machine", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON Lines, one for each camera")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the cameras; returns 0 even if there is none."""
    import msgspec

    from edgehar.sources.listing import list_devices

    devices = list_devices()
    for device in devices:
        print(msgspec.json.encode(device).decode() if args.json else _lines(device))
    if not devices:
        print(
            "edgehar devices: no camera found; plug one in, or check its cable. Network cameras are not listed: "
            "pass their address, rtsp://..., to --source",
            file=sys.stderr,
        )
    return EXIT_DONE


def _lines(device: Device) -> str:
    first = f"{device.source or '-':<12} {device.name} ({device.path})"
    rest = [device.why_not] if device.why_not is not None else device.formats
    return "\n".join([first, *(f"{'':<12} {line}" for line in rest)])
