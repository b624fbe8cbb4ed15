"""`edgehar notify`: send a test message."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from edgehar.records import Event

_EXAMPLES = """\
examples:
  edgehar notify test                            the addresses of the usual configuration
  edgehar notify test --config edgehar.toml
  edgehar notify test --url ntfys://ntfy.example/hall"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "notify",
        help="send a test message to the addresses of [notify]",
        description="Messages to people, through Apprise.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser(
        "test",
        help="send a test message",
        description="Send a message with a picture to each address, and say which took it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    test.add_argument("--config", metavar="FILE", help="configuration with the addresses (the usual one)")
    test.add_argument("--url", metavar="ADDRESS", action="append", help="an Apprise address to test instead")
    test.add_argument("--verbose", action="store_true", help="log more, and show the traceback of an error")
    test.set_defaults(run=_test)


def _test(args: argparse.Namespace) -> int:
    import os

    import msgspec

    from edgehar.config import find_config, load
    from edgehar.credentials import Secret
    from edgehar.delivery.messages import Messages, addresses, apprise_sender
    from edgehar.delivery.options import NotifyOptions

    if args.url:
        options = NotifyOptions(urls=[Secret(url) for url in args.url])
    else:
        options = load(find_config(args.config or "auto", os.environ), os.environ, {}).notify
    given = addresses(options)
    if not given:
        raise ConfigError("notify: urls is not set; give --url, or set it in the configuration")
    message = Messages(options).of(_event(), _picture() if options.picture else None)
    failed = 0
    for number, address in enumerate(given, 1):
        one = msgspec.structs.replace(options, urls=[Secret(address)], urls_file=None)
        why_not = apprise_sender(one)(message)
        failed += why_not is not None
        print(f"address {number}: {'sent' if why_not is None else 'failed; check the address and the network'}")
    return EXIT_FAILED if failed else EXIT_DONE


def _event() -> Event:
    from edgehar.records import Event, utc_now

    return Event(
        phase="end", id="test", revision=1, time=utc_now(), source="test", model="test", label="test message",
        peak_score=1.0, start_s=0.0, end_s=1.0,
    )  # fmt: skip


def _picture() -> bytes:
    import numpy as np

    from edgehar import drawing

    picture = np.full((120, 160, 3), 60, np.uint8)
    drawing.write(picture, "edgehar", (24, 68), 30, (240, 240, 240))
    return drawing.jpeg(picture)
