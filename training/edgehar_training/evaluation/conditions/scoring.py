"""Score every clip under every condition with the bundles that it is a test clip of. Each video is decoded once.

The scores are a cache with one entry for each video, which several processes fill (`data.filling`).
"""

from __future__ import annotations

import collections
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar import open_source
from edgehar.errors import DatasetError, SourceError
from edgehar.files import whole_file
from edgehar.model.network import Network
from edgehar_training.data.datasets import Clip
from edgehar_training.data.filling import CacheJob, fill
from edgehar_training.evaluation.conditions.changes import CONDITIONS
from edgehar_training.evaluation.conditions.streams import ClipStream, Shot
from edgehar_training.file_names import decode_json, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from edgehar_training.evaluation.conditions.changes import Condition

PLAN_FILE = "plan.json"
# Number of networks that a process keeps loaded; a video needs those of one fold and all seeds.
LOADED_AT_ONCE = 8


class Task(msgspec.Struct, frozen=True):
    """A clip to score.

    Attributes:
        clip: the clip.
        name: name of the clip within its data set; the seed of random changes.
        bundles: paths of the bundles that score it.
    """

    clip: Clip
    name: str
    bundles: list[str]


class Plan(msgspec.Struct, frozen=True):
    """The work of all processes.

    Attributes:
        tasks: clips with their bundles.
        conditions: names of the conditions.
        hop: frames between windows.
    """

    tasks: list[Task]
    conditions: list[str]
    hop: int


class Scores(msgspec.Struct, frozen=True):
    """The result of a task: mean scores over the windows, by condition and by bundle in the order of the task."""

    task: int
    scores: dict[str, list[list[float]]]


class ConditionScores:
    """Scores of videos in a folder, one file for each video: a cache that `data.filling` fills.

    Args:
        folder: holds the plan.
    """

    made = "scored"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plan = decode_json((folder / PLAN_FILE).read_bytes(), Plan)
        self._conditions = [CONDITIONS[name] for name in self._plan.conditions]
        self._tasks: dict[str, list[int]] = {}
        for number, task in enumerate(self._plan.tasks):
            self._tasks.setdefault(task.clip.path, []).append(number)
        self._networks: collections.OrderedDict[str, Network] = collections.OrderedDict()

    def videos(self) -> list[Clip]:
        """Return one clip of each video, sorted so that videos of the same bundles follow each other."""
        firsts = [self._plan.tasks[numbers[0]] for numbers in self._tasks.values()]
        return [task.clip for task in sorted(firsts, key=lambda task: task.bundles)]

    def has(self, clip: Clip) -> bool:
        """Return whether a video is scored."""
        return self._file(clip.path).exists()

    def make_missing(self, clip: Clip) -> int:
        """Score the clips of a video.

        Returns:
            The number of frames that were decoded.

        Raises:
            SourceError: the video cannot be read.
            DatasetError: it has no frame between start and end of a clip.
        """
        scores, frames = self._scored(clip.path)
        with whole_file(self._file(clip.path)) as temporary:
            temporary.write_bytes(msgspec.json.encode(scores))
        return frames

    def job(self) -> CacheJob:
        """Return what another process needs to score into the same folder."""
        return CacheJob("edgehar_training.evaluation.conditions.scoring:open_scores", {"folder": str(self.folder)})

    def read(self, path: str) -> list[Scores]:
        """Return the scores of a video's clips."""
        return msgspec.json.decode(self._file(path).read_bytes(), type=list[Scores])

    def _file(self, path: str) -> Path:
        return self.folder / f"{self._tasks[path][0]}.json"

    def _scored(self, path: str) -> tuple[list[Scores], int]:
        with contextlib.ExitStack() as stack:
            streams = {number: self._streams(number, stack) for number in self._tasks[path]}
            seen = dict.fromkeys(streams, 0)
            last_s = max((_end_s(self._plan.tasks[number].clip) for number in streams), default=0.0)
            frames = 0
            with open_source(path) as source:
                for frame in source:
                    if frame.captured_s > last_s:
                        break
                    frames += 1
                    for number, own in streams.items():
                        if not _within(self._plan.tasks[number].clip, frame.captured_s):
                            continue
                        shot = Shot(frame, seen[number])
                        seen[number] += 1
                        for stream in own.values():
                            stream.push(shot)
            for number, count in seen.items():
                _check_seen(self._plan.tasks[number].clip, count)
            return [Scores(number, _means(own)) for number, own in streams.items()], frames

    def _streams(self, number: int, stack: contextlib.ExitStack) -> dict[str, ClipStream]:
        task = self._plan.tasks[number]
        networks = [self._network(bundle) for bundle in task.bundles]
        streams = {c.name: ClipStream(c, task.name, networks, self._plan.hop) for c in self._conditions}
        for stream in streams.values():
            stack.callback(stream.close)
        return streams

    def _network(self, bundle: str) -> Network:
        if bundle not in self._networks:
            self._networks[bundle] = Network(bundle)
            while len(self._networks) > LOADED_AT_ONCE:
                self._networks.popitem(last=False)
        self._networks.move_to_end(bundle)
        return self._networks[bundle]


def open_scores(folder: str) -> ConditionScores:
    """Open the folder of a `CacheJob`, in a worker process: OpenCV uses one thread, since each core has a process."""
    import cv2

    cv2.setNumThreads(1)
    return ConditionScores(Path(folder))


def score_conditions(
    tasks: Sequence[Task],
    conditions: Sequence[Condition],
    hop: int,
    progress: Callable[[], object],
    jobs: int | None = None,
) -> tuple[dict[str, list[list[npt.NDArray[np.float32]] | None]], dict[str, str]]:
    """Score clips under conditions.

    Args:
        tasks: clips with their bundles, which take frames of one size, crop and rate.
        conditions: the conditions.
        hop: frames between windows.
        progress: called after each video.
        jobs: largest number of processes; None uses one per core.

    Returns:
        For each condition and task: the mean scores of each of its bundles, or None if the video cannot be read. And
        the reason for every video that cannot be read, by its path.
    """
    with tempfile.TemporaryDirectory(prefix="edgehar-conditions-") as folder:
        plan = Plan(list(tasks), [condition.name for condition in conditions], hop)
        (Path(folder) / PLAN_FILE).write_bytes(encode_json(plan))
        entries = ConditionScores(Path(folder))
        videos = entries.videos()
        skipped = fill(entries, videos, progress, jobs)
        found: dict[str, list[list[npt.NDArray[np.float32]] | None]] = {c.name: [None] * len(tasks) for c in conditions}
        for video in videos:
            for scored in entries.read(video.path) if video.path not in skipped else ():
                for name, by_bundle in scored.scores.items():
                    found[name][scored.task] = [np.array(scores, np.float32) for scores in by_bundle]
    return found, skipped


def _means(streams: dict[str, ClipStream]) -> dict[str, list[list[float]]]:
    return {name: [scores.tolist() for scores in stream.finish()] for name, stream in streams.items()}


def _end_s(clip: Clip) -> float:
    return float("inf") if clip.end_s is None else clip.end_s


def _within(clip: Clip, time_s: float) -> bool:
    return (0.0 if clip.start_s is None else clip.start_s) <= time_s <= _end_s(clip)


def _check_seen(clip: Clip, frames: int) -> None:
    if frames:
        return
    if clip.start_s is None and clip.end_s is None:
        raise SourceError(f"{clip.path}: has no frame")
    raise DatasetError(f"{clip.path}: no frame from {clip.start_s} s to {clip.end_s} s; correct the times of the clip")
