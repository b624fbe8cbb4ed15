"""Match the runs to fuse, check that they fit, and record where they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.evaluation.stored import runs_in
from edgehar_training.runs.report import read_metrics
from edgehar_training.runs.run import BEST_FILE, CONFIG_FILE, METRICS_FILE, SPLITS_FILE, RunConfig, flat, load_run
from edgehar_training.settings.network import FUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar_training.runs.run import Run
    from edgehar_training.settings.quantize import HeadKind

PARTS_FILE = "parts.json"
# Settings that must be equal in all parts; each encoder scales colors in its own way.
SAME = (
    "labels", "protocol", "fold", "split.seed", "data.crop", "network.input", "network.motion_range", "network.flow",
    "network.looks", "network.crop_side", "network.stabilize", "network.steady_light", "network.size", "network.window",
    "network.rate_hz", "network.sampling", "network.frame_order",
)  # fmt: skip


def matched(folders: Sequence[Path]) -> dict[Path, list[Run]]:
    """Return the runs of each fold and seed, one from each folder, by the path of the run in its folder.

    Raises:
        ConfigError: a folder holds no run, others than the first does, or runs that cannot be fused with its.
        DatasetError: a run cannot be read, or is not finished.
    """
    first, *others = [_by_place(folder) for folder in folders]
    for folder, found in zip(folders[1:], others, strict=True):
        if odd := sorted(first.keys() ^ found.keys()):
            has, lacks = (folders[0], folder) if odd[0] in first else (folder, folders[0])
            raise ConfigError(
                f"{lacks}: has no run {odd[0]}, as {has} has; fuse runs with the same folds, seeds and folder layout"
            )
    runs = {place: [run, *(found[place] for found in others)] for place, run in first.items()}
    for group in runs.values():
        for run in group[1:]:
            _check_same(group[0], run)
    return runs


def _by_place(folder: Path) -> dict[Path, Run]:
    runs = [load_run(path) for path in runs_in(folder)]
    for run in runs:
        if run.config.network.model == FUSED:
            raise ConfigError(f"{run.path}: is itself made of several; give all its parts to one edgehar fuse")
        if not (run.path / METRICS_FILE).exists() or not (run.path / BEST_FILE).exists():
            raise DatasetError(f"{run.path}: its training is not finished; continue it with edgehar-train --resume")
    return {run.path.relative_to(folder): run for run in runs}


def _check_same(first: Run, other: Run) -> None:
    ours, theirs = flat(first.config), flat(other.config)
    for name in SAME:
        if ours[name] != theirs[name]:
            raise ConfigError(
                f"{other.path}: has {name} {theirs[name]!r}, {first.path} has {ours[name]!r}; networks are fused "
                "that see and tell the same"
            )
    if (first.path / SPLITS_FILE).read_bytes() != (other.path / SPLITS_FILE).read_bytes():
        raise ConfigError(
            f"{other.path}: has another {SPLITS_FILE} than {first.path}, so one of them was trained on clips that the "
            "other is tested on; train them on the same split"
        )


def fused_config(runs: Sequence[Run], head: HeadKind | None = None) -> RunConfig:
    """Return the settings of the fused network: those of the first run, except the options of the network.

    Trained on, it learns in its head only: there the parts meet, and features can be computed once.

    Args:
        runs: the parts.
        head: head of its int8 files; None takes the setting of the first run.
    """
    config = runs[0].config
    options: dict[str, Any] = {"parts": "+".join(run.config.network.model for run in runs)}
    for number, run in enumerate(runs, 1):
        options |= {f"part{number}.{name}": value for name, value in run.config.network.options.items()}
    network = msgspec.structs.replace(config.network, model=FUSED, options=options)
    return msgspec.structs.replace(
        config,
        network=network,
        fit=msgspec.structs.replace(config.fit, freeze=["encoder"]),
        augment=msgspec.structs.replace(config.augment, on=False),
        quantize=msgspec.structs.replace(config.quantize, head=head or config.quantize.head),
        stage="float",
    )


def described(runs: Sequence[Run], factors: Sequence[float]) -> list[dict[str, Any]]:
    """Return the content of `parts.json`: path, checksum, accuracy and settings of every part."""
    told = []
    for run, factor in zip(runs, factors, strict=True):
        metrics = read_metrics(run.path / METRICS_FILE)
        top1 = {part: metrics[part]["top1"] for part in ("val", "test") if part in metrics}
        told.append(
            {
                "run": str(run.path.resolve()),
                "sha256": checksum(run),
                "features_times": factor,
                "top1": top1,
                "config": json.loads((run.path / CONFIG_FILE).read_bytes()),
            }
        )
    return told


def checksum(run: Run) -> str:
    """Return the SHA-256 of the network of a run."""
    return hashlib.sha256((run.path / BEST_FILE).read_bytes()).hexdigest()


def check_parts(folder: Path, runs: Sequence[Run]) -> None:
    """Check that a resumed folder was fused from these runs, unchanged since.

    Raises:
        ConfigError: it was not.
        DatasetError: it cannot be read.
    """
    path = folder / PARTS_FILE
    if not path.exists():
        raise ConfigError(f"{folder}: was not made by edgehar fuse; give another --out")
    try:
        known = [part["sha256"] for part in json.loads(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error!r}); fuse into another --out") from error
    if known != [checksum(run) for run in runs]:
        raise ConfigError(f"{folder}: was fused of other networks than these; give the same ones or another --out")


def check_head(folder: Path, config: RunConfig) -> None:
    """Check that the files of a resumed folder have the head of these settings.

    Raises:
        ConfigError: they have another.
        DatasetError: it cannot be read.
    """
    before = load_run(folder).config.quantize.head
    if before != config.quantize.head:
        raise ConfigError(f"{folder}: has int8 files with --head {before}; give the same, or another --out")
