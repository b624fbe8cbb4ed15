"""Predictions that runs have stored, pooled over folds and seeds. They need neither networks nor clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets import Clip, describe_data
from edgehar_training.evaluation.evaluated import Evaluated, RunFigures, leak_warnings
from edgehar_training.evaluation.scored import ScoredClip, ScoredClips, clip_name
from edgehar_training.runs import report
from edgehar_training.runs.run import CONFIG_FILE, METRICS_FILE, RunConfig, load_run

if TYPE_CHECKING:
    from collections.abc import Sequence

Stored = Literal["test", "val", "int8"]


def runs_in(folder: Path) -> list[Path]:
    """Return the folder itself if it is a run, else the runs under it: folds and seeds of one experiment.

    The stages of a run (`quantize.stages`) lie in its folder and are not runs of their own.

    Raises:
        ConfigError: the folder holds no run.
    """
    if (folder / CONFIG_FILE).exists():
        return [folder]
    found = {path.parent for path in folder.glob(f"**/{CONFIG_FILE}")}
    if not found:
        raise ConfigError(f"{folder}: is neither a run of edgehar-train nor an .edgehar bundle; give one")
    return sorted((path for path in found if found.isdisjoint(path.parents)), key=_in_order)


def evaluate_stored(folder: Path, part: Stored) -> Evaluated:
    """Evaluate all runs of a folder from their stored predictions.

    Args:
        folder: a run, or a folder of folds or seeds.
        part: the part to evaluate; "int8" is the int8 bundle on the test part.

    Raises:
        ConfigError: the folder holds no run.
        DatasetError: no run is finished, the runs differ in labels or splits, or a run has no predictions of the part.
    """
    folders = runs_in(folder)
    done = [path for path in folders if (path / METRICS_FILE).exists()]
    if not done:
        raise DatasetError(f"{folder}: its training is not finished; continue it with edgehar-train --resume")
    loaded = [load_run(path) for path in done]
    configs = [run.config for run in loaded]
    check_same(folder, configs)
    first = configs[0]
    figures = [_figures(path, part) for path in done]
    # int8 is tested on the validation part if there is no test part.
    of: Literal["test", "val"] = "val" if part == "val" or figures[0].get("part") == "val" else "test"
    warnings = list(dict.fromkeys(text for run in loaded for text in leak_warnings(run, of)))
    if len(done) < len(folders):
        warnings.append(
            f"{len(done)} of {len(folders)} runs are finished; the others are missing from these figures "
            "(edgehar-train --resume)"
        )
    rows, runs = _gathered(done, configs, figures)
    if of == "val":
        warnings.append("these clips chose the best epoch: the figures are slightly too high")
    known = [run.window_top1 for run in runs if run.window_top1 is not None]
    return Evaluated(
        target=str(folder),
        network=f"{'int8' if part == 'int8' else 'float'} {first.network.title}",
        data=f"{of} part of {describe_data(first.data.dataset, first.data.folder)}",
        protocol=first.protocol,
        scored=ScoredClips(first.labels, rows),
        warnings=warnings,
        runs=runs,
        folders=done,
        window_top1=float(np.mean(known)) if len(known) == len(runs) else None,
        seed=first.split.seed if len(done) == 1 else 0,
    )


def _gathered(
    folders: Sequence[Path], configs: Sequence[RunConfig], figures: Sequence[dict[str, Any]]
) -> tuple[list[ScoredClip], list[RunFigures]]:
    rows: list[ScoredClip] = []
    runs = []
    for path, config, own in zip(folders, configs, figures, strict=True):
        try:
            rows += [_row(entry, config) for entry in own["predictions"]]
            top1, window_top1 = float(own["top1"]), own.get("window_top1")
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{path / METRICS_FILE}: its predictions cannot be read ({error!r}); train the run again"
            ) from error
        runs.append(RunFigures(str(path), config.split.seed, config.fold, len(own["predictions"]), top1, window_top1))
    return rows, runs


def check_same(folder: Path, configs: Sequence[RunConfig]) -> None:
    """Check that runs can be pooled.

    Raises:
        DatasetError: their labels or protocols differ, or two runs have the same seed and fold.
    """
    first = configs[0]
    for config in configs[1:]:
        if (config.labels, config.protocol) != (first.labels, first.protocol):
            raise DatasetError(
                f"{folder}: holds runs of different labels or splits ({first.protocol}; {config.protocol}); give one "
                "experiment, or compare them with edgehar compare"
            )
    if len({(config.split.seed, config.fold) for config in configs}) < len(configs):
        raise DatasetError(
            f"{folder}: holds several runs of the same seed and fold; give one experiment, or compare them with "
            "edgehar compare"
        )


def _figures(path: Path, part: Stored) -> dict[str, Any]:
    metrics = report.read_metrics(path / METRICS_FILE)
    figures: dict[str, Any] = metrics.get(part, {})
    if not figures.get("predictions"):
        have = [name for name in ("test", "val", "int8") if metrics.get(name, {}).get("predictions")]
        raise DatasetError(
            f"{path / METRICS_FILE}: has no {part} predictions, only {', '.join(have) or 'none'}"
            + ("; measure int8 with edgehar-train --resume --int8" if part == "int8" else "")
        )
    return figures


def _row(entry: dict[str, Any], config: RunConfig) -> ScoredClip:
    clip = Clip(entry["clip"], entry["label"], entry["group"], entry.get("start_s"), entry.get("end_s"))
    root = None if config.data.folder is None else Path(config.data.folder)
    scores = np.array(entry["scores"], np.float32)
    if entry["label"] not in config.labels or scores.shape != (len(config.labels),):
        raise ValueError(f"{entry['clip']}: label {entry['label']}, {scores.size} scores")
    return ScoredClip(clip, clip_name(clip, root), scores, config.split.seed, config.fold)


def _in_order(path: Path) -> list[tuple[str, int]]:
    """Return a sort key that puts `fold-2` before `fold-10`."""
    parts = (part.rpartition("-") for part in path.parts)
    return [(head, int(tail)) if tail.isdigit() else (f"{head}-{tail}", 0) for head, _, tail in parts]
