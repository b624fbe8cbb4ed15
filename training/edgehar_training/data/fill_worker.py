"""A process that makes entries of a cache: `python -m edgehar_training.data.fill_worker SETTINGS`.

It reads clips as JSON from standard input, one a line, and answers each with one line of JSON. It ends with its input.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.errors import DatasetError, SourceError
from edgehar_training.data.datasets import Clip
from edgehar_training.data.flow_cache import FlowCache
from edgehar_training.data.frames_cache import FramesCache

if TYPE_CHECKING:
    from edgehar_training.data.filling import Cache


class _Kept(logging.Handler):
    """Keeps warnings until they are told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.said.append(record.getMessage())


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    kept = _Kept()
    logging.basicConfig(handlers=[kept])
    cache = make_cache(json.loads(sys.argv[1]))
    for line in sys.stdin:
        answer = _answer(cache, Clip(**json.loads(line)))
        print(json.dumps({**answer, "warnings": kept.said}), flush=True)
        kept.said = []
    # It is ending anyhow, and an exit while Python shuts down would be told as an error.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def make_cache(settings: dict[str, Any]) -> Cache:
    """The cache that described itself so."""
    if "conditions" in settings:
        import cv2

        from edgehar_training.evaluation.conditions.scoring import ConditionScores

        cv2.setNumThreads(1)  # the cores have a process each
        return ConditionScores(Path(settings["conditions"]))
    frames = FramesCache(Path(settings["folder"]), settings["height"], settings["width"], settings["crop"])
    if "flow" not in settings:
        return frames
    import cv2

    cv2.setNumThreads(1)  # the cores have a process each
    return FlowCache(frames, settings["flow"], settings["rate_hz"])


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
