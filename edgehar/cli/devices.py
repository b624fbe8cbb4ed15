"""`edgehar devices`: list the cameras of this machine, or of the network, with the value of `--source` for each."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.cli.numbers import number_above_0
from edgehar.errors import ConfigError, SourceError
from edgehar.printable import printable, printable_lines

if TYPE_CHECKING:
    from typing import Any

    from edgehar.sources.listing import Device
    from edgehar.sources.network_cameras import NetworkCamera

PASSWORD_VARIABLE = "EDGEHAR_ONVIF_PASSWORD"  # noqa: S105 - a name
_EXAMPLES = f"""\
examples:
  edgehar devices                                    USB cameras and camera modules
  edgehar devices --network                          ONVIF cameras on the local network
  {PASSWORD_VARIABLE}=... edgehar devices --network --user admin
                                                     and their streams, with the best one for the model
  edgehar devices --network 192.0.2.7 --user admin   one camera, which may be on another network"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "devices",
        help="list the cameras of this machine or of the network",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON Lines, one for each camera")
    parser.add_argument(
        "--network",
        nargs="?",
        const="",
        metavar="HOST",
        help="list the ONVIF cameras of the local network instead, or the streams of one camera",
    )
    parser.add_argument(
        "--user", metavar="NAME", help=f"user of these cameras; the password is in {PASSWORD_VARIABLE}, or asked for"
    )
    parser.add_argument("--model", metavar="BUNDLE|NAME", help="model to propose a stream for (fight)")
    parser.add_argument(
        "--wait", type=number_above_0, metavar="S", help="how long to wait for cameras to answer, in seconds (3)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the cameras; returns 0 even if there is none, and 1 if the only camera that was asked failed."""
    if args.network is not None:
        return _run_network(args)
    for name in ("user", "model", "wait"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} is for network cameras; add --network")
    import msgspec

    from edgehar.sources.listing import list_devices

    devices = list_devices()
    for device in devices:
        print(msgspec.json.encode(device).decode() if args.json else printable_lines(_lines(device)))
    if not devices:
        print(
            "edgehar devices: no camera found; plug one in, or check its cable. For network cameras add --network, or "
            "pass their address, rtsp://..., to --source",
            file=sys.stderr,
        )
    return EXIT_DONE


def _lines(device: Device) -> str:
    first = f"{device.source or '-':<12} {device.name} ({device.path})"
    rest = [device.why_not] if device.why_not is not None else device.formats
    return "\n".join([first, *(f"{'':<12} {line}" for line in rest)])


def _run_network(args: argparse.Namespace) -> int:
    import msgspec

    from edgehar.cli.run import DEFAULT_MODEL
    from edgehar.model.bundle import ModelBundle
    from edgehar.sources.network_cameras import Wanted, ask, find

    manifest = ModelBundle.open(args.model or DEFAULT_MODEL).manifest
    password = _password(args.user)
    # Twice the pixels of the network, and all pixels that a second look is cut from.
    sides = zip((manifest.input.height, manifest.input.width), manifest.input.source_size, strict=True)
    rows, columns = (max(2 * side, source) for side, source in sides)
    wanted = Wanted((rows, columns), manifest.temporal.rate_hz, args.user or "", password)
    if args.network:
        cameras = [ask(args.network, wanted)]
    else:
        try:
            cameras = list(find(wanted, args.wait or 3.0))
        except OSError as error:
            raise SourceError(f"cannot search the network: {error.strerror}; check its connection") from error
    for camera in cameras:
        lines = printable_lines(_network_lines(camera, manifest.name))
        print(msgspec.json.encode(camera).decode() if args.json else lines)
    if not cameras:
        print(
            "edgehar devices: no ONVIF camera answered; check that ONVIF is on in its settings, and that it is on this "
            "network, or name it: edgehar devices --network HOST",
            file=sys.stderr,
        )
    return EXIT_FAILED if args.network and cameras[0].why_not is not None else EXIT_DONE


def _password(user: str | None) -> str:
    if user is None:
        return ""
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None and sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"Password of {user}: ")
    if password is None:
        raise ConfigError(f"--user needs a password; set {PASSWORD_VARIABLE}")
    return password


def _network_lines(camera: NetworkCamera, model: str) -> str:
    lines = [printable(f"{camera.host:<15} {camera.name}".rstrip())]
    if camera.why_not is not None:
        lines.append(f"  {camera.why_not}")
    for stream in camera.streams:
        rate = "" if stream.rate_hz is None else f" at {stream.rate_hz:g} frames/s"
        mark = "*" if stream.uri == camera.source else " "
        lines.append(f"{mark} {stream.uri}  {stream.encoding} {stream.width}x{stream.height}{rate}")
    if camera.source is not None:
        lines.append(f"  * for {model}: the smallest stream that suits it; put user:password@ before the host")
    return "\n".join(lines)
