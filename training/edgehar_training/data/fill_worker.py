"""A process that makes entries of a cache: `python -m edgehar_training.data.fill_worker JOB`.

JOB is a `filling.CacheJob` as JSON. The process reads clips as JSON from standard input, one a line, and answers each
with one line of JSON. It ends when its input ends.
"""

from __future__ import annotations

import importlib
import json
import logging
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from edgehar.errors import DatasetError, SourceError
from edgehar_training.data.datasets import Clip
from edgehar_training.data.filling import CacheJob
from edgehar_training.file_names import decode_json

if TYPE_CHECKING:
    from edgehar_training.data.filling import Cache


class _WarningLog(logging.Handler):
    """Collects warnings, to be sent with the next answer."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect one warning."""
        self.messages.append(record.getMessage())


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    warnings = _WarningLog()
    logging.basicConfig(handlers=[warnings])
    cache = open_cache(decode_json(sys.argv[1], CacheJob))
    for line in sys.stdin:
        answer = _answer(cache, Clip(**json.loads(line)))
        print(json.dumps({**answer, "warnings": warnings.messages}), flush=True)
        warnings.messages = []
    # The process is ending anyway, and an exit during the shutdown of Python would print an error.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


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
