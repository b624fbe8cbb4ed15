"""Make runs of fused networks, in folders like those of `edgehar-train`."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConfigError
from edgehar.files import whole_file, write_text
from edgehar_training.data.datasets.splits import Split
from edgehar_training.fusion.features import equalize, size_of
from edgehar_training.fusion.network import fused
from edgehar_training.fusion.parts import PARTS_FILE, check_head, check_parts, described, fused_config, matched
from edgehar_training.quantize.stages import check_stages
from edgehar_training.runs import report
from edgehar_training.runs.run import BEST_FILE, CONFIG_FILE, METRICS_FILE, SPLITS_FILE, Run
from edgehar_training.scoring.clips import Result, in_chunks, score_streams
from edgehar_training.scoring.run_metrics import part_metrics, truth_of
from edgehar_training.training.after_run import add_int8, add_stages
from edgehar_training.training.experiment import say_done, write_pooled
from edgehar_training.training.train_run import draw_test

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.runs.run import RunConfig
    from edgehar_training.settings.quantize import HeadKind

log = logging.getLogger(__name__)

# Number of validation clips whose first windows give the size of features.
SIZED_CLIPS = 32


def fuse_runs(
    folders: Sequence[Path], out: Path, *, int8: bool, resume: bool, qat: bool = False, head: HeadKind | None = None
) -> dict[str, Any]:
    """Fuse the networks of several experiments, fold by fold and seed by seed.

    Args:
        folders: two or more folders that `edgehar-train` wrote.
        out: output folder; created.
        int8: also convert every network and test the int8 bundle.
        resume: do not repeat finished runs in `out`, except for a missing int8 test.
        qat: also fine-tune the head of every network in float and with fake quantization, and compare.
        head: head of the int8 files; None takes the setting of the first run.

    Returns:
        The content of `metrics.json` of `out`.

    Raises:
        ConfigError: the runs do not fit each other, or `out` has other content.
        DatasetError: a run or its clips cannot be read.
        EdgeharError: conversion failed.
    """
    runs = matched(folders)
    if not resume and out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty; continue it with --resume, or give another --out")
    for place, parts in runs.items():
        config = fused_config(parts, head)
        if int8 or qat:
            config.check_device()
        if qat:
            check_stages(config)
        if (out / place / CONFIG_FILE).exists():
            check_parts(out / place, parts)
            check_head(out / place, config)
    made = []
    for place, parts in runs.items():
        if not (out / place / METRICS_FILE).exists():
            _fuse_run(out / place, parts, fused_config(parts, head))
        run = Run(out / place, fused_config(parts, head))
        if int8:
            add_int8(run)
        if qat:
            add_stages(run, *_split_of(run), bar=False)
        say_done(run.path)
        made.append(run)
    if made[0].path == out:
        return report.read_metrics(out / METRICS_FILE)
    return write_pooled(out, [(run.path, run.config) for run in made])


def _split_of(run: Run) -> tuple[list[Clip], Split]:
    """Return the clips of a run, and the indices of each part."""
    parts = [run.clips(part) for part in ("train", "val", "test")]
    ends = np.cumsum([len(part) for part in parts])
    split = Split(*([*range(end - len(part), end)] for part, end in zip(parts, ends, strict=True)))
    return [clip for part in parts for clip in part], split


def _fuse_run(folder: Path, parts: Sequence[Run], config: RunConfig) -> None:
    """Make one run. Its metrics are written last, because a run with metrics counts as finished."""
    from edgehar_training.training.fit import save_model

    started_s = time.monotonic()
    models = [part.model() for part in parts]
    factors = equalize(models, _sizes(models, parts[0]))
    model = fused(models, [str(part.path) for part in parts])
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PARTS_FILE, json.dumps(described(parts, factors), indent=2) + "\n")
    with whole_file(folder / SPLITS_FILE) as temporary:
        temporary.write_bytes((parts[0].path / SPLITS_FILE).read_bytes())
    write_text(folder / "labels.txt", "".join(f"{label}\n" for label in config.labels))
    save_model(model, folder / BEST_FILE)
    config.write(folder)
    run = Run(folder, config)
    clips = {part: run.clips(part) for part in ("train", "val", "test")}
    metrics: dict[str, Any] = {
        "protocol": config.protocol,
        "seed": config.split.seed,
        "fold": config.fold,
        "parts": {part: len(found) for part, found in clips.items()},
        "skipped": config.skipped,
    }
    for part in ("val", "test"):
        if clips[part]:
            metrics[part] = part_metrics(run, clips[part], _scored(run, model, clips[part]))
    metrics["seconds"] = round(time.monotonic() - started_s, 1)
    draw_test(run, metrics)
    report.write_metrics(folder / METRICS_FILE, metrics)


def _sizes(models: Sequence[keras.Model], run: Run) -> list[float]:
    """Return the size of the features of each network, on windows of validation clips."""
    clips = (run.clips("val") or run.clips("train"))[:SIZED_CLIPS]
    frames = np.concatenate([run.stream(clip)[: run.config.network.window] for clip in clips])
    return [size_of(in_chunks(model.get_layer("encoder"), frames, run.preprocessor)) for model in models]


def _scored(run: Run, model: keras.Model, clips: Sequence[Clip]) -> Result:
    streams: list[npt.NDArray[np.int8]] = [run.stream(clip) for clip in clips]
    network = run.config.network
    windows = score_streams(
        model, run.preprocessor, streams, network.window, order=run.config.frame_order, lead_in=network.lead_in
    )
    return Result(truth_of(run.config, clips), windows)
