"""Two Python threads at once: the kernel releases the interpreter's lock while it works."""

from __future__ import annotations

import os
import statistics
import threading
import time
from typing import TYPE_CHECKING

from edgehar._ring import FrameRing
from edgehar.bench.frames import as_frame, frame_bytes
from edgehar.bench.results import Threads
from edgehar.frames import PixelFormat

if TYPE_CHECKING:
    from edgehar.bench.frames import FramePool
    from edgehar.bench.results import Temperature
    from edgehar.bench.timing import Protocol
    from edgehar.frames import Frame

_WIDTH, _HEIGHT = 640, 480
# Turns are this many times longer than elsewhere, because threads start slowly.
_TURNS = 5


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def measure(temperature: Temperature, size: int, pool: FramePool, protocol: Protocol) -> Threads:
    """Measure the frames per second of one thread and of two, in turns."""
    buffers = pool.buffers(frame_bytes(PixelFormat.BGR24, _HEIGHT, _WIDTH))
    frames = [as_frame(buffer, PixelFormat.BGR24, _HEIGHT, _WIDTH) for buffer in buffers]
    shares = [frames[0::2], frames[1::2]] if temperature == "cold" else [frames[:1], frames[1:2]]
    workers = [_Worker(share, size) for share in shares]
    count = _calls(workers[0], protocol.turn_s * _TURNS)
    one, two = [], []
    for _ in range(protocol.rounds):
        one.append(count / _run(workers[:1], count))
        two.append(2 * count / _run(workers, count))
    one_fps, two_fps = statistics.median(one), statistics.median(two)
    return Threads(size, temperature, one_fps, two_fps, two_fps / one_fps)


class _Worker:
    """Resizes frames into its own ring, continuing where it stopped."""

    def __init__(self, frames: list[Frame], size: int) -> None:
        self._frames, self._next = frames, 0
        self._ring = FrameRing(20, size, size)
        self.began_s = self.ended_s = 0.0

    def shrink(self, count: int) -> None:
        push, frames = self._ring.push, self._frames
        self.began_s = time.perf_counter()
        for number in range(self._next, self._next + count):
            push(frames[number % len(frames)])
        self.ended_s = time.perf_counter()
        self._next += count


def _calls(worker: _Worker, turn_s: float) -> int:
    """Return the number of frames that take about one turn."""
    worker.shrink(10)
    worker.shrink(50)
    return max(1, round(50 * turn_s / (worker.ended_s - worker.began_s)))


def _run(workers: list[_Worker], count: int) -> float:
    """Return the seconds from the first frame of the first worker to the last frame of the last."""
    start = threading.Barrier(len(workers))

    def run(worker: _Worker) -> None:
        start.wait()
        worker.shrink(count)

    running = [
        threading.Thread(target=run, args=(worker,), name=f"bench-{number}") for number, worker in enumerate(workers)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return max(worker.ended_s for worker in workers) - min(worker.began_s for worker in workers)
