"""Say what a disk holds after a power cut, as JSON: cut_check.py IMAGE. Needs root, a loop device, and edgehar.

Mounts a copy of the disk of the emulated computer, which replays the journal of its file system, and opens everything
that edgehar stores there: the spool, the recordings (recovered as at a start), the history and the models.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av

from edgehar.model.takeover import Takeovers
from edgehar.recording.options import RecordOptions
from edgehar.recording.recorder import Recorder
from edgehar.recording.store import Archive
from edgehar.recording.verify import problems
from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.spool.queue import Spool
from edgehar.teaching.score_log import SUFFIX, read_blocks

_LARGEST = 1_000_000


def spooled(state: Path) -> dict[str, Any]:
    """Return the identities of all events that wait, and how many were found damaged."""
    name = next(iter(state.glob("webhook-*.lock"))).stem
    spool = Spool.open(name, SpoolOptions(directory=str(state)))
    events = [event.id for event in spool.peek(limit=_LARGEST)]
    lost = spool.dropped
    spool.close()
    return {"events": events, "lost": lost}


def recorded(folder: Path) -> dict[str, Any]:
    """Recover the recordings, and return those on the chain, those that do not play, and what verification finds."""
    Recorder(RecordOptions(directory=str(folder), min_free_mb=0)).close(60)
    archive = Archive(folder)
    clips = list(archive.chain.recordings())
    return {
        "clips": clips,
        "unreadable": [path for path in clips if not _plays(archive.folder / f"{path}.mp4")],
        "problems": list(problems(archive)),
    }


def _plays(path: Path) -> bool:
    try:
        with av.open(str(path)) as file:
            return sum(1 for _ in file.decode(video=0)) > 0
    except (OSError, av.FFmpegError, IndexError):
        return False


def scores(folder: Path) -> dict[str, Any]:
    """Return the answers in the history."""
    files = sorted(folder.rglob(f"*{SUFFIX}"))
    return {"files": len(files), "answers": sum(len(block.steps_ms) for path in files for block in read_blocks(path))}


def models(folder: Path) -> dict[str, Any]:
    """Return the active model, and open it."""
    takeovers, found = Takeovers(folder), {}
    for state in takeovers.states():
        found[state.model] = None if state.active is None else takeovers.open(state.model, state.active).manifest.name
    states = len(list(folder.glob("*/state.json")))
    return {"active": found, "unreadable": states - len(found)}


def main() -> None:
    """Mount, look, and print."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        subprocess.run(["mount", "-o", "loop", sys.argv[1], place], check=True)
        try:
            state = place / "var/lib/edgehar"
            found = {
                "spool": spooled(state),
                "recordings": recorded(state / "clips"),
                "history": scores(state / "history"),
                "models": models(state / "models"),
                "unit": (place / "etc/systemd/system/edgehar.service").stat().st_size,
                "configuration": (place / "etc/edgehar/config.toml").stat().st_size,
            }
        finally:
            subprocess.run(["umount", place], check=True)
    # The loop device writes to the image for a moment after it.
    subprocess.run(["sync", sys.argv[1]], check=True)
    checked = subprocess.run(["e2fsck", "-fn", sys.argv[1]], capture_output=True, text=True, check=False)
    print(json.dumps({**found, "file_system": checked.returncode}))


if __name__ == "__main__":
    main()
