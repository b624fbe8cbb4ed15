"""Compare the int8 networks of all stages of a run on the same clips."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.quantize.child import Int8Files
from edgehar_training.quantize.convert import convert_run
from edgehar_training.quantize.options import ConvertOptions
from edgehar_training.quantize.parity import score_int8
from edgehar_training.quantize.stages import STAGES, WORDS, stage_folder
from edgehar_training.runs.run import BUNDLE_FILE, Run, load_run
from edgehar_training.scoring.clips import Result
from edgehar_training.scoring.intervals import group_bootstrap
from edgehar_training.scoring.run_metrics import part_metrics, truth_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)


def compare_stages(run: Run, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the runs of all three stages and measure them on the same clips.

    Args:
        run: the float run, whose stages are trained.
        metrics: the metrics of the float run.

    Returns:
        "float" and each stage: the figures of "val" and "test". "best": the stage with the most correct validation
        clips. "why": the reason.
    """
    table: dict[str, Any] = {"float": {part: metrics[part] for part in ("val", "test") if part in metrics}}
    for stage in STAGES:
        table[stage] = _measure(load_run(stage_folder(run.path, stage)))
        log.info("%s: int8 %s: %.3f on validation clips", run.path, WORDS[stage], table[stage]["val"]["top1"])
    best = max(STAGES, key=lambda stage: (table[stage]["val"]["top1"], -STAGES.index(stage)))
    shares = ", ".join(f"{stage} {table[stage]['val']['top1']:.1%}" for stage in STAGES)
    clips = table[best]["val"]["clips"]
    why = f"best int8 top-1 on {clips} validation clips ({shares}; the first of equals)"
    return {**table, "best": best, "why": why}


def _measure(run: Run) -> dict[str, Any]:
    conversion = convert_run(run.path, run.path / BUNDLE_FILE, ConvertOptions(max_drop=None, stage="ptq"))
    files = Int8Files(conversion.files["encoder.tflite"], conversion.files["head.tflite"])
    found: dict[str, Any] = {
        "val": part_metrics(run, run.clips("val"), conversion.comparison.int8_result),
        "window_agreement": conversion.comparison.window_agreement,
        "bytes": {name: len(content) for name, content in conversion.files.items()},
    }
    if clips := run.clips("test"):
        streams = [run.stream(clip) for clip in clips]
        scores = score_int8(files, streams, run.config.network)
        found["test"] = part_metrics(run, clips, Result(truth_of(run.config, clips), scores))
    return found


def pooled_differences(runs: Sequence[Mapping[str, Any]], part: str) -> dict[str, Any]:
    """Return the gain of each kind of extra training in percentage points over all runs, with a 95 % interval.

    The interval resamples groups.

    Args:
        runs: the result of `compare_stages` for each run.
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
    """Return a table of the float network and the three stages.

    Args:
        figures: "float" and each stage with "top1", "interval_95" and "clips".
    """
    lines = [f"{'':<56}{'top-1':>8}  95 % interval"]
    for name in ("float", *STAGES):
        low, high = figures[name]["interval_95"]
        words = WORDS[name] if name == "float" else f"int8, {WORDS[name]}"
        lines.append(f"{words:<56}{figures[name]['top1']:>8.3f}  {low:.3f} to {high:.3f}")
    return "\n".join(lines)
