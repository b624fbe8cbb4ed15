"""Compare runs, and test whether they differ by more than chance on the same clips."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import DatasetError
from edgehar_training.evaluation.stored import evaluate_stored
from edgehar_training.evaluation.summary import right_by_clip
from edgehar_training.runs.run import BEST_FILE
from edgehar_training.scoring import intervals
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgehar_training.evaluation.evaluated import Evaluated
    from edgehar_training.evaluation.scored import ScoredClips
    from edgehar_training.evaluation.stored import Stored

TIMED_CALLS = 200


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a network; None if unknown.

    Attributes:
        parameters: number of weights of the float network.
        encoder_macs: multiply-accumulates of a frame.
        head_macs: multiply-accumulates of a window.
        encoder_ms: median time of a frame by the int8 bundle on this machine, one thread.
        head_ms: median time of a window.
    """

    parameters: int | None = None
    encoder_macs: int | None = None
    head_macs: int | None = None
    encoder_ms: float | None = None
    head_ms: float | None = None


def compare(folders: Sequence[Path], part: Stored, *, cost: bool = True) -> dict[str, Any]:
    """Return accuracy and cost of every run, and a paired test of each run against the first.

    Args:
        folders: runs, or folders of folds and seeds.
        part: which stored predictions to compare.
        cost: load the networks to count their parameters and operations, and time their int8 bundles.

    Raises:
        ConfigError: a folder holds no run.
        DatasetError: a run is not finished, or two have different labels or no clip in common.
    """
    all_evaluated = [evaluate_stored(folder, part) for folder in folders]
    first = all_evaluated[0]
    for other in all_evaluated[1:]:
        _check_same_task(first, other)
    return {
        "part": part,
        "labels": first.scored.labels,
        "warnings": _warnings(all_evaluated),
        "runs": [_run(evaluated, cost=cost) for evaluated in all_evaluated],
        "tests": [_test(first, other) for other in all_evaluated[1:]],
    }


def _check_same_task(first: Evaluated, other: Evaluated) -> None:
    if sorted(first.scored.labels) != sorted(other.scored.labels):
        differing = sorted(set(first.scored.labels) ^ set(other.scored.labels))
        raise DatasetError(
            f"{first.target} and {other.target} have different labels ({', '.join(differing)}): they are of "
            "different tasks and cannot be compared"
        )
    mine, theirs = ({row.name: row.clip.label for row in evaluated.scored.rows} for evaluated in (first, other))
    common = mine.keys() & theirs.keys()
    if not common:
        raise DatasetError(
            f"{first.target} and {other.target} were tested on no clip in common: train both with the same data, "
            "--split, --folds and --seed"
        )
    if relabeled := sorted(name for name in common if mine[name] != theirs[name]):
        raise DatasetError(
            f"{relabeled[0]}: is {mine[relabeled[0]]!r} in {first.target} and {theirs[relabeled[0]]!r} in "
            f"{other.target}: they are of different data"
        )


def _warnings(all_evaluated: Sequence[Evaluated]) -> list[str]:
    first, found = all_evaluated[0], []
    for evaluated in all_evaluated:
        found += [f"{evaluated.target}: {text}" for text in evaluated.warnings]
    for other in all_evaluated[1:]:
        if other.protocol != first.protocol:
            found.append(
                f"DIFFERENT PROTOCOLS: {first.target} was measured with {first.protocol}, {other.target} with "
                f"{other.protocol}; this may explain a difference"
            )
        if other.scored.seeds != first.scored.seeds:
            found.append(f"{other.target} has seeds {_words(other.scored)}, {first.target} {_words(first.scored)}")
        if _names(other) != _names(first):
            common = len(_names(other) & _names(first))
            found.append(
                f"DIFFERENT CLIPS: {first.target} was tested on {len(_names(first))}, {other.target} on "
                f"{len(_names(other))}; the test covers the {common} common clips"
            )
    if len(all_evaluated) > 2:
        found.append(f"{len(all_evaluated) - 1} tests: p-values are not corrected for the number of tests")
    return found


