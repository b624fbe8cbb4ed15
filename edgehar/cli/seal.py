"""`edgehar seal`: make keys for sealed recordings, and open what was sealed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE, EXIT_FAILED
from edgehar.errors import ConfigError
from edgehar.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLES = """\
examples:
  edgehar seal keygen --out key.txt              on your own computer; prints the public key for seal_to
  edgehar seal open clips --key key.txt --to clear
                                                 decrypts a folder, or single files; age -d -i key.txt does the same"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "seal",
        help="make keys for sealed recordings, and open what was sealed",
        description="Recordings are sealed to public keys (record.seal_to) in the age format. Make the keys on another "
        "computer: the device needs the public key only.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    keygen = actions.add_parser(
        "keygen",
        help="make a pair of keys",
        description="Make a pair of keys. The secret key goes to a file, the public key to standard output.",
        epilog="examples:\n  edgehar seal keygen --out key.txt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    keygen.add_argument("--out", metavar="FILE", required=True, help="file for the secret key; it must not exist")
    keygen.set_defaults(run=_keygen)
    opening = actions.add_parser(
        "open",
        help="decrypt sealed recordings",
        description="Decrypt sealed recordings. A file that was cut off is decrypted as far as it goes.",
        epilog="examples:\n  edgehar seal open clips --key key.txt --to clear\n"
        "  edgehar seal open clips/hall/2026-11-21/*.age --key key.txt --to .",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    opening.add_argument("source", metavar="SOURCE", nargs="+", help="sealed files, or folders with sealed files")
    opening.add_argument("--key", metavar="FILE", required=True, help="file with the secret key")
    opening.add_argument("--to", metavar="FOLDER", required=True, help="folder for the decrypted files")
    opening.set_defaults(run=_open)
    for action in (keygen, opening):
        action.add_argument("--verbose", action="store_true", help="log more, and show the traceback of an error")


def _keygen(args: argparse.Namespace) -> int:
    from edgehar.recording.seal import load_pyrage

    identity = load_pyrage().x25519.Identity.generate()
    public = str(identity.to_public())
    try:
        descriptor = os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"--out {args.out}: exists; a secret key is never overwritten, choose another name") from None
    try:
        os.write(descriptor, f"# public key: {public}\n{identity}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    print(public)
    print(f"the secret key is in {args.out}; without it nobody can open the recordings: keep a copy", file=sys.stderr)
    return EXIT_DONE


def _open(args: argparse.Namespace) -> int:
    from edgehar.recording.seal import open_sealed, read_identities

    identities, target = read_identities(Path(args.key)), Path(args.to)
    count = cut = 0
    for sealed, relative in _sealed_files(args.source):
        clear = target / relative
        clear.parent.mkdir(parents=True, exist_ok=True)
        temporary = clear.with_name(f".{clear.name}.part")
        try:
            whole = open_sealed(sealed, temporary, identities)
            temporary.replace(clear)
        finally:
            temporary.unlink(missing_ok=True)
        count += 1
        if not whole:
            cut += 1
            print(f"{sealed}: cut off or altered; decrypted as far as it goes", file=sys.stderr)
    if not count:
        raise ConfigError(f"{', '.join(args.source)}: holds no sealed file (*.age)")
    print(f"{counted(count, 'file')} decrypted into {target}")
    return EXIT_FAILED if cut else EXIT_DONE


def _sealed_files(sources: list[str]) -> Iterator[tuple[Path, Path]]:
    """Give each sealed file, and the path of its decrypted copy in the target folder."""
    from edgehar.recording.seal import SUFFIX

    for source in map(Path, sources):
        if source.is_dir():
            for path in sorted(source.rglob(f"*{SUFFIX}")):
                yield path, path.relative_to(source).with_suffix("")
        elif source.suffix == SUFFIX and source.is_file():
            yield source, Path(source.with_suffix("").name)
        else:
            raise ConfigError(f"{source}: no such sealed file (*{SUFFIX}) or folder")
