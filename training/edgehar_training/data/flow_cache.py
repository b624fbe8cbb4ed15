"""Optical flow of every clip, computed or read once and stored with its frames."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConfigError
from edgehar_training.data import filling, flow, flow_folder
from edgehar_training.data.frames_cache import clip_part, open_frames
from edgehar_training.data.shards import write_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.frames_cache import FramesCache

# Increase it if the same frames give other flow.
VERSION = "flow-1"


class FlowCache:
    """Flow of clips, an int8 picture for each frame, at the size and in the folder of a cache of frames.

    Args:
        frames: the frames.
        method: one of `flow.METHODS`, or a folder of flow that was computed before.
        rate_hz: rate of the time grid; flow is the motion in one period.

    Raises:
        ConfigError: no such method or folder.
    """

    made = "optical flow of"

    def __init__(self, frames: FramesCache, method: str, rate_hz: float) -> None:
        self._frames, self._method, self._rate_hz = frames, method, rate_hz
        self._pictures = None if method in flow.METHODS else Path(method)
        if self._pictures is not None and not self._pictures.is_dir():
            raise ConfigError(
                f"--flow {method}: neither a method ({', '.join(flow.METHODS)}) nor a folder of optical flow"
            )

    def fill(
        self, clips: Iterable[Clip], progress: Callable[[], object] = lambda: None, *, workers: int | None = None
    ) -> dict[str, str]:
        """Make the flow of every clip that has none yet, as `FramesCache.fill` does.

        Raises:
            DatasetError: the folder of flow has none for a clip.
            OSError: the folder cannot be written.
        """
        self._frames.shards.prepare()
        entries = {(clip.path, clip.label if self._pictures else ""): clip for clip in clips}
        return filling.fill(self, list(entries.values()), progress, workers)

    def load(self, clip: Clip) -> npt.NDArray[np.int8]:
        """Return int8 `(n, height, width, 2)`, memory-mapped, for the frames of `FramesCache.load`; made if missing.

        Raises:
            SourceError: the video cannot be read.
            DatasetError: the folder of flow has none for the clip.
        """
        what = f"{clip.path} (flow)"
        moved, times_s = self._frames.shards.read(self._shard(clip), what, lambda: self._make(clip))
        part: npt.NDArray[np.int8] = moved[clip_part(clip, times_s)]
        return part

    def has(self, clip: Clip) -> bool:
        """Return whether the flow of the clip exists."""
        return self._frames.has(clip) and self._frames.shards.whole(self._shard(clip))

    def make_missing(self, clip: Clip) -> int:
        """Make the flow of the clip unless it exists. Returns the number of its frames, or 0 if it existed."""
        return 0 if self._frames.shards.whole(self._shard(clip)) else self._make(clip)

    def job(self) -> filling.CacheJob:
        """Return what another process needs to open the same cache."""
        settings = {**self._frames.job().settings, "method": self._method, "rate_hz": self._rate_hz}
        return filling.CacheJob("edgehar_training.data.flow_cache:open_flow", settings)

    def _make(self, clip: Clip) -> int:
        frames, times_s = self._frames.all_frames(clip)
        if self._pictures is None:
            moved = flow.flow_of(frames, times_s, self._rate_hz, self._method)
        else:
            folder = flow_folder.clip_folder(self._pictures, clip)
            shape, crop = (frames.shape[1], frames.shape[2]), self._frames.crop
            moved = flow_folder.flow_from(folder, times_s, self._rate_hz, shape, crop)
        return write_shard(self._shard(clip), moved, (*frames.shape[1:3], 2), "int8")

    def _shard(self, clip: Clip) -> Path:
        shard = self._frames.shard(clip.path)
        identity: list[Any] = [shard.name, VERSION, self._rate_hz]
        if self._pictures is None:
            identity.append(self._method)
        else:
            # The pictures are many and small, so their names, sizes and times identify their content.
            pictures = flow_folder.pairs(flow_folder.clip_folder(self._pictures, clip))
            found = [(path.name, path.stat()) for pair in pictures for path in pair]
            identity.append([(name, status.st_size, status.st_mtime_ns) for name, status in found])
        return shard.with_name(f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.flow.npy")


def open_flow(method: str, rate_hz: float, **frames: Any) -> FlowCache:
    """Open the cache of a `CacheJob`, in a worker process: OpenCV uses one thread, since each core has a process.

    Args:
        method: the method of flow.
        rate_hz: frames a second of the grid.
        frames: arguments of `open_frames`.
    """
    import cv2

    cv2.setNumThreads(1)
    return FlowCache(open_frames(**frames), method, rate_hz)
