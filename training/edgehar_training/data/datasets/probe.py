"""Probe a video file: size, rate, length and content hash, and whether it can be decoded."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgehar import open_source
from edgehar.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from edgehar_training.data.datasets.clip import Clip

Item = TypeVar("Item")
Found = TypeVar("Found")

# Number of frames decoded at the start of a video, and the smallest share of the frames its header promises.
_SAMPLE = 5
_COMPLETE = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """Findings about a video.

    Attributes:
        sha256: SHA-256 of the bytes of the file, hexadecimal; empty for a source that is not a file.
        width: width of a frame, in pixels.
        height: height of a frame, in pixels.
        rate_hz: mean frame rate; 0 with fewer than two frames.
        frames: number of frames; 0 if unknown without decoding all.
        duration_s: seconds from the first frame to the end of the last; 0 if unknown.
        unreadable: the reason why no frame can be read; empty if one can.
        damaged: another fault; empty if none was found.
    """

    sha256: str = ""
    width: int = 0
    height: int = 0
    rate_hz: float = 0.0
    frames: int = 0
    duration_s: float = 0.0
    unreadable: str = ""
    damaged: str = ""


def probe_videos(
    clips: Iterable[Clip],
    *,
    workers: int = 1,
    all_frames: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Probe]:
    """Return the content of every video of some clips, by its path.

    Args:
        clips: the clips.
        workers: number of videos read at the same time.
        all_frames: decode every frame, not a few of each video.
        progress: called after each video.
    """
    paths = list(dict.fromkeys(clip.path for clip in clips))
    found = in_threads(lambda path: probe(path, all_frames=all_frames), paths, workers, progress)
    return dict(zip(paths, found, strict=True))


def probe(path: str, *, all_frames: bool = False) -> Probe:
    """Look into a video: all of its packets, but few of its frames unless `all_frames` is set.

    An unreadable video is a finding, not an error.
    """
    sha256 = ""
    try:
        if Path(path).is_file():
            with Path(path).open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        width, height, times_s = _decoded(path, None if all_frames else _SAMPLE)
    except (SourceError, ConfigError, OSError, ValueError) as error:
        return Probe(sha256=sha256, unreadable=str(error).removeprefix(f"{path}: "))
    if all_frames or not sha256:
        found = _of_times(times_s) if all_frames else Probe(rate_hz=_of_times(times_s).rate_hz)
        promised = _promised(path) if sha256 else 0
        if len(times_s) < _COMPLETE * promised and all_frames:
            found = dataclasses.replace(found, damaged=f"{len(times_s)} of {promised} frames can be decoded")
    else:
        found = _of_packets(path)
    return dataclasses.replace(found, sha256=sha256, width=width, height=height)


def length_s(clip: Clip, found: Probe) -> float:
    """Return the length of a clip, in seconds, within its video; 0 if unknown."""
    end_s = found.duration_s if clip.end_s is None else min(clip.end_s, found.duration_s or clip.end_s)
    return max(0.0, end_s - (clip.start_s or 0.0)) if end_s else 0.0


def in_threads(
    look: Callable[[Item], Found], items: Sequence[Item], workers: int, progress: Callable[[], object]
) -> list[Found]:
    """Call `look` for every item in threads (video decoders release the interpreter lock); results are in order."""
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(look, item) for item in items]
        try:
            for one in waiting:
                one.add_done_callback(lambda _: progress())
            return [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _decoded(path: str, count: int | None) -> tuple[int, int, list[float]]:
    """Return width, height and the times of the first frames, read by the same code as in training."""
    with open_source(path) as source:
        frames = itertools.islice(source, count)
        first = next(frames, None)
        if first is None:
            raise SourceError("holds no frame")
        return first.width, first.height, [first.captured_s, *(frame.captured_s for frame in frames)]


def _of_times(times_s: list[float]) -> Probe:
    length_s = times_s[-1] - times_s[0]
    rate_hz = (len(times_s) - 1) / length_s if length_s else 0.0
    return Probe(rate_hz=rate_hz, frames=len(times_s), duration_s=length_s + (1 / rate_hz if rate_hz else 0.0))


def _with_container(path: str, look: Callable[[InputContainer, VideoStream], Probe]) -> Probe:
    import av

    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            return look(container, container.streams.video[0])
    except (av.FFmpegError, OSError, IndexError) as error:
        return Probe(damaged=f"it breaks off ({getattr(error, 'strerror', None) or type(error).__name__})")


def _promised(path: str) -> int:
    return _with_container(path, lambda _, stream: Probe(frames=stream.frames)).frames


def _of_packets(path: str) -> Probe:
    """Read rate and length from the packets of a file, and decode one frame in the middle."""
    return _with_container(path, _counted)


def _counted(container: InputContainer, stream: VideoStream) -> Probe:
    import av

    ticks: list[int] = []
    broken = ""
    try:
        ticks.extend(packet.dts for packet in container.demux(stream) if packet.size and packet.dts is not None)
    except av.FFmpegError as error:
        broken = f"it breaks off ({getattr(error, 'strerror', None) or type(error).__name__})"
    ticks.sort()
    tick_s = float(stream.time_base or 0)
    if len(ticks) < 2 or not tick_s:
        return Probe(frames=stream.frames or len(ticks), damaged=broken)
    # The usual distance, not the mean: a camera that lost frames has longer ones in between.
    usual_s = statistics.median(b - a for a, b in itertools.pairwise(ticks)) * tick_s
    length_s = (ticks[-1] - ticks[0]) * tick_s
    if not broken and len(ticks) < _COMPLETE * stream.frames:
        broken = f"{len(ticks)} of {stream.frames} frames are there"
    if not broken and not _decodes_at(container, stream, ticks[len(ticks) // 2]):
        broken = "no frame of its second half can be decoded"
    rate_hz = (len(ticks) - 1) / length_s if length_s else 0.0
    return Probe(rate_hz=rate_hz, frames=len(ticks), duration_s=length_s + usual_s, damaged=broken)


def _decodes_at(container: InputContainer, stream: VideoStream, tick: int) -> bool:
    import av

    try:
        container.seek(tick, stream=stream)
        return next(container.decode(stream), None) is not None
    except av.FFmpegError:
        return False
