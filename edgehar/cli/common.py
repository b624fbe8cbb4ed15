"""The parts that all commands share: the parser, logging to stderr, and the exit code and message of an error."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from edgehar._version import __version__
from edgehar.errors import ConfigError, EdgeharError
from edgehar.printable import printable
from edgehar.systemd.journal import JournalFormatter, is_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgehar.cli.background_log import BackgroundHandler

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: the error, and where to find help."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Make a parser with `--version`, `--verbose`, and examples below the options."""
    parser = Parser(
        prog=prog,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add_verbose(parser)
    return parser


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add `--verbose`."""
    parser.add_argument("--verbose", action="store_true", help="log more, and print the traceback of an error")


def check_folder(path: Path) -> None:
    """Check that the folder of a file exists, before the work begins. Raises ConfigError if it does not."""
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: folder {path.parent} does not exist; create it first")


class CommandOptions(NamedTuple):
    """Options of `run_command`.

    Attributes:
        out_of_memory: what to do when memory runs out.
        background_log: whether a thread writes the log, for commands that must not wait for it.
        before_threads: called before the first thread starts.
    """

    out_of_memory: str = "lower --batch-size, --size or --window"
    background_log: bool = False
    before_threads: Callable[[], object] = lambda: None


def run_command(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    options: CommandOptions | None = None,
) -> int:
    """Parse `argv`, run `body`, and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    An error is one line on stderr, with its traceback only under `--verbose`. If the reader of stdout has gone, the
    command ends silently with 0.
    """
    options = options or CommandOptions()
    args = parser.parse_args(argv)
    options.before_threads()
    log = _start_log(parser.prog, args.verbose, options.background_log)
    code, error = _guarded(body, args)
    message = ""
    if error is not None:
        code, message = _outcome(error, options.out_of_memory)
        message = _line(parser.prog, message)
        if args.verbose:
            message = f"{''.join(traceback.format_exception(error))}{message}"
    if log is None:
        if message:
            print(message, file=sys.stderr)
        return code
    if message:
        log.write(message)
    logging.getLogger().removeHandler(log)
    log.finish()
    return code


def _guarded(body: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> tuple[int, BaseException | None]:
    """Run a command; returns its exit code and its error."""
    try:
        code = body(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout again at exit, so give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE, None
    except (KeyboardInterrupt, Exception) as error:
        return EXIT_FAILED, error
    return code, None


def _outcome(error: BaseException, out_of_memory: str) -> tuple[int, str]:
    """Return the exit code and the message of an error."""
    match error:
        case KeyboardInterrupt():
            return EXIT_INTERRUPTED, "interrupted"
        case ConfigError():
            return EXIT_USAGE, str(error)
        case EdgeharError():
            return EXIT_FAILED, str(error)
        case MemoryError():
            return EXIT_FAILED, f"out of memory: {out_of_memory}"
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return EXIT_FAILED, f"{where}{error.strerror or error}"
    return EXIT_FAILED, f"unexpected {type(error).__name__}: {error}; run again with --verbose and report the traceback"


class _Formatter(logging.Formatter):
    """Lines that cannot control a terminal, whatever is in a file name or label."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines of a record."""
        return "\n".join(map(printable, super().format(record).splitlines()))


def _start_log(prog: str, verbose: bool, background: bool) -> BackgroundHandler | None:
    formatter = JournalFormatter() if is_journal(sys.stderr) else _Formatter(f"{prog}: %(message)s")
    handler: logging.Handler
    log = None
    if background and sys.stderr is not None:
        from edgehar.cli.background_log import BackgroundHandler

        handler = log = BackgroundHandler(sys.stderr)
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    # Only errors of libraries that would otherwise drown our own lines.
    for chatty in ("matplotlib", "PIL", "tensorflow", "libav", "absl"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return log


def _line(prog: str, message: str) -> str:
    line = printable(" ".join(message.split()))
    # The journal stores the level of a line, and puts the program's name before it.
    return f"<3>{line}" if is_journal(sys.stderr) else f"{prog}: {line}"
