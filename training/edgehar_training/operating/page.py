"""`operate.html`: one self-contained file that opens without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.operating.table import CUTS, facts
from edgehar_training.pages.charts import DIAGONAL, Line, LineChart, color
from edgehar_training.pages.render import render
from edgehar_training.pages.tables import interval_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERVALS = (
    "Intervals of false alarms are exact Poisson intervals for one seed's hours; other intervals are bootstraps over "
    "groups."
)
_BIN_S = 0.4


def operating_page(summary: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        summary: the result of `summarize`.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    latencies = _latencies(summary)
    return render(
        "operating.html",
        title=f"Operating points of {summary['network']}",
        warnings=summary["warnings"],
        facts=[(name.strip(), value) for name, value in facts(summary)],
        charts=[_roc(summary["roc"]), _alarms(summary), *([] if latencies is None else [latencies])],
        has_latencies=latencies is not None,
        methods=f"{CUTS[0].upper()}{CUTS[1:]}. {INTERVALS}",
        threshold_header=(
            *("threshold", "false alarms", "an hour", "95 % interval", "time in alarm", "found", "95 % interval"),
            *("alone", "open before", "median latency, s", "90th percentile, s"),
        ),
        threshold_rows=_threshold_rows(summary),
        chosen_words=(
            f"The lowest threshold for at most {summary['chosen']['false_alarms_per_hour']:g} false alarms an hour "
            "there."
        ),
        chosen_header=("seed", "fold", "threshold", "false alarms on validation clips", "in seconds", "an hour"),
        chosen_rows=_chosen_rows(summary["chosen"]),
        calibration=_calibration(summary["calibration"]),
        unknown=None if summary["unknown_clips"] is None else _unknown(summary),
    )


def _roc(roc: Mapping[str, Any]) -> LineChart:
    lines = [
        Line(f"{kind}s (area {roc[kind]['auc']:.3f})", [point[1:] for point in roc[kind]["points"]], color(number))
        for number, kind in enumerate(("clip", "window"))
    ]
    return LineChart("ROC of the events", "false positive rate", "true positive rate", [DIAGONAL, *lines])


def _alarms(summary: Mapping[str, Any]) -> LineChart:
    rows, chosen = summary["thresholds"], summary["chosen"]
    lines = [
        Line(words, [(row["false_alarms"]["per_hour"], row[key]["share"]) for row in rows], color(number))
        for number, (key, words) in enumerate((("within", "clips within background"), ("alone", "clips alone")))
    ]
    x, y = chosen["false_alarms"]["per_hour"], chosen["within"]["share"]
    low, high = chosen["within"]["interval_95"]
    mark = f"thresholds chosen on validation clips: {x:.1f} an hour, {y:.3f}"
    highest = max([x, *(row["false_alarms"]["per_hour"] for row in rows)]) or 1.0
    lines.append(Line(mark, [(x, low), (x, high)], "#c23b3b"))
    title = "False alarms and clips found, by threshold"
    return LineChart(title, "false alarms an hour", "share of clips found", lines, x_range=(0, highest * 1.05))


def _latencies(summary: Mapping[str, Any]) -> LineChart | None:
    """Return a histogram of the latencies. Returns None if no clip was found."""
    delays = summary["chosen"]["latencies_s"]
    if not delays:
        return None
    edges = np.arange(0.0, max(delays) + 2 * _BIN_S, _BIN_S)
    counts, _ = np.histogram(delays, edges)
    return LineChart(
        "Latency at the chosen thresholds",
        "seconds from the splice to the event",
        "clips × seeds",
        [],
        x_range=(0, float(edges[-1])),
        y_range=(0, float(counts.max()) * 1.1),
        bars=[(float(edges[i]), float(edges[i + 1]), float(count)) for i, count in enumerate(counts)],
    )


def _threshold_rows(summary: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            f"{row['threshold']:g}", row["false_alarms"]["events"], f"{row['false_alarms']['per_hour']:.1f}",
            interval_text(row["false_alarms"]["interval_95"], 1), row["share_of_time"], row["within"]["share"],
            interval_text(row["within"]["interval_95"]), row["alone"]["share"], row["open_before"],
            row["latency_s"]["median"], row["latency_s"]["p90"],
        )
        for row in summary["thresholds"]
    ]  # fmt: skip


def _chosen_rows(chosen: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            row["seed"], row["fold"], f"{row['threshold']:.4f}", row["validation"]["events"],
            f"{row['validation']['hours'] * 3600:.0f}", f"{row['validation']['per_hour']:.1f}",
        )
        for row in chosen["runs"]
    ]  # fmt: skip


def _calibration(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (
            row["of"], row["temperature"], row["rows"], row["before"]["ece"],
            interval_text(row["before"]["ece_interval_95"]), row["after"]["ece"],
            interval_text(row["after"]["ece_interval_95"]), interval_text(row["change_interval_95"]),
            row["after"]["ece_of_perfect"], row["before"]["cross_entropy"],
            row["after"]["cross_entropy"],
        )
        for row in found["rows"]
    ]  # fmt: skip
    return {
        "charts": [
            _reliability(f"{row['of']}, {when}: ECE {row[when]['ece']:.3f}", row[when]["reliability"])
            for row in found["rows"][:2]
            for when in ("before", "after")
        ],
        "header": (
            *("of", "temperature", "rows", "ECE before", "95 % interval", "ECE after", "95 % interval"),
            *("95 % interval of the change", "ECE if perfect", "cross-entropy before", "after"),
        ),
        "rows": rows,
        "words": (
            f"Expected calibration error (ECE) over {found['bins']} bins. It is never 0 on few rows: “if perfect” is "
            "what perfectly calibrated scores would show on as many. Temperatures are fitted on each run's validation "
            "clips:"
        ),
        "temperatures": [(row["seed"], row["fold"], row["int8"], row["float"]) for row in found["temperatures"]],
    }


def _reliability(title: str, rows: Sequence[Mapping[str, float]]) -> LineChart:
    bars = [(row["low"], row["high"], row["accuracy"]) for row in rows]
    line = Line("mean confidence of the bin", [(row["confidence"], row["accuracy"]) for row in rows], "#d9742b")
    return LineChart(title, "best score", "accuracy", [DIAGONAL, line], bars=bars)


def _unknown(summary: Mapping[str, Any]) -> dict[str, Any]:
    about = summary["unknown_clips"]
    return {
        "words": (
            f"{about['data']}: {about['clips']} clips of {len(about['labels'])} actions, by the bundles of all runs."
        ),
        "header": ("threshold", "event raised", "95 % interval", "answered unknown", "background", "an event"),
        "rows": [
            (
                f"{row['threshold']:g}", row["unknown"]["events"]["share"],
                interval_text(row["unknown"]["events"]["interval_95"]),
                *(row["unknown"]["answers"][kind] for kind in ("unknown", "background", "event")),
            )
            for row in summary["thresholds"]
        ],
    }  # fmt: skip
