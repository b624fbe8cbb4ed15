"""What is evaluated: a run on its own split or other clips, all runs of an experiment, or a bundle."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from edgehar.errors import DatasetError, SourceError
from edgehar_training.data.frames_cache import FramesCache, default_folder
from edgehar_training.evaluation.scored import Row, Scored, clip_name
from edgehar_training.scoring.clips import score_bundle, score_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    import numpy as np
    import numpy.typing as npt

    from edgehar.model.bundle import ModelBundle
    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.frames_cache import SmallClip
    from edgehar_training.runs.run import Run, RunConfig
    from edgehar_training.settings import DataSettings

    Progress: TypeAlias = Callable[[int], object]

T = TypeVar("T")
Part = Literal["test", "val", "train"]
TrainedOn = Literal["no", "yes", "unknown"]
PARTS_BEFORE: dict[Part, tuple[Part, ...]] = {"test": ("train", "val"), "val": ("train",), "train": ()}
LEAKY = "LEAKY SPLIT"
CLIPS_AT_ONCE = 16
# Layouts that may hold any data; of the others, the layout says which data set it is.
ANY_DATA = frozenset({"folder", "csv"})
# UCF101 took over the videos of UCF50.
OVERLAPPING = frozenset({"ucf50", "ucf101"})


@dataclasses.dataclass(frozen=True)
class RunFigures:
    """One of several runs that are pooled: its folder, what it was of, and its own figures."""

    folder: str
    seed: int
    fold: int | None
    clips: int
    top1: float
    window_top1: float | None


@dataclasses.dataclass(frozen=True)
class Subject:
    """What was evaluated, and what must be said beside its figures.

    Attributes:
        target: as it was named on the command line.
        network: what kind of network, in words.
        data: which clips, in words.
        protocol: how training and these clips were kept apart, in words.
        scored: the clips with their scores.
        includes_training_clips: whether the network was trained on some of the clips.
        warnings: sentences that must be read before the figures are.
        runs: the runs that were pooled.
        folders: folders of the runs, whose training curves may be shown.
        window_top1: share of windows named rightly where the windows themselves were not kept.
        seed: of the bootstrap.
    """

    target: str
    network: str
    data: str
    protocol: str
    scored: Scored
    includes_training_clips: TrainedOn = "no"
    warnings: list[str] = dataclasses.field(default_factory=list)
    runs: list[RunFigures] = dataclasses.field(default_factory=list)
    folders: list[Path] = dataclasses.field(default_factory=list)
    window_top1: float | None = None
    seed: int = 0

    @property
    def leaky(self) -> bool:
        """Whether clips of one group were on both sides of the split."""
        return any(text.startswith(LEAKY) for text in self.warnings)


def evaluate_part(run: Run, part: Part, hop: int, progress: Progress) -> Subject:
    """The float network of a run on a part of its own split.

    Raises:
        DatasetError: the run is not finished, or the part has no clip that can be read.
    """
    clips = run.clips(part)
    if not clips:
        have = ", ".join(name for name in ("train", "val", "test") if run.clips(name))
        raise DatasetError(f"{run.path}: its {part} part has no clip; choose another --part ({have})")
    warnings = leak_warnings(run, part)
    if part == "train":
        warnings.append("the network was trained on these clips: the figures say nothing about unseen ones")
    if part == "val":
        warnings.append("these clips chose the epoch that was kept: the figures are a little too good")
    skipped: dict[str, str] = {}
    rows = all_read(_score_run(run, clips, _root(run.config), hop, progress, skipped), skipped)
    return Subject(
        target=str(run.path),
        network=f"float {run.config.network.title}",
        data=f"{part} part of {describe_data(run.config.data.dataset, run.config.data.folder)}",
        protocol=run.config.protocol,
        scored=Scored(run.config.labels, rows),
        includes_training_clips="yes" if part == "train" else "no",
        warnings=warnings,
        folders=[run.path],
        seed=run.config.split.seed,
    )


def evaluate_run_on(run: Run, data: DataSettings, clips: Sequence[Clip], hop: int, progress: Progress) -> Subject:
    """The float network of a run on clips of another folder, or on all of its own.

    Raises:
        DatasetError: the run is not finished, or none of its labels is among the clips'.
    """
    kind, root = data.dataset, None if data.folder is None else Path(data.folder)
    seen = {_identity(clip) for part in ("train", "val") for clip in run.clips(part)}
    known = sum(_identity(clip) in seen for clip in clips)
    trained_on: TrainedOn = "yes" if known else _may_be_same(run.config.data.dataset, kind)
    skipped: dict[str, str] = {}
    rows = _score_run(run, clips, root, hop, progress, skipped)
    return Subject(
        target=str(run.path),
        network=f"float {run.config.network.title}",
        data=describe_data(kind, root),
        protocol=", ".join(filter(None, [_foreign_protocol(trained_on), run.config.frame_order.words])),
        scored=_sorted_by_label(run.config.labels, rows),
        includes_training_clips=trained_on,
        warnings=_trained_on_warnings(trained_on, known, len(clips)) + _some_read(rows, skipped),
        folders=[run.path],
        seed=run.config.split.seed,
    )


def evaluate_bundle(
    bundle: ModelBundle, data: DataSettings, clips: Sequence[Clip], hop: int, progress: Progress
) -> Subject:
    """A bundle on clips, streamed as on the device.

    Raises:
        DatasetError: no clip can be read, or none of the bundle's labels is among the clips'.
    """
    root = None if data.folder is None else Path(data.folder)
    skipped: dict[str, str] = {}
    shape = bundle.manifest.input
    cache = FramesCache(
        default_folder() if data.cache is None else Path(data.cache), shape.height, shape.width, shape.crop
    )
    rows = _score_bundle(bundle, clips, cache.load, root, hop, progress, skipped)
    return bundle_subject(bundle, data, rows, skipped)


def bundle_subject(bundle: ModelBundle, data: DataSettings, rows: list[Row], skipped: dict[str, str]) -> Subject:
    """A bundle on clips that it has scored.

    Args:
        bundle: the bundle.
        data: what the clips are of.
        rows: the clips with their scores.
        skipped: why, for the path of every clip that cannot be read.

    Raises:
        DatasetError: there is no row.
    """
    manifest, origin = bundle.manifest, bundle.manifest.provenance.dataset
    theirs = describe_data(data.dataset, data.folder)
    trained_kind = origin.rpartition("(")[2].rstrip(")") or origin
    trained_on: TrainedOn = "yes" if origin == theirs else _may_be_same(trained_kind, data.dataset)
    warnings = _some_read(rows, skipped)
    clips = len(rows) + len(skipped)
    warnings += _trained_on_warnings(trained_on, None, clips, f"the manifest says it was trained on {origin}")
    return Subject(
        target=str(bundle.path),
        network=f"int8 bundle {manifest.name}",
        data=theirs,
        protocol=_foreign_protocol(trained_on),
        scored=_sorted_by_label(manifest.labels, rows),
        includes_training_clips=trained_on,
        warnings=warnings,
    )


def evaluate_bundle_part(bundle: ModelBundle, run: Run, part: Part, hop: int, progress: Progress) -> Subject:
    """A bundle on a part of the split of the run that it was converted from.

    Raises:
        DatasetError: the labels are not the run's, or the part has no clip.
    """
    clips = clips_for_bundle(bundle, run, part)
    skipped: dict[str, str] = {}
    rows = _score_bundle(bundle, clips, run.device_clip, _root(run.config), hop, progress, skipped)
    return bundle_part_subject(bundle, run, part, all_read(rows, skipped))


def clips_for_bundle(bundle: ModelBundle, run: Run, part: Part) -> list[Clip]:
    """The clips of a part of a run's split, for a bundle that was converted from the run.

    Raises:
        DatasetError: the labels or the frame size are not the run's, or the part has no clip.
    """
    if bundle.manifest.labels != run.config.labels:
        raise DatasetError(
            f"{bundle.path}: its labels are {', '.join(bundle.manifest.labels)}, those of {run.path} are "
            f"{', '.join(run.config.labels)}; give the run it was converted from, or --data"
        )
    size, shape = run.config.network.size, bundle.manifest.input
    if (shape.height, shape.width) != (size, size):
        raise DatasetError(
            f"{bundle.path}: sees frames of {shape.height}x{shape.width}, {run.path} of {size}x{size}; give the run it "
            "was converted from, or --data"
        )
    clips = run.clips(part)
    if not clips:
        raise DatasetError(f"{run.path}: its {part} part has no clip; choose another --part")
    return clips


def bundle_part_subject(bundle: ModelBundle, run: Run, part: Part, rows: list[Row]) -> Subject:
    """A bundle on all clips of a part of a run's split, which it has scored."""
    warnings = leak_warnings(run, part)
    warnings.append(f"that it was converted from {run.path}, whose split is used, is taken at your word")
    if part != "test":
        warnings.append(f"the {part} part is not unseen: the figures are too good")
    return Subject(
        target=str(bundle.path),
        network=f"int8 bundle {bundle.manifest.name}",
        data=f"{part} part of {describe_data(run.config.data.dataset, run.config.data.folder)}",
        protocol=run.config.protocol,
        scored=Scored(run.config.labels, rows),
        includes_training_clips="yes" if part == "train" else "no",
        warnings=warnings,
        seed=run.config.split.seed,
    )


