"""Frames of clips, decoded once, at the size of the network, in memory-mapped files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgehar import Resizer, open_source
from edgehar.errors import DatasetError, SourceError
from edgehar_training.data.contents import Contents
from edgehar_training.data.filling import CacheJob, fill
from edgehar_training.data.shards import BrokenShardError, read_shard, write_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from edgehar.model.manifest import Input
    from edgehar_training.data.datasets import Clip

log = logging.getLogger(__name__)

# Increase it if the compiled kernel gives other pixels, so that old frames are decoded again.
KERNEL = "area-3"
# Increase it if the second look at the same frames is at another place. Frames do not depend on it, scores do.
LOOKS = "looks-2"
# A temporary file that has not been written to for this long was left by a killed program.
_LEFT_BEHIND_S = 600.0

Crop = Literal["stretch", "center", "letterbox"]


@dataclasses.dataclass(frozen=True)
class SmallClip:
    """A clip at the size of the network.

    Attributes:
        frames: uint8 `(n, height, width, 3)` RGB, or `(n, height, width)` gray, at the rate of the file, n >= 1.
        times_s: float64 `(n,)`, seconds from the first frame of the file.
    """

    frames: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.float64]


def default_folder(cache: str = "frames") -> Path:
    """Return `edgehar/<cache>` in `XDG_CACHE_HOME`, or in `~/.cache` (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edgehar" / cache


class Shards:
    """A folder of shards that several programs share, and in which each of them may be killed.

    Args:
        folder: the folder; created if needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Programs of one start of the machine tell each other; after the next, a power cut may have eaten what was
        # written last, and all shards are read again.
        self._list = folder / f"verified-{_boot()}.txt"
        self._verified: set[str] | None = None

    def prepare(self) -> None:
        """Create the folder, and remove the temporary files of killed programs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("*.tmp*.npy"):
            try:
                if time.time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                    path.unlink()
            except FileNotFoundError:
                continue  # its program is done with it
        for path in self.folder.glob("verified-*.txt"):
            if path != self._list:
                path.unlink(missing_ok=True)

    def whole(self, path: Path) -> bool:
        """Return whether a shard exists and has the right size."""
        try:
            read_shard(path, verify=False)
        except (FileNotFoundError, BrokenShardError):
            return False
        return True

    def read(self, path: Path, what: str, make: Callable[[], object]) -> tuple[Any, npt.NDArray[np.float64]]:
        """Return the pictures and times of a shard; made if missing, and made again once if damaged.

        Args:
            path: the shard.
            what: name of the clip, for messages.
            make: writes it.

        Raises:
            DatasetError: it is damaged as soon as it is written.
        """
        try:
            return self._verified_read(path)
        except FileNotFoundError:
            self.prepare()
        except BrokenShardError as error:
            log.warning("%s: its entry in the cache is damaged (%s: %s); it is made again", what, path, error)
        make()
        try:
            return self._verified_read(path)
        except BrokenShardError as error:
            raise DatasetError(f"{path}: is damaged as soon as it is written ({error}); check the disk") from error

    def _verified_read(self, path: Path) -> tuple[Any, npt.NDArray[np.float64]]:
        # All of a shard is read once to compare its checksum, and not again until it is another file.
        if self._verified is None:
            listed = self._list.read_text("ascii", "replace") if self._list.exists() else ""
            self._verified = set(listed.splitlines())
        status = path.stat()
        line = f"{path.name} {status.st_size} {status.st_mtime_ns}"
        found = read_shard(path, verify=line not in self._verified)
        if line not in self._verified:
            self._verified.add(line)
            with self._list.open("a", encoding="ascii") as file:
                file.write(line + "\n")
        return found


def _boot() -> str:
    """Return a word that changes with each boot of the machine, if the system provides one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"pid{os.getpid()}"


class FramesCache:
    """Small frames of clips, kept in a folder.

    A clip is identified by its content, so a copied or moved data set is not decoded again, but a changed file is.
    Another frame size, crop or kernel is another entry. Programs may share the folder and be interrupted at any time:
    entries are complete or missing, and a damaged entry is detected and made again.

    Args:
        folder: folder of the entries; created if needed.
        height: rows of a small frame.
        width: columns of a small frame.
        crop: how a frame of another shape is fitted, as in `Resizer`.
        gray: keep gray levels, as motion is computed from them, instead of colors.
    """

    made = "decoded"

    def __init__(self, folder: Path, height: int, width: int, crop: Crop = "stretch", *, gray: bool = False) -> None:
        self.folder, self.height, self.width, self.crop, self.gray = folder, height, width, crop, gray
        self.shards, self._contents = Shards(folder), Contents(folder)

    def fill(
        self, clips: Iterable[Clip], progress: Callable[[], object] = lambda: None, *, workers: int | None = None
    ) -> dict[str, str]:
        """Decode every missing clip, in several processes; each holds one frame at a time.

        Args:
            clips: the clips.
            progress: called after each video.
            workers: largest number of processes; None uses one per core.

        Returns:
            The reason for every clip that cannot be read, by its path.

        Raises:
            OSError: the folder cannot be written.
        """
        self.shards.prepare()
        videos = {clip.path: clip for clip in clips}
        return fill(self, list(videos.values()), progress, workers)

    def load(self, clip: Clip) -> SmallClip:
        """Return the frames of a clip between its start and end, memory-mapped; decoded now if missing.

        Raises:
            SourceError: the video cannot be read.
            DatasetError: no frame is between start and end of the clip.
        """
        frames, times_s = self.all_frames(clip)
        part = clip_part(clip, times_s)
        return SmallClip(frames[part], times_s[part])

    def all_frames(self, clip: Clip) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
        """Return all frames of the video that a clip is in, memory-mapped, and their times.

        Raises:
            SourceError: the video cannot be read.
        """
        return self.shards.read(self.shard(clip.path), clip.path, lambda: self.make(clip))

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """Shape of a small frame."""
        return (self.height, self.width) if self.gray else (self.height, self.width, 3)

    def has(self, clip: Clip) -> bool:
        """Return whether the frames of the clip exist, without reading its file."""
        word = self._contents.known(clip.path)
        return word is not None and self.shards.whole(self._shard_of(word))

    def make(self, clip: Clip) -> int:
        """Decode the video of a clip.

        Returns:
            The number of its frames.

        Raises:
            SourceError: it cannot be read.
            OSError: the folder cannot be written.
        """
        try:
            return write_shard(self.shard(clip.path), self._small_frames(clip.path), self.picture_shape, "uint8")
        except BrokenShardError as error:
            raise SourceError(f"{clip.path}: holds no frame") from error

    def make_missing(self, clip: Clip) -> int:
        """Decode a video unless its frames exist, which its content shows. Returns the number of its frames, or 0."""
        return 0 if self.shards.whole(self.shard(clip.path)) else self.make(clip)

    def shard(self, path: str) -> Path:
        """Return the file that holds the frames of a video.

        Raises:
            SourceError: the video cannot be read.
        """
        try:
            return self._shard_of(self._contents.word(path))
        except OSError as error:
            if error.filename is not None and Path(error.filename).parent == self.folder:
                raise
            raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error

    def job(self) -> CacheJob:
        """Return what another process needs to open the same cache."""
        settings: dict[str, str | int | float] = {
            "folder": str(self.folder),
            "height": self.height,
            "width": self.width,
            "crop": self.crop,
            "gray": int(self.gray),
        }
        return CacheJob("edgehar_training.data.frames_cache:open_frames", settings)

    def _shard_of(self, word: str) -> Path:
        identity = [word, self.height, self.width, self.crop, KERNEL, *(["gray"] if self.gray else [])]
        return self.folder / f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.npy"

    def _small_frames(self, path: str) -> Iterator[tuple[npt.NDArray[np.uint8], float]]:
        with (
            Resizer(self.height, self.width, dtype="uint8", crop=self.crop) as resizer,
            open_source(path) as source,
        ):
            for frame in source:
                try:
                    small = resizer.resize(frame)
                except ValueError as error:
                    raise SourceError(f"{path}: {error}") from error
                yield gray_levels(small) if self.gray else small, frame.captured_s


def open_frames(folder: str, height: int, width: int, crop: Crop, gray: int = 0) -> FramesCache:
    """Open the cache of a `CacheJob`."""
    return FramesCache(Path(folder), height, width, crop, gray=bool(gray))


def cache_of(folder: Path, shape: Input) -> FramesCache:
    """Return the cache of the frames that a network with this input is given: base pictures if it has two looks."""
    return FramesCache(folder, *shape.source_size, shape.crop, gray=shape.looks is not None)


def gray_levels(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the gray levels of RGB pixels as the compiled kernel computes them, uint8 without the last axis."""
    red, green, blue = (rgb[..., channel].astype(np.uint16) for channel in range(3))
    return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)


def clip_part(clip: Clip, times_s: npt.NDArray[np.float64]) -> slice:
    """Return the frames of a video between the start and end of a clip.

    Raises:
        DatasetError: no frame is.
    """
    first = 0 if clip.start_s is None else int(np.searchsorted(times_s, clip.start_s, "left"))
    beyond = len(times_s) if clip.end_s is None else int(np.searchsorted(times_s, clip.end_s, "right"))
    if first >= beyond:
        raise DatasetError(
            f"{clip.path}: no frame from {clip.start_s} s to {clip.end_s} s, it lasts {times_s[-1]:.2f} s; correct "
            "the times of the clip"
        )
    return slice(first, beyond)
