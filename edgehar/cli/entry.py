"""Entry points of `edgehar` and `edgehar-run`: signal handlers first, then the slow imports, and a safe exit."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from edgehar.cli.signals import Signals


def run(argv: list[str] | None = None, prog: str = "edgehar-run") -> NoReturn:
    """Run `edgehar-run` and exit."""
    signals = Signals()
    signals.install()
    from edgehar.cli.run import main

    leave(main(argv, signals, prog))


def edgehar() -> NoReturn:
    """Run `edgehar` and exit. `edgehar run` is `edgehar-run`."""
    if sys.argv[1:2] == ["run"]:
        run(sys.argv[2:], "edgehar run")
    from edgehar.cli.main import main

    leave(main())


def leave(code: int) -> NoReturn:
    """Exit with a code.

    A thread that hangs in FFmpeg or a driver would crash while its library is unloaded. So if a thread is left, exit
    without unloading.
    """
    if all(thread is threading.current_thread() for thread in threading.enumerate()):
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue
    os._exit(code)
