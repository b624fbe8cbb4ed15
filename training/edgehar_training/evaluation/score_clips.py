"""Score the clips of an evaluation, a few at a time, with the network of a run or with a bundle."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from edgehar.errors import DatasetError, SourceError
from edgehar_training.evaluation.scored import ScoredClip, clip_name
from edgehar_training.scoring.clips import score_bundle, score_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from edgehar.model.bundle import ModelBundle
    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.frames_cache import SmallClip
    from edgehar_training.runs.run import Run

    # Called with the number of clips that were just done.
    Progress: TypeAlias = Callable[[int], object]

T = TypeVar("T")
CLIPS_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class ClipScores:
    """The clips that could be read, with their scores.

    Attributes:
        rows: clips with their scores.
        skipped: the reason for every clip that cannot be read, by its path.
    """

    rows: list[ScoredClip] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def clips(self) -> int:
        """Number of clips, read or not."""
        return len(self.rows) + len(self.skipped)

    def all_rows(self) -> list[ScoredClip]:
        """Return the rows of a split, none of whose clips may be missing.

        Raises:
            DatasetError: a clip cannot be read: the figures would be of another split.
        """
        if self.skipped:
            raise DatasetError(
                f"{next(iter(self.skipped.values()))}; restore the {len(self.skipped)} missing clips of the run, or "
                "show its stored predictions with --stored"
            )
        return self.rows

    def warnings(self) -> list[str]:
        """Return warnings about clips that cannot be read.

        Raises:
            DatasetError: no clip can be read.
        """
        if not self.rows:
            raise DatasetError(f"no clip can be read: {next(iter(self.skipped.values()))}")
        if not self.skipped:
            return []
        clips = "1 unreadable clip was" if len(self.skipped) == 1 else f"{len(self.skipped)} unreadable clips were"
        return [f"{clips} left out; {next(iter(self.skipped.values()))}"]


def score_with_run(run: Run, clips: Sequence[Clip], root: Path | None, hop: int, progress: Progress) -> ClipScores:
    """Score clips with the float network of a run.

    Args:
        run: the run.
        clips: the clips.
        root: folder of the data set, for the names of the clips.
        hop: frames between windows.
        progress: see `Progress`.

    Raises:
        DatasetError: the run is not finished.
    """
    model, config, found = run.model(), run.config, ClipScores()
    for batch in _batches(clips):
        read, streams = _read(batch, run.stream, found)
        if read:
            scores = score_streams(
                model,
                run.preprocessor,
                streams,
                config.network.window,
                hop,
                config.frame_order,
                lead_in=config.network.lead_in,
            )
            found.rows.extend(
                ScoredClip(clip, clip_name(clip, root), windows.mean(axis=0), config.split.seed, config.fold, windows)
                for clip, windows in zip(read, scores, strict=True)
            )
        progress(len(batch))
    return found


def score_with_bundle(
    bundle: ModelBundle,
    clips: Sequence[Clip],
    load: Callable[[Clip], SmallClip],
    root: Path | None,
    hop: int,
    progress: Progress,
) -> ClipScores:
    """Score clips with a bundle, streamed as on a device; `load` reads a clip, the rest is as in `score_with_run`."""
    found = ClipScores()
    for batch in _batches(clips):
        read, frames = _read(batch, load, found)
        scores = score_bundle(bundle.path, frames, hop)
        found.rows.extend(
            ScoredClip(clip, clip_name(clip, root), windows.mean(axis=0), windows=windows)
            for clip, windows in zip(read, scores, strict=True)
        )
        progress(len(batch))
    return found


def _batches(clips: Sequence[Clip]) -> list[Sequence[Clip]]:
    return [clips[begin : begin + CLIPS_AT_ONCE] for begin in range(0, len(clips), CLIPS_AT_ONCE)]


def _read(clips: Sequence[Clip], load: Callable[[Clip], T], found: ClipScores) -> tuple[list[Clip], list[T]]:
    read, loaded = [], []
    for clip in clips:
        try:
            loaded.append(load(clip))
        except SourceError as error:
            found.skipped[clip.path] = str(error)
        else:
            read.append(clip)
    return read, loaded
