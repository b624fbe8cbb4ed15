"""`edgehar fleet`: many devices, seen and updated through the MQTT broker that they publish to.

The address of the broker ends in the part of the topics that all devices share: with `mqtt://ops@broker/edgehar`, the
device `hall` publishes under `edgehar/hall`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED, Parser
from edgehar.cli.numbers import seconds, share, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from edgehar.fleet.client import FleetClient
    from edgehar.fleet.desk import OrderDesk
    from edgehar.fleet.push import Result
    from edgehar.fleet.view import DeviceView, FleetView
    from edgehar.sinks.mqtt.options import MqttOptions
    from edgehar.web.options import WebOptions

URL_VARIABLE = "EDGEHAR_FLEET_URL"
_EXAMPLES = f"""\
examples:
  edgehar fleet list --mqtt mqtt://ops@broker.local/edgehar       every device: health, model, alarms a day
  export {URL_VARIABLE}=mqtts://ops@broker.local/edgehar EDGEHAR_MQTT_PASSWORD=secret
  edgehar fleet list --problems                                  only devices that need attention
  edgehar fleet list --json | jq '.[] | select(.online | not) | .name'
  edgehar fleet watch                                            print changes and alarms as they happen
  edgehar fleet page                                             all devices in the browser
  edgehar fleet push new.edgehar '*' --canary 2 --watch 600       two devices first; stop and roll back if they fail
  edgehar fleet config night.toml 'hall-*' --key operator         settings, in the same careful way
  edgehar fleet rollback 'hall-*'                                 back to the model before"""

# The retained messages of all devices have arrived when none came for this long.
_QUIET_S = 0.7
_log = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommands."""
    parser = subparsers.add_parser(
        "fleet",
        help="list, watch and update many devices through their MQTT broker",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="fleet_command", required=True, metavar="COMMAND", parser_class=Parser)
    listing = commands.add_parser("list", help="list devices, their health, models and alarms")
    _add_broker(listing)
    listing.add_argument("--problems", action="store_true", help="only devices that need attention")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.add_argument(
        "--wait", type=seconds, default=10.0, metavar="S", help="longest time to wait for the broker's messages (10)"
    )
    listing.set_defaults(run=_list)
    watching = commands.add_parser("watch", help="print changes and alarms as they happen, until Ctrl-C")
    _add_broker(watching)
    watching.add_argument("--json", action="store_true", help="print one JSON object a line")
    watching.set_defaults(run=_watch)
    _add_page(commands)
    _add_push(commands)
    _add_config(commands)
    back = commands.add_parser(
        "rollback", help="have devices leave the model or settings that were pushed to them last"
    )
    _add_broker(back)
    back.add_argument("devices", nargs="+", metavar="DEVICE", help="names of devices, with * and ?")
    back.add_argument("--timeout", type=seconds, default=60.0, metavar="S", help="time for an answer (60)")
    back.set_defaults(run=_rollback)


def _add_page(commands: argparse._SubParsersAction[Any]) -> None:
    page = commands.add_parser(
        "page",
        help="show all devices in the browser, until Ctrl-C",
        description="Show all devices on a page in the browser, until Ctrl-C. It changes nothing.",
    )
    _add_broker(page)
    page.add_argument("--listen", default="8089", metavar="[HOST:]PORT", help="address of the page (127.0.0.1:8089)")
    page.add_argument(
        "--web-password-file", metavar="FILE", help="hash of the page's password, from edgehar web password --out FILE"
    )
    page.add_argument("--web-cert-file", metavar="FILE", help="certificate of the page for https://, as PEM")
    page.add_argument("--web-key-file", metavar="FILE", help="key of that certificate, as PEM")
    page.set_defaults(run=_page)


def _add_push(commands: argparse._SubParsersAction[Any]) -> None:
    push = commands.add_parser(
        "push",
        help="push a signed model to devices, canaries first",
        description="Push a signed model to devices. Canaries get it first; each later wave is ten times larger. If "
        "devices refuse it, leave it again or become unwell, the push stops and is rolled back.",
    )
    _add_broker(push)
    push.add_argument("bundle", type=Path, metavar="BUNDLE", help="the model, NAME.edgehar, signed with edgehar sign")
    push.add_argument("devices", nargs="+", metavar="DEVICE", help="names of devices, with * and ?")
    push.add_argument("--model", default="", help="the configured model that it replaces (the only one)")
    push.add_argument("--shadow", type=seconds, default=0.0, metavar="S", help="time in shadow first (0)")
    _add_care(push)
    push.set_defaults(run=_push)


