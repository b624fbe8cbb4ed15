"""Memory that was freed goes back to the system: in a process of its own, and all through a run."""

import ctypes
import platform
import subprocess
import sys

import pytest
from support.helpers import flat_frames, write_video

from edgehar.config import load
from edgehar.pipeline import memory
from edgehar.pipeline.program import Program

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="speaks of glibc's memory")

# What stays free after a thread has needed 40 MB for a moment, in pieces of the size of a camera's frame, and what when
# that was released. The threshold at which glibc gives back the end of an arena grows with what was freed before.
_ANONYMOUS = """
import threading
from edgehar.pipeline import memory

def anonymous_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def need():
    bytes(30_000_000)
    pieces = [b"1" * 900_000 for _ in range(45)]

memory.share_arena()
before = anonymous_mb()
thread = threading.Thread(target=need)
thread.start()
thread.join()
kept = anonymous_mb() - before
memory.release_freed()
print(kept, anonymous_mb() - before)
"""

# How many arenas a run has.
_ARENAS = """
import ctypes, sys
from edgehar.cli.run import main

assert main(sys.argv[2:]) == 0
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def python(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_glibc
def test_what_a_thread_needed_for_a_moment_goes_back():
    kept_mb, left_mb = map(float, python(_ANONYMOUS).split())
    assert kept_mb > 20
    assert left_mb < kept_mb / 4


@needs_glibc
def test_all_threads_of_a_run_share_an_arena(tmp_path, tiny_bundle):
    video = write_video(tmp_path / "clip.mp4", flat_frames([235] * 10))
    arguments = ["--source", str(video), "--model", str(tiny_bundle), "--threads", "2", "--output", "none"]
    python(_ARENAS, str(tmp_path / "arenas.xml"), *arguments)
    assert (tmp_path / "arenas.xml").read_text().count("<heap nr=") == 1


def test_a_run_releases_memory_now_and_then(tiny_bundle, monkeypatch):
    released = []
    monkeypatch.setattr(memory, "release_freed", lambda: released.append(1))
    camera = {"source": "synthetic:walking?realtime=1&duration_s=60"}
    config = load(None, {}, {"model": str(tiny_bundle), "output": "none", "camera": camera})
    Program(config, duration_s=2, release_every_s=0.2).run()
    assert len(released) >= 2


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory.share_arena()
    memory.release_freed()
