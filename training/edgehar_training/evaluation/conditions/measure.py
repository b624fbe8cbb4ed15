"""Which bundles are measured on which clips, and how they are scored under each condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from edgehar.errors import ConfigError, DatasetError
from edgehar.model.bundle import ModelBundle
from edgehar_training.evaluation.conditions.changes import RECORDED
from edgehar_training.evaluation.conditions.scoring import Task, score_conditions
from edgehar_training.evaluation.evaluated import (
    Subject,
    all_read,
    bundle_part_subject,
    bundle_subject,
    clips_for_bundle,
    describe_data,
    leak_warnings,
)
from edgehar_training.evaluation.scored import Row, Scored, clip_name
from edgehar_training.evaluation.stored import check_same, runs_in
from edgehar_training.runs.run import BUNDLE_FILE, METRICS_FILE, load_run

if TYPE_CHECKING:
    from edgehar_training.data.datasets import Clip
    from edgehar_training.evaluation.conditions.changes import Condition
    from edgehar_training.evaluation.evaluated import Part
    from edgehar_training.runs.run import Run
    from edgehar_training.settings import DataSettings

Skipped: TypeAlias = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class BundleClips:
    """A bundle and the clips it is measured on.

    Attributes:
        bundle: the bundle.
        clips: which.
        root: the folder of the data set.
        seed: of its run, where it is of one.
        fold: of its run.
    """

    bundle: ModelBundle
    clips: Sequence[Clip]
    root: Path | None
    seed: int | None = None
    fold: int | None = None


@dataclasses.dataclass(frozen=True)
class Bench:
    """What is measured, and how to speak of it.

    Attributes:
        tested: bundles with their clips.
        subject: what was evaluated, given rows of clips as recorded and why others could not be read.
    """

    tested: Sequence[BundleClips]
    subject: Callable[[list[Row], dict[str, str]], Subject]

    @property
    def videos(self) -> int:
        """How many videos have to be decoded."""
        return len({clip.path for tested in self.tested for clip in tested.clips})


@dataclasses.dataclass(frozen=True)
class Measured:
    """Clips under every condition.

    Attributes:
        subject: what was evaluated, with the clips as recorded.
        scored: the same clips by condition, as recorded among them.
    """

    subject: Subject
    scored: dict[Condition, Scored]


def bench_of_runs(folder: Path, part: Part) -> Bench:
    """The int8 bundles of a run, or of all folds and seeds under a folder, each on its own part of the split.

    Raises:
        ConfigError: the folder holds no run, or its frames are not chosen as a device does.
        DatasetError: no run is finished, one has no bundle, or they differ in labels or splits.
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
        warnings.append(f"the {part} part is not unseen: the figures are too good")
    first = runs[0].config

    def subject(rows: list[Row], skipped: dict[str, str]) -> Subject:
        return Subject(
            target=str(folder),
            network=f"int8 {first.network.title}",
            data=f"{part} part of {describe_data(first.data.dataset, first.data.folder)}",
            protocol=first.protocol,
            scored=Scored(first.labels, all_read(rows, skipped)),
            includes_training_clips="yes" if part == "train" else "no",
            warnings=warnings,
            folders=done,
            seed=first.split.seed if len(done) == 1 else 0,
        )

    return Bench(tested, subject)


def bench_of_bundle_part(bundle: ModelBundle, run: Run, part: Part) -> Bench:
    """A bundle on a part of the split of the run that it was converted from.

    Raises:
        ConfigError: the run's frames are not chosen as a device does.
        DatasetError: the labels or the frame size are not the run's, or the part has no clip.
    """
    _check_streamed(run)
    tested = BundleClips(bundle, clips_for_bundle(bundle, run, part), _root(run.config.data))
    return Bench([tested], lambda rows, skipped: bundle_part_subject(bundle, run, part, all_read(rows, skipped)))


def bench_of_bundle(bundle: ModelBundle, data: DataSettings, clips: Sequence[Clip]) -> Bench:
    """A bundle on the clips of a data set."""
    return Bench(
        [BundleClips(bundle, clips, _root(data))], lambda rows, skipped: bundle_subject(bundle, data, rows, skipped)
    )


def measure(
    bench: Bench, conditions: Sequence[Condition], hop: int, progress: Callable[[], object], jobs: int | None = None
) -> Measured:
    """Score all clips under all conditions.

    Args:
        bench: what is measured.
        conditions: which; as recorded must be one of them.
        hop: frames between windows.
        progress: called after each video.
        jobs: processes at most; as many as there are cores when None.

    Raises:
        DatasetError: the bundles do not see frames of one kind, or clips cannot be read.
    """
    _check_alike(bench.tested)
    tasks, numbers = _tasks(bench.tested)
    found, skipped = score_conditions(tasks, conditions, hop, progress, jobs)
    rows: dict[Condition, list[Row]] = {condition: [] for condition in conditions}
    for tested in bench.tested:
        for clip in tested.clips:
            number = numbers[_key(clip, tested)]
            task = tasks[number]
            place = task.bundles.index(str(tested.bundle.path))
            for condition, own in rows.items():
                if (scores := found[condition.name][number]) is not None:
                    own.append(Row(clip, task.name, scores[place], tested.seed, tested.fold))
    subject = bench.subject(rows[RECORDED], skipped)
    labels = subject.scored.labels
    return Measured(subject, {condition: Scored(labels, own) for condition, own in rows.items()})


def _tested(run: Run, part: Part) -> BundleClips:
    _check_streamed(run)
    path = run.path / BUNDLE_FILE
    if not path.exists():
        raise DatasetError(
            f"{run.path}: holds no {BUNDLE_FILE}; make it with edgehar-train --resume --int8, or convert the run with "
            "edgehar-convert and give that bundle with --run"
        )
    bundle = ModelBundle.open(path)
    return BundleClips(
        bundle, clips_for_bundle(bundle, run, part), _root(run.config.data), run.config.split.seed, run.config.fold
    )


def _check_streamed(run: Run) -> None:
    if (sampling := run.config.network.sampling) != "consecutive":
        raise ConfigError(
            f"{run.path}: its windows are {sampling} frames of whole clips, and --conditions are measured on streams; "
            "train with --sampling consecutive"
        )


def _check_alike(tested: Sequence[BundleClips]) -> None:
    """What was changed and shrunk once must be what every bundle sees."""
    first = tested[0].bundle
    for other in (one.bundle for one in tested[1:]):
        kinds = [(b.manifest.input.height, b.manifest.input.width, b.manifest.input.crop) for b in (first, other)]
        if kinds[0] != kinds[1] or first.manifest.temporal.rate_hz != other.manifest.temporal.rate_hz:
            raise DatasetError(f"{first.path} and {other.path} see frames of another size, crop or rate")


def _tasks(tested: Sequence[BundleClips]) -> tuple[list[Task], dict[tuple[str, ...], int]]:
    """Each clip once, with all bundles that it is measured by, and where it is in the list."""
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
