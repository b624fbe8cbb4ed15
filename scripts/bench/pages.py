"""Cost of the pages: processor time, memory and delay of frames without them, with nobody looking, and with viewers.

    python scripts/bench/pages.py                  # a drawn scene, 640x480 at 25 frames a second
    python scripts/bench/pages.py --seconds 30

Each condition runs `edgehar-run` on the same video in real time, and viewers in a process of their own, in turns. A
viewer loads the live page and its scripts first, like a browser.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from edgehar.cli.demo_web import write_scene

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_WARM_UP_S = 4.0
_VIEWERS = """
import asyncio, sys
async def load(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n".encode())
    assert b"200 OK" in await reader.read(), path
    writer.close()
async def view(port):
    for path in ("/", "/static/app.js", "/static/live.js", "/static/edgehar.css", "/api/v1/cameras"):
        await load(port, path)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/v1/live?input=1 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    while chunk := await reader.read(65536):
        pass
async def main(port, count):
    await asyncio.gather(*(view(port) for _ in range(count)))
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


class Cost(NamedTuple):
    """What one condition cost.

    Attributes:
        core: share of a core.
        rss_mb: resident memory at the end.
        ages_ms: age of the frame at each prediction.
    """

    core: float
    rss_mb: float
    ages_ms: list[float]


def main() -> None:
    """Measure all conditions, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of all conditions, in turns (default: %(default)s)")
    args = parser.parse_args()
    conditions: dict[str, int | None] = {"no pages": None, "nobody looks": 0, "1 viewer": 1, "50 viewers": 50}
    costs: dict[str, list[Cost]] = {name: [] for name in conditions}
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "scene.mp4"
        write_scene(video, "synthetic:all?width=640&height=480&duration_s=1")
        for _ in range(args.rounds):
            for name, viewers in conditions.items():
                costs[name].append(measure(video, viewers, args.seconds))
    report(costs)


def measure(video: Path, viewers: int | None, seconds: float) -> Cost:
    """Run one condition; `viewers` is None for a run without pages."""
    config = video.with_name("bench.toml")
    config.write_text(f'model = "fight"\n[[camera]]\nname = "hall"\nsource = "{video}"\nloop = true\nrealtime = true\n')
    port = free_port()
    command = [str(Path(sys.executable).with_name("edgehar-run")), "--config", str(config)]
    if viewers is not None:
        command += ["--web", str(port)]
    output = video.with_name("out.jsonl")
    with output.open("wb") as out:
        run = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
    watching = None
    try:
        time.sleep(_WARM_UP_S)
        if viewers:
            watching = subprocess.Popen([sys.executable, "-c", _VIEWERS, str(port), str(viewers)])
            time.sleep(_WARM_UP_S / 2)
        seen = output.stat().st_size
        before, started_s = ticks(run.pid), time.monotonic()
        time.sleep(seconds)
        core = (ticks(run.pid) - before) / _TICKS / (time.monotonic() - started_s)
        rss_mb = int(Path(f"/proc/{run.pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6
        with output.open("rb") as lines:
            lines.seek(seen)
            fresh = [json.loads(line) for line in lines.read().split(b"\n")[1:-1] if b'"prediction"' in line]
    finally:
        for process in (watching, run):
            if process is not None:
                process.terminate()
                process.wait()
    return Cost(core, rss_mb, [record["frame_age_ms"] for record in fresh])


def ticks(pid: int) -> int:
    """Return the processor time of a process, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def report(costs: dict[str, list[Cost]]) -> None:
    """Print the medians over the rounds, and what is added to a run without pages."""
    base = statistics.median(cost.core for cost in costs["no pages"])
    print(f"{'':<14}{'core':>8}{'added':>8}{'RSS MB':>8}{'age p50':>9}{'p95':>7}{'max ms':>8}{'answers':>9}")
    for name, rounds in costs.items():
        core = statistics.median(cost.core for cost in rounds)
        rss = statistics.median(cost.rss_mb for cost in rounds)
        ages: Any = sorted(age for cost in rounds for age in cost.ages_ms)
        p50, p95 = ages[len(ages) // 2], ages[int(0.95 * len(ages))]
        row = f"{core:>8.1%}{core - base:>8.1%}{rss:>8.1f}{p50:>9.2f}{p95:>7.2f}{ages[-1]:>8.2f}{len(ages):>9}"
        print(f"{name:<14}{row}")


if __name__ == "__main__":
    main()