def describe_data(kind: str, folder: Path | str | None) -> str:
    """A data set in words, as it stands in manifests: `clips (folder)`, or its kind where it has no folder."""
    return kind if folder is None else f"{Path(folder).resolve().name} ({kind})"


def leak_warnings(run: Run, part: Part) -> list[str]:
    """What must be said of a run's split: whether clips of one group are on both sides of it."""
    if part == "train":
        return []
    own = {clip.group for clip in run.clips(part)}
    shared = own & {clip.group for other in PARTS_BEFORE[part] for clip in run.clips(other)}
    if run.config.split.kind != "random" and not shared:
        return []
    what = "clips of one person, camera or recording were trained on and others of it tested on"
    return [f"{LEAKY}: {what}; the accuracy on anything new will be lower"]


def _may_be_same(trained: str, tested: str) -> TrainedOn:
    """Whether clips of one layout may be clips of another: only where a layout may hold any data, or it is the same."""
    if "synthetic" in (trained, tested) and trained != tested:
        return "no"
    if trained == tested or {trained, tested} == OVERLAPPING:
        return "unknown" if trained in ANY_DATA else "yes"
    return "unknown" if trained in ANY_DATA or tested in ANY_DATA else "no"


def _foreign_protocol(trained_on: TrainedOn) -> str:
    words = {
        "no": "other data than it was trained on",
        "yes": "includes training clips",
        "unknown": "may include training clips",
    }
    return words[trained_on]


