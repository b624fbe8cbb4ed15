"""Every clip decoded once: all of its frames, small, in memory-mapped files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgehar import FrameRing, __version__, open_source
from edgehar.errors import DatasetError, SourceError
from edgehar.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from edgehar_training.datasets import Clip

# Raise it when the compiled kernel gives other pixels: old frames are then decoded again.
KERNEL = "area-2"


@dataclasses.dataclass(frozen=True)
class SmallClip:
    """A clip as the network's size.

    Attributes:
        frames: uint8 `(n, height, width, 3)` RGB, at the rate of the file, at least one.
        times_s: float64 `(n,)`, seconds from the first frame of the file.
    """

    frames: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.float64]


def default_folder() -> Path:
    """`edgehar/frames` under `XDG_CACHE_HOME`, or under `~/.cache` (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edgehar" / "frames"


class FramesCache:
    """Small frames of clips, kept in a folder.

    A file that changed (size or modification time), another frame size and another kernel are other entries. It may be
    shared by programs and interrupted at any time: an entry is there whole or not at all.

    Args:
        folder: where entries are kept; made when needed.
        height: rows of a small frame.
        width: columns of a small frame.
    """

    def __init__(self, folder: Path, height: int, width: int) -> None:
        self.folder, self._height, self._width = folder, height, width

    def fill(self, clips: Iterable[Clip], progress: Callable[[], object] = lambda: None) -> dict[str, str]:
        """Decode every clip that is not there yet; `progress` is called after each.

        Returns:
            Why, for the path of every clip that cannot be read.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        unreadable = {}
        for path in dict.fromkeys(clip.path for clip in clips):
            try:
                if not self._frames_path(path).exists():
                    self._decode(path)
            except SourceError as error:
                unreadable[path] = str(error)
            progress()
        return unreadable

    def load(self, clip: Clip) -> SmallClip:
        """The frames of a clip between its first and last moment, memory-mapped; decoded now if they are not there.

        Raises:
            SourceError: the video cannot be read.
            DatasetError: there is no frame between the moments.
        """
        path = self._frames_path(clip.path)
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._decode(clip.path)
        frames, times_s = np.load(path, mmap_mode="r"), np.load(_times_path(path))
        first = 0 if clip.start_s is None else int(np.searchsorted(times_s, clip.start_s, "left"))
        beyond = len(times_s) if clip.end_s is None else int(np.searchsorted(times_s, clip.end_s, "right"))
        if first >= beyond:
            raise DatasetError(
                f"{clip.path}: no frame from {clip.start_s} s to {clip.end_s} s, it lasts {times_s[-1]:.2f} s; correct "
                "the times of the clip"
            )
        return SmallClip(frames[first:beyond], times_s[first:beyond])

    def _decode(self, path: str) -> None:
        ring = FrameRing(1, self._height, self._width, dtype="uint8")
        frames, times_s = [], []
        with open_source(path) as source:
            for frame in source:
                try:
                    ring.push(frame)
                except ValueError as error:
                    raise SourceError(f"{path}: {error}") from error
                frames.append(ring.latest().copy())
                times_s.append(frame.captured_s)
        if not frames:
            raise SourceError(f"{path}: holds no frame")
        target = self._frames_path(path)
        # The times first: where the frames are, the entry is whole.
        with whole_file(_times_path(target)) as temporary:
            np.save(temporary, np.array(times_s, np.float64) - times_s[0])
        with whole_file(target) as temporary:
            np.save(temporary, np.stack(frames))

    def _frames_path(self, path: str) -> Path:
        identity: list[object] = [self._height, self._width, KERNEL]
        try:
            status = Path(path).stat()
            identity += [str(Path(path).resolve()), status.st_size, status.st_mtime_ns]
        except OSError:
            # Not a file: a source made by code, which may change with the version.
            identity += [path, __version__]
        return self.folder / f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.npy"


def _times_path(frames_path: Path) -> Path:
    return frames_path.with_suffix(".times.npy")
