"""Read a hostile source in a process of its own, and measure its peak memory (VmHWM)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_MB, READ_S, STUCK_S = 300, 10, 60

# Reads frames as a capture does until the source ends or fails, or for READ_S.
READER = """
import sys, threading
from edgehar import EdgeharError, ModelBundle, open_source
def peak():
    return next(int(line.split()[1]) // 1000 for line in open("/proc/self/status") if line.startswith("VmHWM"))
def late():
    print(f"{peak()} MB: still reading, {count} frames", flush=True)
    import os; os._exit(0)
count, said = 0, "ended"
timer = threading.Timer(float(sys.argv[2]), late)
timer.daemon = True
timer.start()
try:
    if sys.argv[1].endswith(".edgehar"):
        ModelBundle.open(sys.argv[1])
    options = {"open_timeout_s": 8, "read_timeout_s": 8} if "://" in sys.argv[1] else {}
    for frame in open_source(sys.argv[1], **options):
        count += 1
except EdgeharError as error:
    said = str(error).removeprefix(sys.argv[1] + ": ")
print(f"{peak()} MB: {count} frames, {said}")
"""


def report(kind: str, sources: Mapping[str, str]) -> int:
    """Read every source, print a table, and return the exit code: 1 if one is too large, crashes or is stuck."""
    failed = 0
    print(f"| {kind} | peak MB | what happened |\n|---|---|---|")
    for name, source in sources.items():
        right, peak_mb, said = read(source)
        failed += not right
        mark = "" if right else "FAILED: "
        print(f"| {name} | {peak_mb} | {mark}{said} |", flush=True)
    print(f"{len(sources)} of kind {kind}, {failed} failed; the limit is {MOST_MB} MB")
    return 1 if failed else 0


def read(source: str) -> tuple[bool, int, str]:
    """Return whether all is right, the peak in MB, and what happened."""
    command = [sys.executable, "-P", "-c", READER, source, str(READ_S)]
    environment = {**os.environ, "PYTHONFAULTHANDLER": ""}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=STUCK_S, check=False, env=environment, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return False, 0, f"stuck for {STUCK_S} s"
    if done.returncode < 0:
        return False, 0, signal.Signals(-done.returncode).name
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or "Traceback" in done.stderr:
        return False, 0, (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
    peak, _, said = lines[-1].partition(" MB: ")
    return int(peak) < MOST_MB, int(peak), said[:110]