def _trained_on_warnings(trained_on: TrainedOn, known: int | None, clips: int, why: str = "") -> list[str]:
    reason = f" ({why})" if why else ""
    if trained_on == "no":
        return []
    if trained_on == "unknown":
        return [f"MAY INCLUDE TRAINING CLIPS: it cannot be known that these clips were not trained on{reason}"]
    count = "" if known is None else f": {known} of {clips} clips were trained on or chose the epoch"
    return [f"INCLUDES TRAINING CLIPS{count}{reason}; this is no accuracy on unseen clips"]


def _sorted_by_label(labels: list[str], rows: list[Row]) -> Scored:
    known = [row for row in rows if row.clip.label in labels]
    return Scored(labels, known, [row for row in rows if row.clip.label not in labels])


def check_labels(labels: Sequence[str], clips: Sequence[Clip], model: str, *, allow_unknown: bool) -> None:
    """Make sure that the network knows the clips' labels.

    Raises:
        DatasetError: it knows none of them, or not all, and that is not allowed.
    """
    counts = Counter(clip.label for clip in clips)
    foreign = sorted(set(counts) - set(labels))
    if len(foreign) == len(counts) and not allow_unknown:
        raise DatasetError(
            f"{model} knows {_some(labels)}, and the clips are of {_some(foreign)}: no label is of both; name the "
            "clips' labels as the model does, or see what it answers to them with --allow-unknown"
        )
    if foreign and not allow_unknown:
        listed = _some([f"{label} ({counts[label]} clips)" for label in foreign])
        raise DatasetError(
            f"{model} does not know the label{'s'[: len(foreign) > 1]} {listed}; it knows {_some(labels)}; leave those "
            "clips out with --classes, or count them with --allow-unknown"
        )


