"""Cut the power of the emulated computer at random moments, and look at what is left on its disk.

    scripts/pi/image.sh bookworm
    .venv/bin/python scripts/pi/cuts.py [--cuts 20] [--boots 1] [--seed 0]

The disk is behind a write cache (nbdkit's cache filter): what the guest has not flushed is not in the image. So the
image, copied while qemu and nbdkit stand still, is what a power cut at that moment leaves. Each copy is mounted,
which replays its journal, and everything in it is opened (cut_check.py). Every boot ends with a real cut: both
processes are killed, and the next boot starts from that disk, where the service must come back by itself.

Meanwhile a service spools events for a server that is away, records a clip of each, writes the history, and swaps its
model. Nothing that it has acknowledged may be lost: an event counted as on disk, a recording counted as finished, or
anything that an earlier image held. Prints one line for each cut and a table; exits with 1 after a loss.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent))

from install import BIN
from machine import Hardware, Machine, Trouble

CONFIG = """\
model = "actions-synthetic"
[[camera]]
name = "stage"
source = "/jobs/people.mp4"
loop = true
realtime = true
[decision]
threshold = 0.3
smoothing = "none"
refractory_s = 0
[webhook]
url = "http://10.0.2.2:9/events"
[spool]
sync = "full"
directory = "/var/lib/edgehar"
[record]
directory = "/var/lib/edgehar/clips"
pre_roll_s = 1
post_roll_s = 1
min_free_mb = 50
[history]
enabled = true
directory = "/var/lib/edgehar/history"
[models]
swap = true
directory = "/var/lib/edgehar/models"
rollback_alarms_per_hour = 0
[health]
prometheus_port = 9108
prometheus_address = "0.0.0.0"
"""
_PORT = 19108
_METRIC = re.compile(r"^(edgehar_webhook_spool_messages|edgehar_recordings_total|edgehar_windows_total)\S* (\d+)", re.M)
_SWAPS = (
    f"systemd-run -q --unit swaps --uid pi sh -c 'while sleep 2; do {BIN}/edgehar models swap /jobs/other.edgehar "
    f"--now; sleep 2; {BIN}/edgehar models rollback; done'"
)


class Disk:
    """The disk behind its write cache, and the computer that uses it."""

    def __init__(self, folder: Path, image: Path) -> None:
        """Switch on."""
        self.image, self._socket = image, folder / "disk.sock"
        self._socket.unlink(missing_ok=True)
        command = ["nbdkit", "-f", "-U", str(self._socket), "--filter=cache", "file", str(image), "cache=writeback"]
        self.cache = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)})
        while not self._socket.exists():
            time.sleep(0.1)
        disk = f"format=raw,file=nbd+unix:///?socket={self._socket},cache=writeback"
        hardware = Hardware(folder, disk, folder / "jobs.img", forward=f"{_PORT}-:9108")
        self.machine = Machine(hardware, folder / "cuts.log")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Both at once: what is in the cache is lost.
        for process in (self.machine.process, self.cache):
            process.kill()
        self.machine.__exit__()
        self.cache.wait()

    def copy(self, to: Path) -> None:
        """Copy what a power cut leaves at this moment."""
        processes = (self.machine.process.pid, self.cache.pid)
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            while any(_state(pid) != "T" for pid in processes):
                time.sleep(0.01)
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.image, to], check=True)
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def metrics() -> Counter[str]:
    """Return the sums of the metrics of the service; nothing if it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return Counter()
    found = Counter[str]()
    for name, number in _METRIC.findall(text):
        found[name] += int(number)
    return found


def wait_for_answers(machine: Machine, timeout_s: float = 1200) -> float:
    """Wait until the service answers; returns seconds since power-on."""
    while time.monotonic() - machine.started_s < timeout_s:
        if metrics()["edgehar_windows_total"]:
            return time.monotonic() - machine.started_s
        time.sleep(1)
    raise Trouble(f"no answers {timeout_s:.0f} s after power-on: {machine.run('journalctl -b -u edgehar -n 20').text}")


def first_start(machine: Machine) -> None:
    """Install the service, which runs as the user pi, who may also swap its model."""
    machine.put("/etc/edgehar/config.toml", CONFIG)
    machine.run(f"{BIN}/edgehar config check /etc/edgehar/config.toml").good()
    machine.run(f"{BIN}/edgehar service install --run-as pi").good()
    machine.run("sync").good()


