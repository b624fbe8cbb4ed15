"""What more training makes of int8: the float run as it is, trained on in float, and trained on as int8.

Only the second says what the third is worth: both take the same steps from the same weights with the same seed.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from edgehar.errors import ConfigError, DatasetError
from edgehar.files import write_text
from edgehar_training.runs.run import BEST_FILE, Run, RunConfig, load_network, load_run
from edgehar_training.scoring.clips import Result, group_bootstrap
from edgehar_training.settings.network import FUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import keras

    from edgehar_training.quantize.fake_quant import FakeQuantization
    from edgehar_training.quantize.ranges import Limits

log = logging.getLogger(__name__)

Stage = Literal["ptq", "finetune", "qat"]
# In the order in which they are shipped where they are equally good: the one that is least trained first.
STAGES: tuple[Stage, ...] = ("ptq", "finetune", "qat")
WORDS = {
    "float": "float",
    "ptq": "float run, quantized after training",
    "finetune": "trained on in float, quantized after training",
    "qat": "trained on as int8",
}
RANGES_FILE = "ranges.json"
KEY = "quantization"


def check_stages(config: RunConfig) -> None:
    """Make sure that a run with these settings can be trained on as int8.

    Raises:
        ConfigError: its head cannot.
    """
    if config.quantize.head == "fused":
        raise ConfigError("--head fused cannot be trained as int8 (--qat); give --head unrolled or float")


def stage_folder(run: Path, stage: Stage) -> Path:
    """Where the run of a stage is: the folder of the float run, or one in it."""
    return run if stage == "ptq" else run / stage


def stage_config(config: RunConfig, stage: Literal["finetune", "qat"]) -> RunConfig:
    """Settings of a run that trains on from a float run: those of that run, but for epochs and learning rate.

    The best epoch is taken, and every epoch is run, so that both stages take the same steps. What the float run froze
    is frozen in its network; a fused one, which no training made, says it in its settings.
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


def start_network(run: Run) -> keras.Model:
    """The network that a stage's run begins with: the float run's, simplified as it will be exported.

    Raises:
        DatasetError: the float run is not there.
        ConversionError: its network cannot be exported.
    """
    from edgehar_training.models.layer_names import freeze
    from edgehar_training.models.layers import whole
    from edgehar_training.quantize.simplify import simplified

    model = load_network(run.path.parent / BEST_FILE)
    network = whole(simplified(model.get_layer("encoder")), simplified(model.get_layer("head")), model.name)
    if run.config.fit.freeze:
        freeze(network, run.config.fit.freeze)
    return network


def fake_quantization(run: Run, network: keras.Model) -> FakeQuantization:
    """A network with fake quantization over its weights, as the run's settings want it.

    Ranges are first observed. Its encoder begins with the biases that `ptq` is given; they are changed in `network`,
    which is `simplified` already.
    """
    from edgehar_training.quantize.convert import calibration_windows
    from edgehar_training.quantize.export import Exporter
    from edgehar_training.quantize.fake_quant import FakeQuantization
    from edgehar_training.quantize.ranges import Ranges

    settings, windows = run.config.quantize, calibration_windows(run)
    quantized = FakeQuantization(
        network,
        windows,
        run.config.affine,
        momentum=settings.range_momentum,
        per_channel=settings.per_channel,
        float_head=settings.head == "float",
    )
    ranges = Ranges(quantized.limits, per_channel=settings.per_channel)
    Exporter(network.get_layer("encoder"), network.get_layer("head"), ranges).correct(windows, run.config.affine)
    return quantized


def write_ranges(run: Run, limits: Mapping[str, Limits]) -> None:
    """Write the ranges that a run learned."""
    write_text(run.path / RANGES_FILE, json.dumps(dict(limits), indent=1) + "\n")


def read_ranges(run: Run) -> dict[str, Limits] | None:
    """The ranges that a run learned; None where it did not.

    Raises:
        DatasetError: they cannot be read.
    """
    if run.config.stage != "qat":
        return None
    path = run.path / RANGES_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[float, float]])
    except (OSError, msgspec.DecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); finish the run with edgehar-train --resume") from error


def as_it_was_trained(
    run: Run, model: keras.Model, limits: Mapping[str, Limits] | None, *, float_head: bool
) -> keras.Model:
    """What the int8 file is to be compared with: the float network, or for a "qat" run that with fake quantization.

    Args:
        run: whose network it is.
        model: the float network.
        limits: the ranges that a "qat" run learned; None for others.
        float_head: the file's head computes in float.
    """
    if limits is None:
        return model
    from edgehar_training.quantize.fake_quant import FakeQuantization

    return FakeQuantization(
        model,
        limits,
        run.config.affine,
        per_channel=run.config.quantize.per_channel,
        float_head=float_head,
        round_scores=True,
    ).model


