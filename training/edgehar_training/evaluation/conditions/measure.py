"""Choose the bundles and clips to measure, and score them under each condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError, DatasetError
from edgehar.inspect import trial
from edgehar.model.bundle import ModelBundle
from edgehar_training.data.datasets import describe_data
from edgehar_training.evaluation.conditions.changes import RECORDED
from edgehar_training.evaluation.conditions.scoring import Task, score_conditions
from edgehar_training.evaluation.evaluate import clips_for_bundle, evaluated_bundle, evaluated_bundle_part
from edgehar_training.evaluation.evaluated import Evaluated, leak_warnings
from edgehar_training.evaluation.score_clips import ClipScores
from edgehar_training.evaluation.scored import ScoredClip, ScoredClips, clip_name
from edgehar_training.evaluation.stored import check_same, runs_in
from edgehar_training.runs.run import BUNDLE_FILE, METRICS_FILE, load_run

if TYPE_CHECKING:
    from edgehar_training.data.datasets import Clip
    from edgehar_training.evaluation.conditions.changes import Condition
    from edgehar_training.evaluation.evaluated import Part
    from edgehar_training.runs.run import Run
    from edgehar_training.settings import DataSettings


@dataclasses.dataclass(frozen=True)
class BundleClips:
    """A bundle and the clips to measure it on.

    Attributes:
        bundle: the bundle.
        clips: the clips.
        root: folder of the data set.
        seed: seed of its run, if the bundle belongs to a run.
        fold: fold of its run.
    """

    bundle: ModelBundle
    clips: Sequence[Clip]
    root: Path | None
    seed: int | None = None
    fold: int | None = None


@dataclasses.dataclass(frozen=True)
class Bench:
    """The bundles to measure, and how to describe the result.

    Attributes:
        tested: bundles with their clips.
        evaluate: makes the evaluation from the scores of the clips as recorded.
    """

    tested: Sequence[BundleClips]
    evaluate: Callable[[ClipScores], Evaluated]

    @property
    def videos(self) -> int:
        """Number of videos to decode."""
        return len({clip.path for tested in self.tested for clip in tested.clips})


@dataclasses.dataclass(frozen=True)
class Measured:
    """Clips under every condition.

    Attributes:
        evaluated: the evaluation of the clips as recorded.
        scored: the clips by condition; the condition "as recorded" is one of them.
    """

    evaluated: Evaluated
    scored: dict[Condition, ScoredClips]


def bench_of_runs(folder: Path, part: Part) -> Bench:
    """Return the int8 bundles of a run, or of all folds and seeds in a folder, each with its own part of the split.

    Raises:
        ConfigError: the folder holds no run, or its windows are not sampled as on a device.
        DatasetError: no run is finished, a run has no bundle, or the runs differ in labels or splits.
    """
    folders = runs_in(folder)
    done = [path for path in folders if (path / METRICS_FILE).exists()]
    if not done:
        raise DatasetError(f"{folder}: its training is not finished; continue it with edgehar-train --resume")
    runs = [load_run(path) for path in done]
    check_same(folder, [run.config for run in runs])
    tested = [_tested(run, part) for run in runs]
    warnings = list(dict.fromkeys(text for run in runs for text in leak_warnings(run, part)))
    if len(done) < len(folders):
        warnings.append(f"{len(done)} of {len(folders)} runs are finished; the others are missing from these figures")
    if part != "test":
        warnings.append(f"the {part} part was used in training: the figures are too high")
    first = runs[0].config

    def evaluate(found: ClipScores) -> Evaluated:
        return Evaluated(
            target=str(folder),
            network=f"int8 {first.network.title}",
            data=f"{part} part of {describe_data(first.data.dataset, first.data.folder)}",
            protocol=first.protocol,
            scored=ScoredClips(first.labels, found.all_rows()),
            includes_training_clips="yes" if part == "train" else "no",
            warnings=warnings,
            folders=done,
            seed=first.split.seed if len(done) == 1 else 0,
        )

    return Bench(tested, evaluate)


def bench_of_bundle_part(bundle: ModelBundle, run: Run, part: Part) -> Bench:
    """Return a bundle with a part of the split of the run that it was converted from.

    Raises:
        ConfigError: the windows of the run are not sampled as on a device.
        DatasetError: the labels or the frame size differ from those of the run, or the part has no clip.
    """
    _check_streamed(run)
    tested = BundleClips(bundle, clips_for_bundle(bundle, run, part), _root(run.config.data))
    return Bench([tested], lambda found: evaluated_bundle_part(bundle, run, part, found))


def bench_of_bundle(bundle: ModelBundle, data: DataSettings, clips: Sequence[Clip]) -> Bench:
    """Return a bundle with the clips of a data set."""
    return Bench([BundleClips(bundle, clips, _root(data))], lambda found: evaluated_bundle(bundle, data, found))


def measure(
    bench: Bench, conditions: Sequence[Condition], hop: int, progress: Callable[[], object], jobs: int | None = None
) -> Measured:
    """Score all clips under all conditions.

    Args:
        bench: bundles with their clips.
        conditions: the conditions; one must be RECORDED.
        hop: frames between windows.
        progress: called after each video.
        jobs: largest number of processes; None uses one per core.

    Raises:
        DatasetError: the bundles take different frames, or a clip cannot be read.
    """
    _check_alike(bench.tested)
    tasks, numbers = _tasks(bench.tested)
    found, skipped = score_conditions(tasks, conditions, hop, progress, jobs)
    rows: dict[Condition, list[ScoredClip]] = {condition: [] for condition in conditions}
    for tested in bench.tested:
        for clip in tested.clips:
            number = numbers[_key(clip, tested)]
            task = tasks[number]
            place = task.bundles.index(str(tested.bundle.path))
            for condition, own in rows.items():
                if (scores := found[condition.name][number]) is not None:
                    own.append(ScoredClip(clip, task.name, scores[place], tested.seed, tested.fold))
    evaluated = bench.evaluate(ClipScores(rows[RECORDED], skipped))
    labels = evaluated.scored.labels
    return Measured(evaluated, {condition: ScoredClips(labels, own) for condition, own in rows.items()})


def _tested(run: Run, part: Part) -> BundleClips:
    _check_streamed(run)
    path = run.path / BUNDLE_FILE
    if not path.exists():
        raise DatasetError(
            f"{run.path}: holds no {BUNDLE_FILE}; make it with edgehar-train --resume --int8, or convert the run with "
            "edgehar-convert and give that bundle with --run"
        )
    bundle = trial.open_bundle(path)
    return BundleClips(
        bundle, clips_for_bundle(bundle, run, part), _root(run.config.data), run.config.split.seed, run.config.fold
    )


def _check_streamed(run: Run) -> None:
    if (sampling := run.config.network.sampling) != "consecutive":
        raise ConfigError(
            f"{run.path}: samples {sampling} frames of whole clips, but --conditions measures streams; train with "
            "--sampling consecutive"
        )


def _check_alike(tested: Sequence[BundleClips]) -> None:
    """Check that all bundles take the same frames, because each frame is changed and resized once for all."""
    first = tested[0].bundle
    for other in (one.bundle for one in tested[1:]):
        kinds = [(b.manifest.input.source_size, b.manifest.input.crop) for b in (first, other)]
        if kinds[0] != kinds[1] or first.manifest.temporal.rate_hz != other.manifest.temporal.rate_hz:
            raise DatasetError(f"{first.path} and {other.path} take frames of different size, crop or rate")


def _tasks(tested: Sequence[BundleClips]) -> tuple[list[Task], dict[tuple[str, ...], int]]:
    """Return each clip once, with all bundles that score it, and the index of each clip."""
    tasks: list[Task] = []
    numbers: dict[tuple[str, ...], int] = {}
    for one in tested:
        for clip in one.clips:
            key = _key(clip, one)
            if key not in numbers:
                numbers[key] = len(tasks)
                tasks.append(Task(clip, key[0], []))
            tasks[numbers[key]].bundles.append(str(one.bundle.path))
    return tasks, numbers


def _key(clip: Clip, tested: BundleClips) -> tuple[str, ...]:
    return clip_name(clip, tested.root), clip.path, clip.label


def _root(data: DataSettings) -> Path | None:
    return None if data.folder is None else Path(data.folder)
