"""A comparison as text for a terminal, and as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.table import columns
from edgehar_training.pages.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = (
    "Differences cover the clips that both runs were tested on; each clip counts by its mean over seeds. Interval and "
    "p: paired bootstrap over groups (Efron and Tibshirani, 1993). McNemar: exact test (1947) of one seed, which "
    "assumes independent clips."
)
_RUN = (
    "run",
    "network",
    "accuracy",
    "95 % interval",
    "clips",
    "seeds",
    "parameters",
    "frame MACs",
    "window MACs",
    "ms",
)
_TEST = (
    "against the first",
    "difference",
    "95 % interval",
    "p",
    "McNemar p",
    "only first",
    "only second",
    "clips",
)


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """Return warnings, then runs with their cost, seeds and protocols, then the tests."""
    lines = [f"WARNING: {text}" for text in comparison["warnings"]]
    lines += columns([list(_RUN), *(_run_cells(run) for run in comparison["runs"])], left=2)
    lines.append("")
    for run in comparison["runs"]:
        seeds = ", ".join(f"seed {seed} {top1:.3f}" for seed, top1 in run["per_seed"].items())
        lines.append(f"{run['target']}: {run['protocol']}; {seeds}")
    lines += ["", *columns([list(_TEST), *(_test_cells(test) for test in comparison["tests"])]), METHODS]
    return "\n".join(lines)


def comparison_page(comparison: Mapping[str, Any]) -> str:
    """Return the same as one self-contained page.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    seeds = [
        (run["target"], run["protocol"], ", ".join(f"seed {seed} {top1:.3f}" for seed, top1 in run["per_seed"].items()))
        for run in comparison["runs"]
    ]
    return render(
        "comparison.html",
        title=f"Comparison of {len(comparison['runs'])} runs",
        warnings=comparison["warnings"],
        run_header=_RUN,
        run_rows=[_run_cells(run) for run in comparison["runs"]],
        seed_rows=seeds,
        test_header=_TEST,
        test_rows=[_test_cells(test) for test in comparison["tests"]],
        methods=METHODS,
    )


def _run_cells(run: Mapping[str, Any]) -> list[str]:
    low, high = run["interval_95"]
    accuracy = f"{run['top1']:.3f}" + (" LEAKY" if run["leaky"] else "")
    times = (run["encoder_ms"], run["head_ms"])
    return [
        run["target"],
        run["network"],
        accuracy,
        f"{low:.3f} to {high:.3f}",
        str(run["clips"]),
        str(len(run["per_seed"])),
        *(_count(run[name]) for name in ("parameters", "encoder_macs", "head_macs")),
        "-" if None in times else f"{times[0]:.3f} + {times[1]:.3f}",
    ]


def _test_cells(test: Mapping[str, Any]) -> list[str]:
    low, high = test["interval_95"]
    return [
        test["second"],
        f"{test['difference']:+.3f}",
        f"{low:+.3f} to {high:+.3f}",
        f"{test['bootstrap_p']:.4f}",
        "-" if test["mcnemar_p"] is None else f"{test['mcnemar_p']:.4f}",
        *(_count(test[name]) for name in ("only_first_right", "only_second_right")),
        str(test["clips"]),
    ]


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
