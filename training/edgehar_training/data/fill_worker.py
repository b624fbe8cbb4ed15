"""A process that makes entries of a cache: `python -m edgehar_training.data.fill_worker JOB`.

JOB is a `filling.CacheJob` as JSON. The process reads clips as JSON from standard input, one a line, and answers each
with one line of JSON. It ends when its input ends.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from edgehar.errors import DatasetError, SourceError
from edgehar_training.data.datasets import Clip
from edgehar_training.data.filling import CacheJob
from edgehar_training.file_names import decode_json

if TYPE_CHECKING:
    from edgehar_training.data.filling import Cache

# A finalizer is over by then; if not, the exit is tried again.
_AFTER_FINALIZER_S = 0.01


class _WarningLog(logging.Handler):
    """Collects warnings, to be sent with the next answer."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect one warning."""
        self.messages.append(record.getMessage())


def main() -> NoReturn:
    """Serve until the input ends."""
    with contextlib.suppress(SystemExit):
        _serve()
    # Every file is closed, and a signal that arrives while Python shuts down would print an error.
    os._exit(0)


def _serve() -> None:
    warnings = _WarningLog()
    logging.basicConfig(handlers=[warnings])
    cache = open_cache(decode_json(sys.argv[1], CacheJob))
    # A signal ends the process at once until it has something to clean up.
    sys.unraisablehook = _exit_soon
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_: sys.exit())
    for line in sys.stdin:
        answer = _answer(cache, Clip(**json.loads(line)))
        print(json.dumps({**answer, "warnings": warnings.messages}), flush=True)
        warnings.messages = []


def _exit_soon(ignored: sys.UnraisableHookArgs) -> None:
    """Exit after the finalizer in which a signal arrived, because Python ignores and prints an exit there."""
    if isinstance(ignored.exc_value, SystemExit):
        signal.setitimer(signal.ITIMER_REAL, _AFTER_FINALIZER_S)
    else:
        sys.__unraisablehook__(ignored)


def open_cache(job: CacheJob) -> Cache:
    """Open the cache that a job describes."""
    module, function = job.maker.split(":")
    cache: Cache = getattr(importlib.import_module(module), function)(**job.settings)
    return cache


def _answer(cache: Cache, clip: Clip) -> dict[str, Any]:
    try:
        return {"frames": cache.make_missing(clip)}
    except SourceError as error:
        return {"unreadable": str(error)}
    except DatasetError as error:
        return {"dataset": str(error)}
    except OSError as error:
        return {"errno": error.errno, "text": error.strerror or str(error), "file": error.filename}
    except Exception:
        return {"bug": traceback.format_exc()}


if __name__ == "__main__":
    main()
