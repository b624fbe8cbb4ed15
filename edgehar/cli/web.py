"""`edgehar web`: the password of the pages."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from typing import TextIO

_EXAMPLES = """\
examples:
  edgehar web password                           asks twice, and prints the hash for web.password_hash
  edgehar web password --out /etc/edgehar/web-password
                                                 writes the file for web.password_file
  echo "$PASSWORD" | edgehar web password        reads one line where nobody can be asked"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "web",
        help="make the password of the pages",
        description="Pages of edgehar-run --web that other machines can reach need a password. Only its hash is kept.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    password = actions.add_parser(
        "password",
        help="hash a password with argon2",
        description="Ask for a password, and print its argon2 hash or write it into a file.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    password.add_argument(
        "--out", metavar="FILE", help="file for the hash, readable by you only; replaced if it exists"
    )
    password.add_argument("--verbose", action="store_true", help="log more, and show the traceback of an error")
    password.set_defaults(run=_password)


def _password(args: argparse.Namespace) -> int:
    from pathlib import Path

    from edgehar.files import whole_file
    from edgehar.web.passwords import hash_password

    digest = hash_password(_read_password(sys.stdin))
    if args.out is None:
        print(digest)
        return EXIT_DONE
    with whole_file(Path(args.out)) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{digest}\n")
    print(f'written; set password_file = "{args.out}" in [web]', file=sys.stderr)
    return EXIT_DONE


def _read_password(source: TextIO) -> str:
    """Return the password: asked for twice at a terminal, else the first line."""
    if not source.isatty():
        return source.readline().rstrip("\r\n")
    import getpass

    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise ConfigError("the two passwords differ; start again")
    return password
