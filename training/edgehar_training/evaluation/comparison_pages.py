"""A comparison as text for a terminal, and as one HTML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.page import page_head, table, warning_box
from edgehar_training.evaluation.table import columns

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = (
    "Differences are of clips that both were tested on, each clip by its mean over seeds. Interval and p: paired "
    "bootstrap over groups (Efron and Tibshirani, 1993). McNemar: exact test (1947) of one seed, which takes clips to "
    "be independent."
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
    """Warnings first, then the runs with what they cost, their seeds and protocols, and the tests."""
    lines = [f"WARNING: {text}" for text in comparison["warnings"]]
    lines += columns([list(_RUN), *(_run_cells(run) for run in comparison["runs"])], left=2)
    lines.append("")
    for run in comparison["runs"]:
        seeds = ", ".join(f"seed {seed} {top1:.3f}" for seed, top1 in run["per_seed"].items())
        lines.append(f"{run['target']}: {run['protocol']}; {seeds}")
    lines += ["", *columns([list(_TEST), *(_test_cells(test) for test in comparison["tests"])]), METHODS]
    return "\n".join(lines)


def comparison_page(comparison: Mapping[str, Any]) -> str:
    """The same as a page without any outside resource."""
    seeds = [
        (run["target"], run["protocol"], ", ".join(f"seed {seed} {top1:.3f}" for seed, top1 in run["per_seed"].items()))
        for run in comparison["runs"]
    ]
    parts = [
        page_head(f"Comparison of {len(comparison['runs'])} runs"),
        *(warning_box(text) for text in comparison["warnings"]),
        "<h2>Runs</h2>",
        table(_RUN, [_run_cells(run) for run in comparison["runs"]], (0, 1)),
        "<h2>Protocols and seeds</h2>",
        table(("run", "protocol", "accuracy"), seeds, (0, 1, 2)),
        "<h2>Differences</h2>",
        table(_TEST, [_test_cells(test) for test in comparison["tests"]]),
        f"<p>{METHODS}</p></body></html>\n",
    ]
    return "\n".join(parts)


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
