"""Fill a cache with several processes, each of which makes the entry of one clip at a time.

The processes are programs of their own and not forks: they run nothing of this program again, the Ctrl-C of a terminal
does not reach them, and a decoder that crashes on a damaged file costs that clip only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from edgehar.errors import DatasetError, SourceError
from edgehar_training.file_names import encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from edgehar_training.data.datasets import Clip

log = logging.getLogger(__name__)

# A process takes a third of a second to start, which does not pay for fewer clips.
CLIPS_PER_WORKER = 8
_STOP_TIMEOUT_S = 5.0


class CacheJob(msgspec.Struct, frozen=True):
    """The settings with which a worker process opens a cache.

    Attributes:
        maker: the function that opens it, `module:function`; the cache names it, so that this module need not know it.
        settings: keyword arguments of the function.
    """

    maker: str
    settings: dict[str, str | int | float]


class Cache(Protocol):
    """A cache with one entry for each clip.

    Attributes:
        made: the verb of its log message, such as "decoded".
    """

    made: str

    def has(self, clip: Clip) -> bool:
        """Return whether the entry of the clip exists, if that can be told without reading its file."""

    def make_missing(self, clip: Clip) -> int:
        """Make the entry of the clip unless it exists. Returns the number of its frames, or 0 if it existed."""

    def job(self) -> CacheJob:
        """Return what another process needs to open the same cache."""


@dataclasses.dataclass
class Answer:
    """The answer of a process about a clip.

    Attributes:
        frames: number of frames made.
        unreadable: the reason why the clip cannot be read.
        failure: an error that ends the filling.
        warnings: warnings about the clip.
    """

    frames: int = 0
    unreadable: str | None = None
    failure: Exception | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)


Answers: TypeAlias = "Generator[tuple[Clip, Answer], None, None]"


def fill(
    cache: Cache, clips: Sequence[Clip], progress: Callable[[], object], workers: int | None = None
) -> dict[str, str]:
    """Make every entry that is missing.

    If interrupted, it ends its processes and leaves only complete entries; the next call continues from there.

    Args:
        cache: the cache.
        clips: one clip for each entry.
        progress: called after each clip.
        workers: largest number of processes; None uses one for each core of this process.

    Returns:
        The reason for every clip that cannot be read, by its path.

    Raises:
        OSError: an entry cannot be written.
        DatasetError: the source of an entry does not fit its clip.
    """
    missing = []
    for clip in clips:
        if cache.has(clip):
            progress()
        else:
            missing.append(clip)
    cores = len(os.sched_getaffinity(0)) if workers is None else workers
    count = min(cores, len(missing) // CLIPS_PER_WORKER)
    started_s, frames, unreadable = time.monotonic(), 0, {}
    make = _in_workers if count > 1 else _here
    with contextlib.closing(make(cache, missing, count)) as answers:
        for clip, answer in answers:
            for warning in answer.warnings:
                log.warning("%s", warning)
            if answer.failure is not None:
                raise answer.failure
            if answer.unreadable is not None:
                unreadable[clip.path] = answer.unreadable
            frames += answer.frames
            progress()
    if frames:
        took_s = time.monotonic() - started_s
        done = len(missing)
        log.info("%s %d clips (%d frames) in %.1f s: %.1f clips/s", cache.made, done, frames, took_s, done / took_s)
    return {clip.path: unreadable[clip.path] for clip in clips if clip.path in unreadable}


def _here(cache: Cache, clips: Sequence[Clip], _: int) -> Answers:
    for clip in clips:
        try:
            yield clip, Answer(cache.make_missing(clip))
        except SourceError as error:
            yield clip, Answer(unreadable=str(error))


def _in_workers(cache: Cache, clips: Sequence[Clip], count: int) -> Answers:
    pool = _Pool(cache.job(), clips, count)
    try:
        for _ in clips:
            yield pool.answers.get()
    finally:
        pool.stop()


class _Pool:
    """Processes, each with a thread that sends it one clip after the other."""

    def __init__(self, job: CacheJob, clips: Sequence[Clip], count: int) -> None:
        self.answers: queue.SimpleQueue[tuple[Clip, Answer]] = queue.SimpleQueue()
        self._job, self._stopped = encode_json(job).decode(), False
        self._waiting: queue.SimpleQueue[Clip] = queue.SimpleQueue()
        for clip in clips:
            self._waiting.put(clip)
        self._processes: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._serve, name=f"fill-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Terminate the processes and wait for them."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        process: subprocess.Popen[str] | None = None
        try:
            while not self._stopped:
                try:
                    clip = self._waiting.get_nowait()
                except queue.Empty:
                    break
                process = process or self._start()
                if process is None:
                    break
                answer = _ask(process, clip)
                if answer is None:
                    _end(process)
                    process = None
                    answer = Answer(unreadable=f"{clip.path}: the decoder crashed; re-encode or remove the file")
                if not self._stopped:
                    self.answers.put((clip, answer))
        except OSError as error:
            self.answers.put((clip, Answer(failure=error)))
        finally:
            if process is not None:
                _end(process)

    def _start(self) -> subprocess.Popen[str] | None:
        command = [sys.executable, "-P", "-m", "edgehar_training.data.fill_worker", self._job]
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            self._processes.append(process)
            return process


def _ask(process: subprocess.Popen[str], clip: Clip) -> Answer | None:
    """Return the answer of the process about a clip. Returns None if the process ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(dataclasses.asdict(clip)) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        said = json.loads(line)
    except (BrokenPipeError, json.JSONDecodeError):
        return None
    failure: Exception | None = None
    if "errno" in said:
        failure = OSError(said["errno"], said["text"], said["file"])
    elif "dataset" in said:
        failure = DatasetError(said["dataset"])
    elif "bug" in said:
        failure = RuntimeError(said["bug"])
    return Answer(said.get("frames", 0), said.get("unreadable"), failure, said["warnings"])


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