def _add_config(commands: argparse._SubParsersAction[Any]) -> None:
    config = commands.add_parser(
        "config",
        help="push settings to devices, canaries first",
        description="Sign settings, a TOML file such as [decision] and threshold = 0.8, and push them to devices. "
        "Canaries get them first; each later wave is ten times larger. If devices refuse them or become unwell, the "
        "push stops and is rolled back.",
    )
    _add_broker(config)
    config.add_argument("file", type=Path, metavar="FILE", help="the settings (TOML)")
    config.add_argument("devices", nargs="+", metavar="DEVICE", help="names of devices, with * and ?")
    config.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key to sign with")
    _add_care(config)
    config.set_defaults(run=_config)


def _add_care(push: argparse.ArgumentParser) -> None:
    push.add_argument("--canary", type=whole_number(1), default=1, metavar="N", help="devices that get it first (1)")
    push.add_argument(
        "--watch", type=seconds, default=600.0, metavar="S", help="how long each must be well with it (600)"
    )
    push.add_argument(
        "--timeout",
        type=seconds,
        default=300.0,
        metavar="S",
        help="time to fetch and start it, beyond the others (300)",
    )
    push.add_argument(
        "--max-failures", type=share, default=0.02, metavar="P", help="share of devices that may fail (0.02)"
    )


def _add_broker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mqtt", metavar="URL", default=os.environ.get(URL_VARIABLE), help=f"broker and prefix (${URL_VARIABLE})"
    )
    parser.add_argument("--password-file", metavar="FILE", help="file with the password (or $EDGEHAR_MQTT_PASSWORD)")
    parser.add_argument("--ca-file", metavar="FILE", help="authorities to trust, as PEM")
    parser.add_argument("--cert-file", metavar="FILE", help="client certificate, as PEM")
    parser.add_argument("--key-file", metavar="FILE", help="key of the client certificate, as PEM")


def _options(args: argparse.Namespace) -> MqttOptions:
    from edgehar.errors import ConfigError
    from edgehar.sinks.mqtt.options import MqttOptions

    if not args.mqtt:
        raise ConfigError(f"give the broker with --mqtt mqtt://user@host/prefix, or in ${URL_VARIABLE}")
    names = ("password_file", "ca_file", "cert_file", "key_file")
    return MqttOptions(url=args.mqtt, **{name: getattr(args, name) for name in names})


def _list(args: argparse.Namespace) -> int:
    from edgehar.errors import FleetError
    from edgehar.fleet.client import FleetClient
    from edgehar.fleet.view import STATE_TOPICS, FleetView

    view = FleetView()
    with FleetClient(_options(args), STATE_TOPICS) as client:
        _read_retained(client, view, args.wait)
        where = client.where
    if not view.devices:
        raise FleetError(f"{where}: no device has published here; check the prefix and the access rules of this user")
    devices = sorted(view.devices.values(), key=lambda device: device.name)
    shown = [device for device in devices if not args.problems or device.problems(view.now())]
    if args.json:
        print(json.dumps([_as_json(device, view) for device in shown], indent=1))
    else:
        print(_table(shown, view))
        print(_summary(devices, view))
    return EXIT_DONE


def _read_retained(client: FleetClient, reader: FleetView | OrderDesk, most_s: float) -> None:
    """Read messages until none arrives for a moment, and the connection stands."""
    from edgehar.fleet.client import Message

    end_s = time.monotonic() + most_s
    received = False
    while (left_s := end_s - time.monotonic()) > 0:
        message = client.receive(min(left_s, _QUIET_S))
        if message is None and (received or client.subscribed):
            return
        if isinstance(message, Message):
            received = True
            reader.take(message)


def _watch(args: argparse.Namespace) -> int:
    from edgehar.fleet.client import FleetClient, Outage
    from edgehar.fleet.view import EVENT_TOPICS, STATE_TOPICS, FleetView
    from edgehar.records import utc_now

    view = FleetView()
    with FleetClient(_options(args), (*STATE_TOPICS, *EVENT_TOPICS)) as client:
        _read_retained(client, view, _QUIET_S * 10)
        print(_summary(list(view.devices.values()), view), file=sys.stderr)
        while True:
            message = client.receive(1.0)
            if isinstance(message, Outage):
                _log.warning("%s: %s", client.where, message.reason or "connected again")
            elif message is not None and (change := view.take(message)) is not None:
                line = {"time": utc_now(), "device": change.device, "what": change.what}
                print(json.dumps(line) if args.json else "  ".join(line.values()), flush=True)


def _page(args: argparse.Namespace) -> int:
    from edgehar.web.server import WebServer, check_installed

    check_installed()
    from edgehar.fleet.client import FleetClient
    from edgehar.fleet.page import FleetBoard, FleetSite
    from edgehar.fleet.view import STATE_TOPICS, FleetView

    options, board = _web_options(args), FleetBoard(FleetView())
    with FleetClient(_options(args), STATE_TOPICS) as client:
        server = WebServer(FleetSite(options, board), options)
        server.start()
        try:
            while True:
                if (message := client.receive(1.0)) is not None:
                    board.take(message)
        finally:
            server.close()