class Ledger:
    """What must be there."""

    def __init__(self, path: Path) -> None:
        """Continue from the images of earlier runs."""
        self._path = path
        known = json.loads(path.read_text()) if path.exists() else {"events": [], "clips": []}
        self.events, self.clips = set(known["events"]), set(known["clips"])
        self.problems: list[str] = []

    def check(self, found: dict[str, Any], counted: Counter[str]) -> str:
        """Compare an image with everything known before; returns a line of text."""
        events, clips = set(found["spool"]["events"]), set(found["recordings"]["clips"])
        wrong = {
            "events lost": len(self.events - events) + found["spool"]["lost"],
            "events counted but not there": max(0, counted["edgehar_webhook_spool_messages"] - len(events)),
            "clips lost": len(self.clips - clips),
            "clips unreadable": len(found["recordings"]["unreadable"]),
            "problems of the chain": len(found["recordings"]["problems"]),
            "models unreadable": found["models"]["unreadable"],
            "file system": found["file_system"],
        }
        bad = ", ".join(f"{name} {count}" for name, count in wrong.items() if count)
        if bad:
            self.problems.append(
                f"{bad}: {found['recordings']['problems'][:3]} {found['recordings']['unreadable'][:3]}"
            )
        self.events, self.clips = self.events | events, self.clips | clips
        self._path.write_text(json.dumps({"events": sorted(self.events), "clips": sorted(self.clips)}))
        active = next(iter(found["models"]["active"].values()), None)
        facts = f"{len(events)} events, {len(clips)} clips, {found['history']['answers']} answers, model {active}"
        return f"{facts}; {bad or 'nothing lost, nothing unreadable'}"


def cut_once(disk: Disk, folder: Path, ledger: Ledger) -> str:
    """Note what is acknowledged, copy the image, and check the copy."""
    counted, copy = metrics(), folder / "cut.img"
    disk.copy(copy)
    command = [sys.executable, str(Path(__file__).with_name("cut_check.py")), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        kept = folder / f"bad-{int(time.time())}.img"
        copy.rename(kept)
        ledger.problems.append(f"{kept}: {done.stderr[-1500:]}")
        return ledger.problems[-1]
    return ledger.check(json.loads(done.stdout), counted)


def boot(folder: Path, image: Path, cuts: int, generator: random.Random, ledger: Ledger) -> tuple[int, float]:
    """Boot, cut some times, and end with a cut. Returns the cuts, and the seconds until the service answered."""
    with Disk(folder, image) as disk:
        machine = disk.machine
        machine.log_in()
        if machine.run("test -e /etc/systemd/system/edgehar.service").code:
            first_start(machine)
        back_s = wait_for_answers(machine)
        print(f"boot: answers {back_s:.0f} s after power-on", flush=True)
        machine.run(_SWAPS).good()
        for number in range(cuts):
            time.sleep(generator.uniform(0.5, 8))
            print(f"cut {number + 1}: {cut_once(disk, folder, ledger)}", flush=True)
        time.sleep(generator.uniform(0, 5))
    return cuts + 1, back_s


def main() -> int:
    """Boot, cut and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgehar" / "pi"
    parser.add_argument("--cache", type=Path, default=default, help=f"where image.sh put its images ({default})")
    parser.add_argument("--suite", default="bookworm", help="release (bookworm)")
    parser.add_argument("--cuts", type=int, default=20, help="cuts in each boot (20)")
    parser.add_argument("--boots", type=int, default=1, help="boots (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--again", action="store_true", help="begin with a new disk")
    args = parser.parse_args()
    folder = args.cache.resolve() / args.suite
    image, known = folder / "cuts.img", folder / "cuts.json"
    if args.again or not image.exists():
        shutil.copyfile(folder / "root.img", image)
        known.unlink(missing_ok=True)
    ledger, cuts, back = Ledger(known), 0, []
    for number in range(args.boots):
        done, back_s = boot(folder, image, args.cuts, random.Random(f"{args.seed}/{number}"), ledger)  # noqa: S311
        cuts += done
        back.append(f"{back_s:.0f}")
    print(f"{cuts} cuts, {args.boots} boots, back after {', '.join(back)} s; {len(ledger.problems)} bad")
    print("\n".join(ledger.problems))
    return 1 if ledger.problems else 0


if __name__ == "__main__":
    sys.exit(main())
