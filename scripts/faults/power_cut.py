"""Cut the power of a recording device, again and again, and check what is left: unflushed writes are lost.

    python scripts/faults/power_cut.py [--cuts 100] [--seconds 20] [--sealed] [--seed 0]

`edgehar-run --record` runs for some seconds, is killed, and runs again, while a library (write_log.c, LD_PRELOAD)
logs every write, flush, rename and so on below the recording folder. Then the log is replayed up to random operations.
What was flushed before is kept. Of what was not, a random part is lost:

- of a file: everything, all after some byte, or random blocks of 4 KiB, which then hold zeros;
- of names (files created, renamed, removed; folders made): all after some operation, as a journaling file system loses
  them, or any of them ("no order"), as POSIX allows.

The recorder is started on the rest. Every recording whose line on the chain was flushed must be there and play in full,
and `edgehar clips verify` must find nothing. Recordings that were under way are recovered, with what is left of them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import av
import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent))

from soak_recording import RUN, write_config

from edgehar.errors import SinkError
from edgehar.recording.chain import Line
from edgehar.recording.options import RecordOptions
from edgehar.recording.recorder import Recorder
from edgehar.recording.seal import load_pyrage, open_sealed
from edgehar.recording.sidecar import Sidecar
from edgehar.recording.store import Archive
from edgehar.recording.verify import problems

HEADER = struct.Struct("<cIIQQ")
BLOCK = 4096


@dataclass(frozen=True)
class Operation:
    """An operation: c(reate), m(ake folder), w(rite), t(runcate), s(ync), r(ename), u(nlink), d (rmdir)."""

    kind: str
    path: str
    other: str
    offset: int
    data: bytes


@dataclass
class Inode:
    """A file: its bytes as flushed, and what was done to it since."""

    flushed: bytes = b""
    pending: list[Operation] = field(default_factory=list)
    is_folder: bool = False


@dataclass
class Name:
    """A change of a folder: the operation, the file it is about, and whether its folder was flushed since."""

    operation: Operation
    inode: Inode
    flushed: bool = False


def read_log(path: Path) -> list[Operation]:
    """Return the operations of a log, in order."""
    data, place, found = path.read_bytes(), 0, []
    while place + HEADER.size <= len(data):
        kind, first, second, offset, size = HEADER.unpack_from(data, place)
        place += HEADER.size
        path_text, other = data[place : place + first].decode(), data[place + first : place + first + second].decode()
        place += first + second
        body = data[place : place + size] if kind == b"w" else b""
        place += len(body)
        found.append(Operation(kind.decode(), path_text, other, offset, body))
    return found


class Disk:
    """A disk with a write cache, as the operations so far have left it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.live: dict[str, Inode] = {folder: Inode(is_folder=True)}
        self.names: list[Name] = []

    def do(self, operation: Operation) -> None:
        """Do one operation."""
        path, kind = operation.path, operation.kind
        if kind in "cm":
            self.live[path] = Inode(is_folder=kind == "m")
            self.names.append(Name(operation, self.live[path]))
        elif kind == "r":
            inode = self.live.pop(path)
            self.live[operation.other] = inode
            self.names.append(Name(operation, inode))
        elif kind in "ud":
            self.names.append(Name(operation, self.live.pop(path)))
        elif kind == "s" and self.live.get(path, Inode()).is_folder:
            for name in self.names:
                name.flushed |= path in {above(name.operation.path), above(name.operation.other)}
        elif path in self.live and kind == "s":
            inode = self.live[path]
            inode.flushed, inode.pending = applied(inode.flushed, inode.pending), []
        elif path in self.live:
            self.live[path].pending.append(operation)

    def acknowledged(self) -> list[str]:
        """Return the paths of the recordings that were put on the chain, and flushed, and not removed."""
        chain = self.live.get(f"{self.folder}/chain.jsonl")
        lines = [] if chain is None else [json.loads(line) for line in chain.flushed.splitlines()]
        removed = {line["path"] for line in lines if line["kind"] == "removed"}
        return [line["path"] for line in lines if line["kind"] == "clip" and line["path"] not in removed]

    def after_cut(self, generator: random.Random, *, ordered: bool) -> dict[str, bytes | None]:
        """Return the files and folders (None) that a power cut leaves."""
        kept = self.names
        if ordered:
            flushed = max((place for place, name in enumerate(kept, 1) if name.flushed), default=0)
            kept = kept[: generator.randint(flushed, len(kept))]
        else:
            kept = [name for name in kept if name.flushed or generator.random() < 0.5]
        there: dict[str, Inode] = {self.folder: Inode(is_folder=True)}
        for name in kept:
            operation = name.operation
            if operation.kind in "cm":
                there[operation.path] = name.inode
            elif operation.kind == "r":
                # Where the old name was lost, the new one is written all the same.
                there.pop(operation.path, None)
                there[operation.other] = name.inode
            else:
                there.pop(operation.path, None)
        there = {path: inode for path, inode in there.items() if self._is_reachable(path, there)}
        return {path: None if inode.is_folder else cut(inode, generator) for path, inode in there.items()}

    def _is_reachable(self, path: str, there: dict[str, Inode]) -> bool:
        while path != self.folder:
            path = above(path)
            if path not in there:
                return False
        return True


