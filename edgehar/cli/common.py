"""What all commands share: the parser's shape, logging to stderr, and how an error becomes a line and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING

from edgehar._version import __version__
from edgehar.errors import ConfigError, EdgeharError
from edgehar.systemd.journal import JournalFormatter, is_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def make_parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser with `--version`, `--verbose` and examples under the options."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add_verbose(parser)
    return parser


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add `--verbose`."""
    parser.add_argument("--verbose", action="store_true", help="log more, and show the traceback of an error")


def run_command(
    parser: argparse.ArgumentParser, body: Callable[[argparse.Namespace], int], argv: Sequence[str] | None
) -> int:
    """Parse `argv`, run `body`, and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    An error is one line on stderr, with its traceback only under `--verbose`. A reader of stdout that has gone ends the
    command quietly with 0.
    """
    args = parser.parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JournalFormatter() if is_journal(sys.stderr) else logging.Formatter(f"{parser.prog}: %(message)s")
    )
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.INFO, handlers=[handler])
    # Libraries that talk drown our own lines.
    for chatty in ("matplotlib", "PIL", "tensorflow", "libav", "absl"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        code = body(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _say(parser.prog, "interrupted", args.verbose, EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except ConfigError as error:
        return _say(parser.prog, str(error), args.verbose, EXIT_USAGE)
    except EdgeharError as error:
        return _say(parser.prog, str(error), args.verbose, EXIT_FAILED)
    except MemoryError:
        return _say(parser.prog, "out of memory: lower --batch-size, --size or --window", args.verbose, EXIT_FAILED)
    except OSError as error:
        return _say(parser.prog, _describe(error), args.verbose, EXIT_FAILED)
    except Exception as error:
        message = f"unexpected {type(error).__name__}: {error}; run again with --verbose and report the traceback"
        return _say(parser.prog, message, args.verbose, EXIT_FAILED)
    return code


def _describe(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _say(prog: str, message: str, verbose: bool, code: int) -> int:
    if verbose:
        traceback.print_exc()
    line = " ".join(message.split())
    # In the journal an error of ours is an error, and its name stands before every line already.
    print(f"<3>{line}" if is_journal(sys.stderr) else f"{prog}: {line}", file=sys.stderr)
    return code
