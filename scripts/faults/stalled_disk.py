"""Stall the disk under a running edgehar-run for a minute, without and with recording, and count what becomes of it.

    python scripts/faults/stalled_disk.py [--seconds 60]

A library that is loaded before the program blocks every write below a folder, as a card or network drive does that has
stopped answering. A synthetic camera goes on meanwhile, and SIGTERM comes before the disk answers again. Exits with 1
if an answer is missing for over a second, or SIGTERM takes over 5 s. Needs a C compiler.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "edgehar-run"
MOST_GAP_S, MOST_END_S, SETTLE_S = 1.0, 5.0, 5.0

CONFIG = """\
model = "fight"
hop = 1
[[camera]]
source = "synthetic:all?realtime=1&duration_s=600&rate_hz=25"
[decision]
evidence_from = 0.0001
evidence_to = 0.0002
threshold = 0.0
update_every_s = 0.5
[file]
path = "{disk}/results.jsonl"
[mqtt]
url = "mqtt://127.0.0.1:9/edgehar/hall"
[webhook]
url = "http://127.0.0.1:9/"
[spool]
directory = "{disk}/spool"
[health]
status_every_s = 1
"""
RECORD = """\
[record]
directory = "{disk}/clips"
"""


@dataclass
class Answers:
    """The time of each answer on standard output, in seconds of `time.monotonic`, and the position in the video."""

    came_s: list[float] = field(default_factory=list)
    end_s: list[float] = field(default_factory=list)

    def read(self, pipe: IO[str]) -> None:
        """Read lines until the end."""
        for line in pipe:
            record = json.loads(line)
            if record["type"] == "prediction":
                self.came_s.append(time.monotonic())
                self.end_s.append(record["window"]["end_s"])

    def between(self, first_s: float, last_s: float) -> tuple[float, float]:
        """Return answers a second, and the longest time without one."""
        times = [came_s for came_s in self.came_s if first_s <= came_s <= last_s]
        edges = [first_s, *times, last_s]
        return len(times) / (last_s - first_s), max(after - before for before, after in itertools.pairwise(edges))


def stall(folder: Path, seconds: float, *, record: bool) -> bool:
    """Run with a disk that stalls, print what happened; returns whether all is right."""
    disk, flag, config, library = (folder / name for name in ("disk", "stalled", "edgehar.toml", "stalled.so"))
    disk.mkdir(parents=True)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", library, ROOT / "tests" / "support" / "stalled.c", "-ldl"], check=True
    )
    config.write_text(CONFIG.format(disk=disk) + (RECORD.format(disk=disk) if record else ""))
    env = {**os.environ, "LD_PRELOAD": str(library), "STALL_FOLDER": str(disk), "STALL_FLAG": str(flag)}
    answers, log = Answers(), folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [COMMAND, "--config", config], stdout=subprocess.PIPE, stderr=stderr, text=True, env=env
        )
        assert process.stdout is not None
        reader = threading.Thread(target=answers.read, args=[process.stdout], daemon=True)
        reader.start()
        while len(answers.came_s) < 50 and process.poll() is None:
            time.sleep(0.1)
        before_s = time.monotonic()
        time.sleep(SETTLE_S)
        flag.touch()
        stalled_s = time.monotonic()
        time.sleep(seconds)
        ended_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
        took_s = time.monotonic() - ended_s
        reader.join()
    usual, _ = answers.between(before_s, stalled_s)
    during, gap_s = answers.between(stalled_s, ended_s)
    lost = sum(map(int, re.findall(r"too slow: (\d+) results dropped", log.read_text())))
    events = sum(map(int, re.findall(r"dropped, (\d+) of them of events", log.read_text())))
    name = "with --record" if record else "without --record"
    print(
        f"| {name} | {usual:.1f} | {during:.1f} | {gap_s:.2f} | {took_s:.1f} | {code} | {lost} | {events} |", flush=True
    )
    right = code == 0 and gap_s <= MOST_GAP_S and took_s <= MOST_END_S
    if not right:
        print(log.read_text(), file=sys.stderr)
    return right


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the stall (default: %(default)s)")
    args = parser.parse_args()
    print(f"disk stalled for {args.seconds:g} s")
    print("| | answers/s before | meanwhile | longest gap, s | SIGTERM, s | exit code | results dropped | of events |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        right = [stall(Path(folder) / str(record), args.seconds, record=record) for record in (False, True)]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
