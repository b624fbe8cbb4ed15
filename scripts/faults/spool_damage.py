"""Damage the files of a spool in many ways, and count what becomes of the events.

    python scripts/faults/spool_damage.py                      # 8,000 single bits of a 16 kB spool, 200 other damages
    python scripts/faults/spool_damage.py --flips 500 --damages 50 --seed 3

Each trial copies a spool that a killed process left, damages it, opens it, and delivers everything. An event that is
waiting must be delivered as it was stored, or be counted in `dropped`. Exits with 1 if a trial shows anything else.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.spool.queue import Spool

# More rounds than this without an end is a spool that is stuck.
ROUNDS = 200
WRONG = ("stuck", "exceptions", "damaged payloads delivered", "silent losses")


class Original:
    """A spool as a killed process left it, and the events that wait in it."""

    def __init__(self, folder: Path, events: int, payload_bytes: int, max_mb: float, rng: random.Random) -> None:
        self.folder, self.options = folder, SpoolOptions(directory=str(folder), max_mb=max_mb)
        spool = Spool.open("test", self.options)
        self.waiting: dict[str, bytes] = {}
        for number in range(events):
            payload = rng.randbytes(payload_bytes).hex().encode()[:payload_bytes]
            sequence = spool.append(payload, f"{number:08d}:0")
            if number % 5 == 4:
                spool.remove(sequence)
            else:
                self.waiting[f"{number:08d}:0"] = payload
        self.max_mb = max_mb
        # Copied while it is open, as a power cut would leave it.
        self.image = folder.with_name(f"{folder.name}-image")
        shutil.copytree(folder, self.image, ignore=shutil.ignore_patterns("*.reserve*"))
        spool.close()
        shutil.rmtree(folder)
        self.files = sorted(path.name for path in self.image.iterdir())
        self.bytes = sum(path.stat().st_size for path in self.image.glob("*.spool*"))


def deliver(spool: Spool, original: Original, result: Counter[str], meanwhile: object = None) -> set[str]:
    """Deliver everything as a sink does; returns the ids that came as they were stored."""
    came: set[str] = set()
    for number in range(ROUNDS):
        if number == 2 and callable(meanwhile):
            meanwhile()
        batch = spool.peek(limit=50)
        if not batch and not spool.depth:
            return came
        for event in batch:
            if original.waiting.get(event.id) == event.payload:
                came.add(event.id)
            elif event.id not in original.waiting and event.payload:
                # A removed event whose removal was damaged: it comes a second time.
                result["delivered again"] += 1
            else:
                result["damaged payloads delivered"] += 1
            spool.remove(event.sequence)
    result["stuck"] += 1
    return came


def trial(original: Original, damage: object, result: Counter[str], *, while_open: bool = False) -> None:
    """One damage, before the spool is opened or while events are delivered."""
    folder = original.folder
    shutil.copytree(original.image, folder)
    try:
        if not while_open:
            damage(folder)  # type: ignore[operator]
        spool = Spool.open("test", original.options)
        came = deliver(spool, original, result, (lambda: damage(folder)) if while_open else None)  # type: ignore[operator]
        dropped = spool.dropped
        spool.append(b"later", "later")
        spool.close()
        spool = Spool.open("test", original.options)
        if [event.id for event in spool.peek()] != ["later"]:
            result["stuck"] += 1
        spool.close()
        missing = len(original.waiting) - len(came)
        result["events counted as lost"] += dropped
        result["trials that lost events"] += missing > 0
        result["silent losses"] += max(0, missing - dropped)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        result["exceptions"] += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def flip(path: Path, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))


def random_damage(path: Path, rng: random.Random) -> None:
    """Damage a file as disks, power cuts and people do."""
    content = bytearray(path.read_bytes())
    start, length = rng.randrange(len(content) + 1), rng.choice([1, 16, 512, 4096, 65_536])
    kind = rng.choice(["noise", "zeros", "cut", "gone", "inserted", "left out", "moved", "emptied", "replaced"])
    if kind == "noise":
        content[start : start + length] = rng.randbytes(min(length, len(content) - start))
    elif kind == "zeros":
        content[start : start + length] = bytes(min(length, len(content) - start))
    elif kind == "cut":
        del content[start:]
    elif kind == "inserted":
        content[start:start] = rng.randbytes(length)
    elif kind == "left out":
        del content[start : start + length]
    elif kind == "moved":
        piece = content[start : start + length]
        del content[start : start + length]
        content += piece
    elif kind == "emptied":
        content.clear()
    elif kind == "replaced":
        content[:] = rng.randbytes(length)
    if kind == "gone":
        path.unlink()
        return
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


def report(title: str, trials: int, result: Counter[str]) -> bool:
    """Print a table; returns whether all is right."""
    print(f"{title}: {trials} trials")
    for name in (*WRONG, "delivered again", "trials that lost events", "events counted as lost"):
        print(f"  {name:28} {result[name]:8}")
    return not any(result[name] for name in WRONG)


def run(flips: int, damages: int, seed: int, folder: Path) -> bool:
    """Do all trials; returns whether all is right."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    small = Original(folder / "small", 45, 330, 1.0, rng)
    right = True
    for name, share in (("test.spool", 0.9), ("test.state", 0.1)):
        result: Counter[str] = Counter()
        bits, count = (small.image / name).stat().st_size * 8, round(flips * share)
        chosen = sorted(rng.sample(range(bits), count)) if count <= bits else [bit % bits for bit in range(count)]
        for bit in chosen:
            trial(small, lambda there, name=name, bit=bit: flip(there / name, bit), result)
        right &= report(f"single bits of {name} ({bits // 8} bytes)", len(chosen), result)
    large = Original(folder / "large", 5000, 330, 10.0, rng)
    for while_open in (False, True):
        result = Counter()
        for _ in range(damages // 2):
            name = rng.choice([file for file in large.files if not file.endswith(".lock")])
            trial(
                large,
                lambda there, name=name: random_damage(there / name, rng) if (there / name).exists() else None,
                result,
                while_open=while_open,
            )
        when = "while events are delivered" if while_open else "before the spool is opened"
        right &= report(
            f"random damage of {len(large.files)} files ({large.bytes} bytes), {when}", damages // 2, result
        )
    return right


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=8000, help="single bits to flip (default: %(default)s)")
    parser.add_argument("--damages", type=int, default=200, help="other damages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choices (default: %(default)s)")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    # In memory where there is such a place, for speed.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=place) as folder:
        return 0 if run(args.flips, args.damages, args.seed, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