def _some(names: Sequence[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:most])} and {more} more"


def _root(config: RunConfig) -> Path | None:
    return None if config.data.folder is None else Path(config.data.folder)


def _identity(clip: Clip) -> tuple[str, float | None, float | None]:
    path = Path(clip.path)
    return (str(path.resolve()) if path.exists() else clip.path), clip.start_s, clip.end_s


def _score_run(
    run: Run, clips: Sequence[Clip], root: Path | None, hop: int, progress: Progress, skipped: dict[str, str]
) -> list[Row]:
    model, config = run.model(), run.config
    rows = []
    for begin in range(0, len(clips), CLIPS_AT_ONCE):
        batch = clips[begin : begin + CLIPS_AT_ONCE]
        read, streams = _read(batch, run.stream, skipped)
        if read:
            scores = score_streams(model, run.preprocessor, streams, config.network.window, hop, config.frame_order)
            rows += [
                _row(clip, root, windows, config.split.seed, config.fold)
                for clip, windows in zip(read, scores, strict=True)
            ]
        progress(len(batch))
    return rows


def _score_bundle(
    bundle: ModelBundle,
    clips: Sequence[Clip],
    load: Callable[[Clip], SmallClip],
    root: Path | None,
    hop: int,
    progress: Progress,
    skipped: dict[str, str],
) -> list[Row]:
    rows = []
    for begin in range(0, len(clips), CLIPS_AT_ONCE):
        batch = clips[begin : begin + CLIPS_AT_ONCE]
        read, frames = _read(batch, load, skipped)
        scores = score_bundle(bundle.path, frames, hop)
        rows += [_row(clip, root, windows) for clip, windows in zip(read, scores, strict=True)]
        progress(len(batch))
    return rows


def _read(clips: Sequence[Clip], load: Callable[[Clip], T], skipped: dict[str, str]) -> tuple[list[Clip], list[T]]:
    read, loaded = [], []
    for clip in clips:
        try:
            loaded.append(load(clip))
        except SourceError as error:
            skipped[clip.path] = str(error)
        else:
            read.append(clip)
    return read, loaded


def all_read(rows: list[Row], skipped: dict[str, str]) -> list[Row]:
    """The rows of a split, of which no clip may be missing: the figures would be of another split."""
    if skipped:
        raise DatasetError(
            f"{next(iter(skipped.values()))}; put the {len(skipped)} missing clips of the run back, or show what it "
            "stored with --stored"
        )
    return rows


def _some_read(rows: list[Row], skipped: dict[str, str]) -> list[str]:
    """Warnings about clips of a folder that cannot be read."""
    if not rows:
        raise DatasetError(f"no clip can be read: {next(iter(skipped.values()))}")
    if not skipped:
        return []
    return [f"left out because they cannot be read: {len(skipped)} of the clips; {next(iter(skipped.values()))}"]


def _row(
    clip: Clip, root: Path | None, windows: npt.NDArray[np.float32], seed: int | None = None, fold: int | None = None
) -> Row:
    return Row(clip, clip_name(clip, root), windows.mean(axis=0), seed, fold, windows)
