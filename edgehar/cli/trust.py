"""`edgehar trust`: keys whose signed bundles may run here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from typing import Any

_EXAMPLES = """\
examples:
  edgehar trust add office.key.pub
  edgehar trust add "ssh-ed25519 AAAA..." --name office
  edgehar trust list
  edgehar trust remove office

  then, in the configuration:  [models]
                               require_signed = true"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "trust",
        help="list, add and remove the keys whose signed models may run here",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="trust a key")
    add.add_argument("key", help="file of a public key, or its one line")
    add.add_argument("--name", help="whose key it is (the comment of the key)")
    add.set_defaults(run=_add)
    remove = actions.add_parser("remove", help="trust a key no longer")
    remove.add_argument("key", help="its name, fingerprint or line")
    remove.set_defaults(run=_remove)
    listing = actions.add_parser("list", help="print the trusted keys")
    listing.set_defaults(run=_list)
    for action in (add, remove, listing):
        action.add_argument("--trusted-keys", metavar="FILE", help="the file of keys (the user's own)")


def _add(args: argparse.Namespace) -> int:
    from edgehar.model.signature import Trust, TrustedKey, parse_key

    text, where = args.key, "the key"
    if not args.key.startswith("ssh-"):
        where = args.key
        try:
            text = Path(args.key).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{args.key}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    key = parse_key(text, where)
    if args.name:
        key = TrustedKey(key.key, args.name.strip())
    trust = Trust.at(args.trusted_keys)
    trust.add(key)
    print(f"{trust.path}: trusts {key.name or 'a key'} ({key.fingerprint})")
    return EXIT_DONE


def _remove(args: argparse.Namespace) -> int:
    from edgehar.model.signature import Trust

    trust = Trust.at(args.trusted_keys)
    key = trust.remove(args.key)
    print(f"{trust.path}: trusts {key.name or 'a key'} ({key.fingerprint}) no longer")
    return EXIT_DONE


def _list(args: argparse.Namespace) -> int:
    from edgehar.model.signature import Trust

    trust = Trust.at(args.trusted_keys)
    keys = trust.read()
    for key in keys:
        print(f"{key.fingerprint}  {key.name}")
    if not keys:
        print(f"{trust.path}: no key is trusted; add one with: edgehar trust add FILE.pub")
    return EXIT_DONE