def above(path: str) -> str:
    """Return the folder of a path."""
    return path.rpartition("/")[0]


def applied(data: bytes, operations: list[Operation]) -> bytes:
    """Return a file after some writes and truncations."""
    result = bytearray(data)
    for operation in operations:
        if operation.kind == "t":
            result = result[: operation.offset].ljust(operation.offset, b"\0")
        else:
            result.extend(bytes(max(0, operation.offset - len(result))))
            result[operation.offset : operation.offset + len(operation.data)] = operation.data
    return bytes(result)


def cut(inode: Inode, generator: random.Random) -> bytes:
    """Return what is left of a file, of which a random part of the unflushed writes is lost."""
    whole, kept = applied(inode.flushed, inode.pending), len(inode.flushed)
    way = generator.choice(["all lost", "end lost", "blocks lost", "none lost"])
    if not inode.pending or way == "none lost":
        return whole
    if way == "all lost":
        return inode.flushed
    if way == "end lost" or len(whole) < kept:
        return applied(inode.flushed, inode.pending[: generator.randint(0, len(inode.pending))])
    blocks = bytearray(whole)
    for place in range(kept, len(whole), BLOCK):
        if generator.random() < 0.5:
            end = min(place + BLOCK, len(whole))
            blocks[place:end] = bytes(end - place)
    return bytes(blocks)


