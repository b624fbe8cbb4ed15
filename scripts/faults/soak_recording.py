"""Kill a recording run at random moments, cut copies of its folder at random bytes, and check what is left.

    python scripts/faults/soak_recording.py [--events 200] [--cuts 100] [--seed 0]

Each round runs `edgehar-run --record` with four cameras, whose video gets bright and dark every second, and kills it
(SIGKILL) at a random moment. Now and then it is stopped, the folder is copied, and the growing clips of the copy are
cut at a random byte. Then the recorder is started on it, which recovers what is there. power_cut.py loses unflushed
writes too.

Checked after each: the chain holds, every clip decodes, and no recording that was on the chain before is missing. At
the end single recordings are removed and altered, and must be found.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.tiny_bundle import write_tiny_bundle  # noqa: E402

from edgehar.recording.options import RecordOptions  # noqa: E402
from edgehar.recording.recorder import Recorder  # noqa: E402
from edgehar.recording.store import Archive  # noqa: E402
from edgehar.recording.verify import problems  # noqa: E402

RUN = Path(sys.executable).parent / "edgehar-run"
CONFIG = """
model = "{bundle}"
output = "none"
{cameras}
[record]
directory = "{folder}"
min_free_mb = 0
pre_roll_s = 1.0
post_roll_s = 0.5
"""


CAMERA = """
[[camera]]
name = "{name}"
source = "{video}"
loop = true
realtime = true
"""


def write_config(work: Path, folder: Path, cameras: int, more: str = "") -> Path:
    """Write a configuration that records from some cameras into a folder; `more` are settings of [record]."""
    video, bundle, config = work / "a.mp4", work / "tiny.edgehar", work / "edgehar.toml"
    if not video.exists():
        write_video(video)
        write_tiny_bundle(bundle)
    tables = "".join(CAMERA.format(name=f"camera-{number}", video=video) for number in range(cameras))
    config.write_text(CONFIG.format(bundle=bundle, cameras=tables, folder=folder) + more)
    config.chmod(0o600)
    return config


def write_video(path: Path) -> Path:
    """Encode 60 s of noise that gets bright and dark every second."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(60 * 25):
            level = 220 if number // 25 % 2 else 30
            pixels = np.clip(level + generator.integers(-20, 21, (120, 160, 3)), 0, 255).astype(np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        file.mux(stream.encode(None))
    return path


def check(folder: Path, known: set[str]) -> set[str]:
    """Recover a folder, and return its recordings; SystemExit if anything is wrong.

    Clips of known recordings are compared with the chain, all others are decoded too.
    """
    Recorder(RecordOptions(directory=str(folder), min_free_mb=0)).close(60)
    archive = Archive(folder)
    wrong = list(problems(archive))
    there = set(archive.chain.recordings())
    if wrong or not known <= there:
        raise SystemExit(f"{folder}: {wrong} {known - there} missing")
    for line in there - known:
        path = folder / f"{line}.mp4"
        if not path.exists():
            continue
        with av.open(str(path)) as file:
            if not sum(1 for _ in file.decode(video=0)):
                raise SystemExit(f"{path}: holds no frame")
    return there


def cut_copy(folder: Path, copy: Path, generator: random.Random) -> int:
    """Copy a folder that is being written, and cut its growing clips at random bytes; return how many were cut."""
    shutil.copytree(folder, copy, ignore=lambda *_: [".lock"], ignore_dangling_symlinks=True)
    growing = list(copy.glob("*/*/.*.mp4.part"))
    for path in growing:
        os.truncate(path, generator.randint(0, path.stat().st_size))
    return len(growing)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and wait until all its threads are stopped."""
    process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{process.pid}/task")
    while process.poll() is None and any(state(task) not in "TZ" for task in tasks.iterdir()):
        time.sleep(0.001)


def state(task: Path) -> str:
    """Return the state of a thread as `proc_pid_stat(5)` has it; "Z" if it has ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


class Soak:
    """A recording run that is killed and started again.

    Attributes:
        known: the recordings on the chain so far, by name.
        cuts: growing clips that were cut so far.
    """

    def __init__(self, work: Path, cuts: int, seed: int) -> None:
        self.known: set[str] = set()
        self.cuts = self._kills = self._checked = 0
        self._most_cuts, self._generator = cuts, random.Random(seed)  # noqa: S311 - no secret
        self._work, self.folder = work, work / "rec"
        self._config = write_config(work, self.folder, cameras=4)

    def round(self) -> None:
        """Run for a few seconds, with copies cut on the way, then kill and check."""
        process = subprocess.Popen([RUN, "--config", self._config], stderr=subprocess.DEVNULL)
        while process.poll() is None and not list(self.folder.glob("*/*/.*.mp4.part")):
            time.sleep(0.05)
        end_s = time.monotonic() + self._generator.uniform(1, 8)
        while time.monotonic() < end_s:
            time.sleep(self._generator.uniform(0.05, 0.3))
            self._cut_copy(process)
        process.kill()
        process.wait()
        self._kills += 1
        self.known = check(self.folder, self.known)
        print(
            f"{self._kills} kills, {len(self.known)} recordings, {self.cuts} cuts in {self._checked} copies: all well",
            flush=True,
        )

    def _cut_copy(self, process: subprocess.Popen[bytes]) -> None:
        copy = self._work / "copy"
        # Stopped, so that all files are of one moment.
        stop(process)
        wanted = self.cuts < self._most_cuts and self.folder.exists()
        found = cut_copy(self.folder, copy, self._generator) if wanted else 0
        process.send_signal(signal.SIGCONT)
        if found:
            self.cuts, self._checked = self.cuts + found, self._checked + 1
            check(copy, {line for line in self.known if (copy / f"{line}.json").exists()})
        shutil.rmtree(copy, ignore_errors=True)

    def alter(self, count: int) -> None:
        """Remove and alter single recordings, and check that each is found."""
        archive = Archive(self.folder)
        lines = sorted(archive.chain.recordings().values(), key=lambda line: line.number)
        for line in self._generator.sample(lines, count):
            path = archive.files_of(line)[0]
            whole = path.read_bytes()
            path.unlink()
            assert any(str(path.name) in problem for problem in problems(archive)), path
            place = self._generator.randrange(len(whole))
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert any(str(path.name) in problem for problem in problems(archive)), path
            path.write_bytes(whole)
        assert not list(problems(archive))
        print(f"{count} recordings removed and {count} altered: each was found")


def main() -> None:
    """Run until there were enough events and cuts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200, help="recordings to make (200)")
    parser.add_argument("--cuts", type=int, default=100, help="growing clips to cut (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and bytes (0)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        soak = Soak(Path(name), args.cuts, args.seed)
        while len(soak.known) < args.events or soak.cuts < args.cuts:
            soak.round()
        soak.alter(10)


if __name__ == "__main__":
    main()