def _words(scored: ScoredClips) -> str:
    return ", ".join(map(str, scored.seeds))


def _names(evaluated: Evaluated) -> set[str]:
    return {row.name for row in evaluated.scored.rows}


def _run(evaluated: Evaluated, *, cost: bool) -> dict[str, Any]:
    by_clip = right_by_clip(evaluated.scored)
    right = evaluated.scored.predicted == evaluated.scored.truth
    seeds = np.array([row.seed for row in evaluated.scored.rows])
    per_seed = {str(seed): float(right[seeds == seed].mean()) for seed in evaluated.scored.seeds}
    shares, groups = [share for share, _ in by_clip.values()], [group for _, group in by_clip.values()]
    return {
        "target": evaluated.target,
        "network": evaluated.network,
        "protocol": evaluated.protocol,
        "leaky": evaluated.leaky,
        "data": evaluated.data,
        "clips": len(by_clip),
        "groups": len(set(groups)),
        "top1": float(np.mean(list(per_seed.values()))),
        "interval_95": group_bootstrap(shares, groups, evaluated.seed),
        "per_seed": per_seed,
        **dataclasses.asdict(_cost(evaluated.folders[0]) if cost else Cost()),
    }


def _test(first: Evaluated, other: Evaluated) -> dict[str, Any]:
    """Test the difference on common clips: the paired bootstrap over groups, and for a single seed McNemar's test."""
    mine, theirs = right_by_clip(first.scored), right_by_clip(other.scored)
    names = sorted(mine.keys() & theirs.keys())
    before, after = [mine[name][0] for name in names], [theirs[name][0] for name in names]
    difference = intervals.paired_difference(before, after, [mine[name][1] for name in names])
    result: dict[str, Any] = {
        "first": first.target,
        "second": other.target,
        "clips": len(names),
        "groups": len({mine[name][1] for name in names}),
        "difference": difference.mean,
        "interval_95": difference.interval_95,
        "bootstrap_p": difference.p,
        "only_first_right": None,
        "only_second_right": None,
        "mcnemar_p": None,
    }
    if len(first.scored.seeds) == len(other.scored.seeds) == 1:
        lost = sum(a > b for a, b in zip(before, after, strict=True))
        won = sum(a < b for a, b in zip(before, after, strict=True))
        result |= {"only_first_right": lost, "only_second_right": won, "mcnemar_p": intervals.mcnemar(lost, won)}
    return result


def _cost(folder: Path) -> Cost:
    """Count the operations of the network of a run, and time its int8 bundle if it has one."""
    from edgehar_training.runs.run import BUNDLE_FILE

    cost = Cost()
    if (folder / BEST_FILE).exists():
        from edgehar_training.quantize.cost import macs
        from edgehar_training.runs.run import load_run

        model = load_run(folder).model()
        encoder, head = model.get_layer("encoder"), model.get_layer("head")
        parameters = encoder.count_params() + head.count_params()
        cost = Cost(int(parameters), macs(encoder), macs(head))
    if (folder / BUNDLE_FILE).exists():
        encoder_ms, head_ms = bundle_ms(folder / BUNDLE_FILE)
        cost = dataclasses.replace(cost, encoder_ms=encoder_ms, head_ms=head_ms)
    return cost


def bundle_ms(path: Path) -> tuple[float, float]:
    """Return the median time of a frame and of a window with an int8 bundle, one thread, in milliseconds."""
    from edgehar.model.bundle import ModelBundle
    from edgehar.model.interpreter import TfliteModel

    bundle, found = ModelBundle.open(path), []
    for name in ("encoder.tflite", "head.tflite"):
        model = TfliteModel(bundle.read(name), name=name)
        times_s = []
        for _ in range(TIMED_CALLS):
            started_s = time.perf_counter()
            model.invoke()
            times_s.append(time.perf_counter() - started_s)
        found.append(float(np.median(times_s)) * 1e3)
    return found[0], found[1]