def record(work: Path, folder: Path, seconds: float, log: Path, seal_to: str | None) -> None:
    """Run the program, kill it, and run it to its end, with every operation logged."""
    library = work / "write_log.so"
    source = Path(__file__).with_name("write_log.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    config = write_config(work, folder, 1, f'seal_to = ["{seal_to}"]\n' if seal_to else "")
    environment = {**os.environ, "LD_PRELOAD": str(library), "WRITE_LOG": str(log), "WRITE_LOG_FOLDER": str(folder)}
    for last in (False, True):
        process = subprocess.Popen([RUN, "--config", config], env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and not list(folder.glob("*/*/.*.mp4*")):
            time.sleep(0.05)
        time.sleep(seconds)
        process.terminate() if last else process.kill()
        process.wait(60)


def check(folder: Path, acknowledged: list[str], identities: list[object]) -> Counter[str]:
    """Recover a folder, and return counts; SystemExit if a recording that was acknowledged is not whole."""
    Recorder(RecordOptions(directory=str(folder), min_free_mb=0)).close(60)
    archive, found = Archive(folder), Counter[str]()
    there = archive.chain.recordings()
    wrong = [*problems(archive), *(f"{path}: lost" for path in acknowledged if path not in there)]
    for path, line in there.items():
        frames = decoded(archive, path, identities)
        if path not in acknowledged:
            found["recovered"] += 1
            found["recovered that play"] += frames > 0
            continue
        sidecar = sidecar_of(archive, line, identities)
        if sidecar is None or (sidecar.clip and not sidecar.recovered and frames != sidecar.clip.frames):
            wrong.append(f"{path}: {frames} frames decode; {sidecar and sidecar.clip}")
        else:
            found["acknowledged"] += 1
            found["acknowledged that play"] += frames > 0
            # The program was killed before the first 64 KiB were sealed, and recovered what was there.
            found["acknowledged, cut short by the kill"] += frames == 0
    if wrong:
        raise SystemExit(f"{folder}: {wrong}")
    return found


def sidecar_of(archive: Archive, line: Line, identities: list[object]) -> Sidecar | None:
    """Return the sidecar of a recording; None if it cannot be read. A sealed one that was recovered names no clip."""
    if not identities:
        return archive.sidecar_of(line)
    clear = archive.folder / ".opened"
    try:
        open_sealed(archive.folder / f"{line.path}.json.age", clear, identities)
        return msgspec.json.decode(clear.read_bytes(), type=Sidecar)
    except (SinkError, msgspec.MsgspecError):
        return None
    finally:
        clear.unlink(missing_ok=True)


def decoded(archive: Archive, path: str, identities: list[object]) -> int:
    """Return how many frames of a clip decode."""
    clip = archive.folder / f"{path}.mp4"
    if identities:
        sealed, clip = archive.folder / f"{path}.mp4.age", archive.folder / ".opened"
        if not sealed.exists():
            return 0
        with contextlib.suppress(Exception):
            open_sealed(sealed, clip, identities)
    count = 0
    with contextlib.suppress(OSError, av.FFmpegError, IndexError), av.open(str(clip)) as file:
        for _ in file.decode(video=0):
            count += 1
    clip.unlink(missing_ok=True) if identities else None
    return count


def main() -> None:
    """Record, cut and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=100, help="power cuts (100)")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of each of two runs (20)")
    parser.add_argument("--sealed", action="store_true", help="seal the recordings")
    parser.add_argument("--seed", type=int, default=0, help="of the random cuts (0)")
    args = parser.parse_args()
    generator = random.Random(args.seed)  # noqa: S311 - no secret
    identities = [load_pyrage().x25519.Identity.generate()] if args.sealed else []
    with tempfile.TemporaryDirectory() as name:
        work, folder, log = Path(name), Path(name) / "rec", Path(name) / "log"
        record(work, folder, args.seconds, log, str(identities[0].to_public()) if identities else None)
        operations = read_log(log)
        kinds = Counter(operation.kind for operation in operations)
        print(f"{len(operations)} operations: {dict(kinds)}", flush=True)
        total, disk, done = Counter[str](), Disk(str(folder)), 0
        moments = sorted(generator.sample(range(1, len(operations) + 1), min(args.cuts, len(operations))))
        for number, moment in enumerate(moments, 1):
            for operation in itertools.islice(operations, done, moment):
                disk.do(operation)
            done = moment
            ordered = number % 2 == 0
            rest = work / f"cut-{number}"
            for path, data in sorted(disk.after_cut(generator, ordered=ordered).items()):
                place = rest / os.path.relpath(path, folder)
                if data is None:
                    place.mkdir(parents=True, exist_ok=True)
                else:
                    place.write_bytes(data)
            try:
                total += check(rest, disk.acknowledged(), identities)
            except SystemExit as error:
                raise SystemExit(
                    f"cut after operation {moment}, {'journal' if ordered else 'no order'}: {error}"
                ) from None
        print(f"{len(moments)} power cuts: all well; {dict(total)}")


if __name__ == "__main__":
    main()
