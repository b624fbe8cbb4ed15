"""Make a run with everything that follows training: the int8 test and the stages of quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from edgehar_training.quantize.convert import convert_run
from edgehar_training.quantize.options import ConvertOptions
from edgehar_training.quantize.stage_comparison import compare_stages
from edgehar_training.quantize.stages import KEY, stage_config
from edgehar_training.runs import report
from edgehar_training.runs.run import BUNDLE_FILE, METRICS_FILE, Run
from edgehar_training.scoring.clips import Result, score_bundle
from edgehar_training.scoring.run_metrics import part_metrics, truth_of
from edgehar_training.training.train_run import train_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.datasets.splits import Split
    from edgehar_training.runs.run import RunConfig
    from edgehar_training.training.options import RunOptions


def make_run(folder: Path, config: RunConfig, clips: Sequence[Clip], split: Split, options: RunOptions) -> None:
    """Train a run, and convert and compare it as the options say. Work that is already done is not repeated.

    Args:
        folder: folder of the run; created if missing.
        config: all settings.
        clips: the data set.
        split: which clips are in which part.
        options: how to make the run.

    Raises:
        ConfigError: the folder holds a run with other settings.
        EdgeharError: training or conversion failed.
    """
    run = train_run(folder, config, clips, split, options)
    if options.int8:
        add_int8(run)
    if options.qat:
        add_stages(run, clips, split, bar=options.bar)


def add_int8(run: Run) -> None:
    """Convert the network of a finished run and add the test of its int8 bundle to its metrics, unless it is there."""
    metrics = report.read_metrics(run.path / METRICS_FILE)
    if "int8" not in metrics:
        metrics["int8"] = _int8_metrics(run)
        report.write_metrics(run.path / METRICS_FILE, metrics)


def add_stages(run: Run, clips: Sequence[Clip], split: Split, *, bar: bool) -> None:
    """Fine-tune a finished run in float and with fake quantization, and add the comparison to its metrics."""
    from edgehar_training.training.options import RunOptions

    metrics = report.read_metrics(run.path / METRICS_FILE)
    if KEY in metrics:
        return
    stages: tuple[Literal["finetune", "qat"], ...] = ("finetune", "qat")
    for stage in stages:
        config = stage_config(run.config, stage)
        train_run(run.path / stage, config, clips, split, RunOptions(resume=True, bar=bar))
    metrics[KEY] = compare_stages(run, metrics)
    report.write_metrics(run.path / METRICS_FILE, metrics)


def _int8_metrics(run: Run) -> dict[str, Any]:
    part: Literal["val", "test"] = "test" if run.clips("test") else "val"
    bundle = run.path / BUNDLE_FILE
    convert_run(run.path, bundle, ConvertOptions(max_drop=None, stage="ptq"))
    clips = run.clips(part)
    windows = score_bundle(bundle, [run.device_clip(clip) for clip in clips])
    return {"part": part, **part_metrics(run, clips, Result(truth_of(run.config, clips), windows))}
