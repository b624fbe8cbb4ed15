"""Evaluate a run on its own split or on other clips, or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.errors import DatasetError
from edgehar_training.data.datasets import describe_data
from edgehar_training.data.frames_cache import cache_of, default_folder
from edgehar_training.evaluation.evaluated import (
    Evaluated,
    foreign_protocol,
    leak_warnings,
    may_be_same,
    trained_on_warnings,
)
from edgehar_training.evaluation.score_clips import score_with_bundle, score_with_run
from edgehar_training.evaluation.scored import ScoredClips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar.model.bundle import ModelBundle
    from edgehar_training.data.datasets import Clip
    from edgehar_training.evaluation.evaluated import Part, TrainedOn
    from edgehar_training.evaluation.score_clips import ClipScores, Progress
    from edgehar_training.evaluation.scored import ScoredClip
    from edgehar_training.runs.run import Run
    from edgehar_training.settings import DataSettings


def evaluate_part(run: Run, part: Part, hop: int, progress: Progress) -> Evaluated:
    """Evaluate the float network of a run on a part of its own split.

    Raises:
        DatasetError: the run is not finished, the part has no clip, or a clip cannot be read.
    """
    clips = run.clips(part)
    if not clips:
        have = ", ".join(name for name in ("train", "val", "test") if run.clips(name))
        raise DatasetError(f"{run.path}: the {part} part has no clip; choose another --part ({have})")
    warnings = leak_warnings(run, part)
    if part == "train":
        warnings.append("the network was trained on these clips: the figures do not hold for unseen clips")
    if part == "val":
        warnings.append("these clips chose the best epoch: the figures are slightly too high")
    rows = score_with_run(run, clips, _root(run.config.data), hop, progress).all_rows()
    return Evaluated(
        target=str(run.path),
        network=f"float {run.config.network.title}",
        data=f"{part} part of {describe_data(run.config.data.dataset, run.config.data.folder)}",
        protocol=run.config.protocol,
        scored=ScoredClips(run.config.labels, rows),
        includes_training_clips="yes" if part == "train" else "no",
        warnings=warnings,
        folders=[run.path],
        seed=run.config.split.seed,
    )


def evaluate_run_on(run: Run, data: DataSettings, clips: Sequence[Clip], hop: int, progress: Progress) -> Evaluated:
    """Evaluate the float network of a run on the clips of another folder, or on all its own clips.

    Raises:
        DatasetError: the run is not finished, or no clip can be read.
    """
    seen = {_identity(clip) for part in ("train", "val") for clip in run.clips(part)}
    known = sum(_identity(clip) in seen for clip in clips)
    trained_on: TrainedOn = "yes" if known else may_be_same(run.config.data.dataset, data.dataset)
    found = score_with_run(run, clips, _root(data), hop, progress)
    return Evaluated(
        target=str(run.path),
        network=f"float {run.config.network.title}",
        data=describe_data(data.dataset, data.folder),
        protocol=", ".join(filter(None, [foreign_protocol(trained_on), run.config.frame_order.words])),
        scored=_known_and_unknown(run.config.labels, found.rows),
        includes_training_clips=trained_on,
        warnings=trained_on_warnings(trained_on, known, len(clips)) + found.warnings(),
        folders=[run.path],
        seed=run.config.split.seed,
    )


def evaluate_bundle(
    bundle: ModelBundle, data: DataSettings, clips: Sequence[Clip], hop: int, progress: Progress
) -> Evaluated:
    """Evaluate a bundle on clips, streamed as on a device.

    Raises:
        DatasetError: no clip can be read.
    """
    folder = default_folder() if data.cache is None else Path(data.cache)
    cache = cache_of(folder, bundle.manifest.input)
    return evaluated_bundle(bundle, data, score_with_bundle(bundle, clips, cache.load, _root(data), hop, progress))


def evaluated_bundle(bundle: ModelBundle, data: DataSettings, found: ClipScores) -> Evaluated:
    """Return the evaluation of a bundle from the scores of the clips of a data set.

    Raises:
        DatasetError: no clip could be read.
    """
    manifest, origin = bundle.manifest, bundle.manifest.provenance.dataset
    theirs = describe_data(data.dataset, data.folder)
    trained_kind = origin.rpartition("(")[2].rstrip(")") or origin
    trained_on: TrainedOn = "yes" if origin == theirs else may_be_same(trained_kind, data.dataset)
    why = f"the manifest says it was trained on {origin}"
    return Evaluated(
        target=str(bundle.path),
        network=f"int8 bundle {manifest.name}",
        data=theirs,
        protocol=foreign_protocol(trained_on),
        scored=_known_and_unknown(manifest.labels, found.rows),
        includes_training_clips=trained_on,
        warnings=found.warnings() + trained_on_warnings(trained_on, None, found.clips, why),
    )


def evaluate_bundle_part(bundle: ModelBundle, run: Run, part: Part, hop: int, progress: Progress) -> Evaluated:
    """Evaluate a bundle on a part of the split of the run that it was converted from.

    Raises:
        DatasetError: the labels differ from those of the run, the part has no clip, or a clip cannot be read.
    """
    clips = clips_for_bundle(bundle, run, part)
    found = score_with_bundle(bundle, clips, run.device_clip, _root(run.config.data), hop, progress)
    return evaluated_bundle_part(bundle, run, part, found)


def clips_for_bundle(bundle: ModelBundle, run: Run, part: Part) -> list[Clip]:
    """Return the clips of a part of the split of a run, for a bundle that was converted from the run.

    Raises:
        DatasetError: the labels or the frame size differ from those of the run, or the part has no clip.
    """
    if bundle.manifest.labels != run.config.labels:
        raise DatasetError(
            f"{bundle.path}: its labels are {', '.join(bundle.manifest.labels)}, the labels of {run.path} are "
            f"{', '.join(run.config.labels)}; give the run it was converted from, or --data"
        )
    size, shape = run.config.network.size, bundle.manifest.input
    if (shape.height, shape.width) != (size, size):
        raise DatasetError(
            f"{bundle.path}: takes frames of {shape.height}x{shape.width}, {run.path} of {size}x{size}; give the run "
            "it was converted from, or --data"
        )
    clips = run.clips(part)
    if not clips:
        raise DatasetError(f"{run.path}: the {part} part has no clip; choose another --part")
    return clips


def evaluated_bundle_part(bundle: ModelBundle, run: Run, part: Part, found: ClipScores) -> Evaluated:
    """Return the evaluation of a bundle from the scores of all clips of a part of the split of a run.

    Raises:
        DatasetError: a clip could not be read.
    """
    warnings = leak_warnings(run, part)
    warnings.append(f"assuming the bundle was converted from {run.path} (not checked); using the split of that run")
    if part != "test":
        warnings.append(f"the {part} part was used in training: the figures are too high")
    return Evaluated(
        target=str(bundle.path),
        network=f"int8 bundle {bundle.manifest.name}",
        data=f"{part} part of {describe_data(run.config.data.dataset, run.config.data.folder)}",
        protocol=run.config.protocol,
        scored=ScoredClips(run.config.labels, found.all_rows()),
        includes_training_clips="yes" if part == "train" else "no",
        warnings=warnings,
        seed=run.config.split.seed,
    )


def _known_and_unknown(labels: list[str], rows: list[ScoredClip]) -> ScoredClips:
    known = [row for row in rows if row.clip.label in labels]
    return ScoredClips(labels, known, [row for row in rows if row.clip.label not in labels])


def _root(data: DataSettings) -> Path | None:
    return None if data.folder is None else Path(data.folder)


def _identity(clip: Clip) -> tuple[str, float | None, float | None]:
    path = Path(clip.path)
    return (str(path.resolve()) if path.exists() else clip.path), clip.start_s, clip.end_s
