"""Install and run edgehar on a whole arm64 Debian, emulated by qemu, as the documentation says.

    scripts/pi/image.sh bookworm
    python3 scripts/pi/check.py [--suite bookworm] [--only NAME]... [--pip] [--report FILE.md]

Boots the image with a virtual USB camera (the driver `vivid`), and works over its serial line as a person would.
Prints a table of what was checked, and exits with 1 if anything failed. The console goes to FOLDER/console.log. It
takes about ten minutes on two cores; --pip adds an installation by pip inside, which takes long on an emulated
processor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import faults
import install
import package
import service
from machine import Hardware, Machine, Trouble

Check = Callable[[Machine], str]
# In order: later checks need what earlier ones have installed.
CHECKS: dict[str, Check] = {**install.CHECKS, **package.CHECKS, **service.CHECKS, **faults.CHECKS}


def run(folder: Path, disk: Path, chosen: list[str], cores: int) -> list[tuple[str, bool, str, float]]:
    """Run checks on a disk; returns name, whether it was good, what was found, and seconds."""
    hardware = Hardware(folder, f"format=qcow2,file={disk},cache=unsafe", folder / "jobs.img", cores=cores)
    rows = []
    with Machine(hardware, folder / "console.log") as machine:
        booted = f"{machine.log_in():.0f} s from power-on to the console"
        rows.append(("boot", True, booted, time.monotonic() - machine.started_s))
        for name in chosen:
            began_s = time.monotonic()
            try:
                good, found = True, CHECKS[name](machine)
            except Trouble as trouble:
                good, found = False, str(trouble)
            rows.append((name, good, found, time.monotonic() - began_s))
            print(f"{'ok  ' if good else 'FAIL'} {name} ({rows[-1][3]:.0f} s): {found}", file=sys.stderr, flush=True)
            if machine.process.poll() is not None:
                break
    return rows


def small(folder: Path, disk: Path) -> tuple[str, bool, str, float]:
    """Run the service with 512 MB and no swap, as on a Raspberry Pi Zero 2 W; it was installed before."""
    began_s = time.monotonic()
    hardware = Hardware(folder, f"format=qcow2,file={disk},cache=unsafe", folder / "jobs.img", memory_mb=512)
    with Machine(hardware, folder / "console.log") as machine:
        try:
            machine.log_in()
            good, found = True, faults.little_memory(machine)
        except Trouble as trouble:
            good, found = False, str(trouble)
    return "512 MB without swap", good, found, time.monotonic() - began_s


def table(rows: list[tuple[str, bool, str, float]]) -> str:
    """Return the results as Markdown."""
    lines = ["| checked | | found | s |", "|---|---|---|---|"]
    for name, good, found, took_s in rows:
        text = " ".join(found.split()).replace("|", "\\|")
        lines.append(f"| {name} | {'passed' if good else '**failed**'} | {text} | {took_s:.0f} |")
    return "\n".join(lines)


def main() -> int:
    """Run the chosen checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgehar" / "pi"
    parser.add_argument("--cache", type=Path, default=default, help=f"where image.sh put its images ({default})")
    parser.add_argument("--suite", default="bookworm", help="release (bookworm)")
    parser.add_argument("--cores", type=int, default=2, help="emulated processors (2)")
    parser.add_argument(
        "--only", action="append", choices=[*CHECKS, "512 MB"], metavar="NAME", help="only these checks"
    )
    parser.add_argument("--pip", action="store_true", help="also install with pip inside")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table there too")
    args = parser.parse_args()
    folder = args.cache.resolve() / args.suite
    if not (folder / "root.img").exists():
        parser.error(f"{folder}/root.img does not exist; run: scripts/pi/image.sh {args.suite}")
    disk = folder / "check.qcow2"
    image = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(folder / "root.img"), str(disk)]
    subprocess.run(image, check=True)
    chosen = args.only or [name for name in CHECKS if args.pip or name != install.PIP]
    rows = run(folder, disk, [name for name in chosen if name in CHECKS], args.cores)
    if not args.only or "512 MB" in args.only:
        rows.append(small(folder, disk))
    print(table(rows))
    if args.report:
        args.report.write_text(table(rows) + "\n")
    return 0 if all(good for _, good, _, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