def compare_stages(run: Run, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the runs of all three stages and measure them on the same clips.

    Args:
        run: the float run, whose stages are trained.
        metrics: its own.

    Returns:
        "float" and each stage: the figures of "val" and "test"; "best", the stage with most right validation clips,
        and "why".
    """
    table: dict[str, Any] = {"float": {part: metrics[part] for part in ("val", "test") if part in metrics}}
    for stage in STAGES:
        table[stage] = _measured(load_run(stage_folder(run.path, stage)))
        log.info("%s: int8 %s: %.3f on validation clips", run.path, WORDS[stage], table[stage]["val"]["top1"])
    best = max(STAGES, key=lambda stage: (table[stage]["val"]["top1"], -STAGES.index(stage)))
    shares = ", ".join(f"{stage} {table[stage]['val']['top1']:.1%}" for stage in STAGES)
    clips = table[best]["val"]["clips"]
    why = f"best int8 top-1 on {clips} validation clips ({shares}; of equals, the first)"
    return {**table, "best": best, "why": why}


def _measured(run: Run) -> dict[str, Any]:
    from edgehar_training.quantize.child import Int8Files
    from edgehar_training.quantize.convert import convert_run
    from edgehar_training.quantize.parity import score_int8
    from edgehar_training.training.train_run import BUNDLE_FILE, part_metrics, truth_of

    conversion = convert_run(run.path, run.path / BUNDLE_FILE, max_drop=None, stage="ptq")
    files = Int8Files(conversion.files["encoder.tflite"], conversion.files["head.tflite"])
    found: dict[str, Any] = {
        "val": part_metrics(run, run.clips("val"), conversion.comparison.int8_result),
        "window_agreement": conversion.comparison.window_agreement,
        "bytes": {name: len(content) for name, content in conversion.files.items()},
    }
    if clips := run.clips("test"):
        streams = [run.stream(clip) for clip in clips]
        scores = score_int8(files, streams, run.config.network.window)
        found["test"] = part_metrics(run, clips, Result(truth_of(run.config, clips), scores))
    return found


def chosen_stage(run: Run, wanted: Stage | None) -> tuple[Run, Stage, str]:
    """The run to convert.

    Args:
        run: a run's folder.
        wanted: which stage; the best one when None.

    Returns:
        The run, its stage, and why it is that one.

    Raises:
        DatasetError: the stage was not trained, or metrics cannot be read.
    """
    from edgehar_training.runs import report
    from edgehar_training.runs.run import METRICS_FILE

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
        raise DatasetError(f"{run.path}: was not trained on as {stage}; train it with --qat (and --resume)")
    return load_run(folder), stage, why


def pooled_differences(runs: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any]:
    """What each kind of more training gains, in points over all runs, with a 95 % interval over groups.

    Args:
        runs: what `compare_stages` gave for each run.
        part: "val" or "test".
    """
    found = {}
    for name, one, other in (("finetune - ptq", "finetune", "ptq"), ("qat - finetune", "qat", "finetune")):
        gains: dict[tuple[str, str], list[float]] = {}
        for run in runs:
            for after, before in zip(run[one][part]["predictions"], run[other][part]["predictions"], strict=True):
                gain = float(after["predicted"] == after["label"]) - float(before["predicted"] == before["label"])
                gains.setdefault((after["clip"], after["group"]), []).append(gain)
        means = [float(np.mean(values)) for values in gains.values()]
        low, high = group_bootstrap(means, [group for _, group in gains])
        found[name] = {"points": 100 * float(np.mean(means)), "interval_95": [100 * low, 100 * high]}
    return found


def table_text(figures: Mapping[str, Any]) -> str:
    """Float and the three stages side by side.

    Args:
        figures: "float" and each stage with "top1", "interval_95" and "clips".
    """
    lines = [f"{'':<56}{'top-1':>8}  95 % interval"]
    for name in ("float", *STAGES):
        low, high = figures[name]["interval_95"]
        words = WORDS[name] if name == "float" else f"int8, {WORDS[name]}"
        lines.append(f"{words:<56}{figures[name]['top1']:>8.3f}  {low:.3f} to {high:.3f}")
    return "\n".join(lines)
