"""The three int8 versions of a float run: as trained, fine-tuned in float, and trained with fake quantization (QAT).

The fine-tuned version is the control for QAT: both take the same number of steps from the same weights with the same
seed, so a gain of QAT over fine-tuning comes from quantization and not from longer training.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgehar.errors import ConfigError, DatasetError
from edgehar.files import write_text
from edgehar_training.runs import report
from edgehar_training.runs.run import METRICS_FILE, Run, RunConfig, load_run
from edgehar_training.settings.network import FUSED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgehar_training.quantize.ranges import Limits

Stage = Literal["ptq", "finetune", "qat"]
# In order of preference when several are equally good: the stage with the least training first.
STAGES: tuple[Stage, ...] = ("ptq", "finetune", "qat")
WORDS = {
    "float": "float",
    "ptq": "quantized after training (PTQ)",
    "finetune": "fine-tuned in float, then quantized",
    "qat": "fine-tuned with fake quantization (QAT)",
}
RANGES_FILE = "ranges.json"
# The entry of `metrics.json` that holds the comparison of the stages.
KEY = "quantization"


def check_stages(config: RunConfig) -> None:
    """Check that a run with these settings can be trained with fake quantization.

    Raises:
        ConfigError: the head does not support it.
    """
    if config.quantize.head == "fused":
        raise ConfigError("--head fused does not support --qat; use --head unrolled or float")


def stage_folder(run: Path, stage: Stage) -> Path:
    """Return the folder of a stage: the folder of the float run, or a folder inside it."""
    return run if stage == "ptq" else run / stage


def stage_config(config: RunConfig, stage: Literal["finetune", "qat"]) -> RunConfig:
    """Return the settings of a stage: the settings of the float run with the epochs and learning rate of QAT.

    Early stopping is off, so that both stages take the same number of steps; the best epoch is kept. A frozen layer
    stays frozen because the saved network says so. A fused network was never trained, so its settings say it.
    """
    fit = msgspec.structs.replace(
        config.fit,
        epochs=config.quantize.qat_epochs,
        learning_rate=config.quantize.qat_learning_rate,
        patience=0,
        init_from=None,
        freeze=config.fit.freeze if config.network.model == FUSED else [],
        precision="float32",
        jit=False,
    )
    return msgspec.structs.replace(config, fit=fit, stage=stage)


def write_ranges(run: Run, limits: Mapping[str, Limits]) -> None:
    """Write the ranges that a QAT run learned."""
    write_text(run.path / RANGES_FILE, json.dumps(dict(limits), indent=1) + "\n")


def read_ranges(run: Run) -> dict[str, Limits] | None:
    """Read the ranges that a QAT run learned. Returns None for any other run.

    Raises:
        DatasetError: the file cannot be read.
    """
    if run.config.stage != "qat":
        return None
    path = run.path / RANGES_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[float, float]])
    except (OSError, msgspec.DecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); finish the run with edgehar-train --resume") from error


def chosen_stage(run: Run, wanted: Stage | None) -> tuple[Run, Stage, str]:
    """Return the run to convert.

    Args:
        run: a float run, or the run of one stage.
        wanted: the stage; None chooses the best one.

    Returns:
        The run, its stage, and the reason for the choice.

    Raises:
        DatasetError: the stage was not trained, or the metrics cannot be read.
    """
    if run.config.stage != "float":
        return run, run.config.stage, "it was asked for"
    known: dict[str, Any] = {}
    if (run.path / METRICS_FILE).exists():
        known = report.read_metrics(run.path / METRICS_FILE).get(KEY, {})
    if wanted is None:
        if not known:
            return run, "ptq", ""
        stage, why = known["best"], known["why"]
    else:
        stage, why = wanted, "it was asked for"
    if stage == "ptq":
        return run, stage, why
    folder = stage_folder(run.path, stage)
    if not folder.is_dir():
        raise DatasetError(f"{run.path}: stage {stage} was not trained; run edgehar-train with --qat --resume")
    return load_run(folder), stage, why