def _web_options(args: argparse.Namespace) -> WebOptions:
    import msgspec

    from edgehar.errors import ConfigError
    from edgehar.web.options import WebOptions

    names = {"password_file": "web_password_file", "cert_file": "web_cert_file", "key_file": "web_key_file"}
    given = {name: value for name, option in names.items() if (value := getattr(args, option)) is not None}
    try:
        return msgspec.convert({"listen": args.listen, **given}, WebOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--listen {args.listen}: {error}") from None


def _push(args: argparse.Namespace) -> int:
    from edgehar.fleet.push import Pusher, choose
    from edgehar.fleet.rollout import RolloutOptions

    options = RolloutOptions(shadow_s=args.shadow, **_care(args))
    with _desk(args) as desk:
        result = Pusher(desk).push(args.bundle, choose(desk.view, args.devices), options, args.model)
    return _finish("run it", result)


def _config(args: argparse.Namespace) -> int:
    from edgehar.config.pushed import check_settings
    from edgehar.fleet.push import Pusher, choose
    from edgehar.fleet.rollout import RolloutOptions
    from edgehar.model.signature import sign_settings

    text = check_settings(args.file)
    signature, options = sign_settings(text.encode(), args.key), RolloutOptions(**_care(args))
    with _desk(args) as desk:
        result = Pusher(desk).push_settings(text, signature, choose(desk.view, args.devices), options)
    return _finish("have them", result)


def _care(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "canary": args.canary,
        "watch_s": args.watch,
        "timeout_s": args.timeout,
        "max_failures": args.max_failures,
    }


def _finish(what: str, result: Result) -> int:
    for name, reason in result.failed.items():
        _log.error("%s: %s", name, reason)
    if result.stopped:
        _log.error("stopped and rolled back: %d devices failed", len(result.failed))
        return EXIT_FAILED
    print(_outcome(what, result))
    return EXIT_DONE


def _rollback(args: argparse.Namespace) -> int:
    from edgehar.fleet.push import Pusher, choose

    with _desk(args) as desk:
        result = Pusher(desk).roll_back(choose(desk.view, args.devices), args.timeout)
    for name, reason in result.failed.items():
        _log.error("%s: %s", name, reason)
    print(_outcome("rolled back", result))
    return EXIT_FAILED if result.failed else EXIT_DONE


def _outcome(what: str, result: Result) -> str:
    text = f"{len(result.done)} devices {what}, {len(result.failed)} failed"
    return f"{text}; {len(result.waiting)} are off or silent, and follow when they return" if result.waiting else text


@contextlib.contextmanager
def _desk(args: argparse.Namespace) -> Iterator[OrderDesk]:
    """Yield the desk of a connected operator, who knows all devices."""
    from edgehar.fleet.client import FleetClient
    from edgehar.fleet.desk import DESK_TOPICS, OrderDesk
    from edgehar.fleet.view import STATE_TOPICS, FleetView

    with FleetClient(_options(args), STATE_TOPICS, DESK_TOPICS) as client:
        desk = OrderDesk(client, FleetView())
        _read_retained(client, desk, _QUIET_S * 10)
        yield desk


def _as_json(device: DeviceView, view: FleetView) -> dict[str, Any]:
    import msgspec

    return {
        "name": device.name,
        "online": bool(device.online),
        "problems": device.problems(view.now()),
        "alarms_per_day": device.alarms_per_day(),
        "device": msgspec.to_builtins(device.device),
        "order": msgspec.to_builtins(device.order),
        "statuses": msgspec.to_builtins(device.statuses),
    }


def _table(devices: list[DeviceView], view: FleetView) -> str:
    from edgehar.fleet.view import device_info

    rows: list[tuple[str, ...]] = [("DEVICE", "FPS", "TEMP", "ALARMS/DAY", "EDGEHAR", "MODEL", "HEALTH")]
    for device in devices:
        info = device_info(device, view.now())
        row = (
            info.name,
            "-" if info.fps is None else f"{info.fps:.1f}",
            "-" if info.temperature_c is None else f"{info.temperature_c:.0f}",
            "-" if info.alarms_per_day is None else f"{info.alarms_per_day:.1f}",
            info.edgehar or "-",
            info.models or "-",
            "; ".join(info.problems) or "ok",
        )
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _summary(devices: list[DeviceView], view: FleetView) -> str:
    online = sum(bool(device.online) for device in devices)
    ill = sum(bool(device.problems(view.now())) for device in devices)
    ignored = f"; {view.ignored} messages not understood" if view.ignored else ""
    return f"{len(devices)} devices: {online} online, {len(devices) - online} offline, {ill} need attention{ignored}"
