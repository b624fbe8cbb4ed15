"""`edgehar sign`: sign a bundle with a private key, so that devices that trust the key accept it."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from typing import Any

_EXAMPLES = """\
examples:
  edgehar sign --new-key office.key                  a new key: office.key (keep it) and office.key.pub
  edgehar sign hall.edgehar --key office.key
  edgehar trust add office.key.pub                   on each device
  edgehar sign hall.edgehar --check                  who signed it, and whether this device trusts that key"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "sign",
        help="sign a model bundle, or make a key for that",
        description=f"{__doc__} Keys are Ed25519 keys of OpenSSH; ssh-keygen -t ed25519 makes them, too.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="the bundle, which is signed in place")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--key", type=Path, metavar="FILE", help="private key to sign with")
    what.add_argument("--new-key", type=Path, metavar="FILE", help="write a new private key, and FILE.pub")
    what.add_argument("--check", action="store_true", help="print who signed it; exit code 1 unless that is trusted")
    parser.add_argument("--trusted-keys", metavar="FILE", help="with --check: the file of keys (the user's own)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make a key, sign, or check."""
    from edgehar.model.signature import Trust, make_key, sign, verify

    if args.new_key is not None:
        if args.bundle is not None:
            raise ConfigError("--new-key takes no bundle; sign it afterwards with --key")
        key = make_key(args.new_key, f"edgehar@{socket.gethostname()}")
        print(f"wrote {args.new_key}, which signs: keep it secret\nwrote {args.new_key}.pub, for: edgehar trust add")
        print(key.fingerprint)
        return EXIT_DONE
    if args.bundle is None:
        raise ConfigError("which bundle? give its path")
    from edgehar.model.bundle import ModelBundle, find_bundle

    if args.check:
        bundle = ModelBundle.open(args.bundle)
        key = verify(bundle, Trust.at(args.trusted_keys).read())
        print(f"{bundle.path}: signed by {key.name or 'a trusted key'} ({key.fingerprint})")
        return EXIT_DONE
    key = sign(find_bundle(args.bundle), args.key)
    print(f"signed {args.bundle} with {key.fingerprint}")
    return EXIT_DONE
