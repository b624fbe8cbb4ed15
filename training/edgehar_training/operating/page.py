"""`operate.html`: one file with everything in it, which opens without a network."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.evaluation.page import page_head, table, warning_box
from edgehar_training.evaluation.svg import Line, colour, line_chart
from edgehar_training.operating.table import CUTS, facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERVALS = (
    "Intervals of false alarms are exact Poisson intervals for one seed's hours; other intervals are bootstraps over "
    "groups."
)
_BIN_S = 0.4
_DIAGONAL = Line("", [(0, 0), (1, 1)], "#999", dashed=True)


def operating_page(summary: Mapping[str, Any]) -> str:
    """The page, of what `summarize` gives."""
    parts = [
        page_head(f"Operating points of {summary['network']}"),
        "".join(warning_box(text) for text in summary["warnings"]),
        table(("", ""), [(name.strip(), value) for name, value in facts(summary)], (0, 1)),
        "<h2>Finding and false alarms</h2>",
        f'<div class="charts">{_roc(summary["roc"])}{_alarms(summary)}{_latencies(summary)}</div>',
        f"<p>{html.escape(CUTS[0].upper() + CUTS[1:])}. {INTERVALS}</p>",
        _thresholds(summary),
        "<h2>Thresholds chosen on validation clips</h2>",
        _chosen(summary["chosen"]),
        "<h2>Calibration</h2>",
        _calibration(summary["calibration"]),
    ]
    if summary["unknown_clips"] is not None:
        parts += ["<h2>Clips of other actions</h2>", _unknown(summary)]
    return "\n".join([*parts, "</body></html>\n"])


def _roc(roc: Mapping[str, Any]) -> str:
    lines = [
        Line(f"{kind}s (area {roc[kind]['auc']:.3f})", [point[1:] for point in roc[kind]["points"]], colour(number))
        for number, kind in enumerate(("clip", "window"))
    ]
    return line_chart("ROC of the events", "false positive rate", "true positive rate", [_DIAGONAL, *lines])


def _alarms(summary: Mapping[str, Any]) -> str:
    rows, chosen = summary["thresholds"], summary["chosen"]
    lines = [
        Line(words, [(row["false_alarms"]["per_hour"], row[key]["share"]) for row in rows], colour(number))
        for number, (key, words) in enumerate((("within", "clips within background"), ("alone", "clips alone")))
    ]
    x, y = chosen["false_alarms"]["per_hour"], chosen["within"]["share"]
    low, high = chosen["within"]["interval_95"]
    mark = f"thresholds chosen on validation clips: {x:.1f} an hour, {y:.3f}"
    highest = max([x, *(row["false_alarms"]["per_hour"] for row in rows)]) or 1.0
    lines.append(Line(mark, [(x, low), (x, high)], "#c23b3b"))
    return line_chart(
        "False alarms and clips found, by threshold", "false alarms an hour", "share of clips found", lines,
        x_range=(0, highest * 1.05),
    )  # fmt: skip


def _latencies(summary: Mapping[str, Any]) -> str:
    delays = summary["chosen"]["latencies_s"]
    if not delays:
        return "<p>No clip was found within background: there is no latency.</p>"
    edges = np.arange(0.0, max(delays) + 2 * _BIN_S, _BIN_S)
    counts, _ = np.histogram(delays, edges)
    bars = [(float(edges[i]), float(edges[i + 1]), float(count)) for i, count in enumerate(counts)]
    return line_chart(
        "Latency at the chosen thresholds", "seconds from the splice to the event", "clips × seeds", [],
        x_range=(0, float(edges[-1])), y_range=(0, float(counts.max()) * 1.1), bars=bars,
    )  # fmt: skip


def _thresholds(summary: Mapping[str, Any]) -> str:
    header = (
        *("threshold", "false alarms", "an hour", "95 % interval", "time in alarm", "found", "95 % interval"),
        *("alone", "open before", "median latency, s", "90th percentile, s"),
    )
    rows = [
        (
            f"{row['threshold']:g}", row["false_alarms"]["events"], f"{row['false_alarms']['per_hour']:.1f}",
            _between(row["false_alarms"]["interval_95"], 1), row["share_of_time"], row["within"]["share"],
            _between(row["within"]["interval_95"]), row["alone"]["share"], row["open_before"],
            row["latency_s"]["median"], row["latency_s"]["p90"],
        )
        for row in summary["thresholds"]
    ]  # fmt: skip
    return table(header, rows)


def _chosen(chosen: Mapping[str, Any]) -> str:
    rows = [
        (
            row["seed"], row["fold"], f"{row['threshold']:.4f}", row["validation"]["events"],
            f"{row['validation']['hours'] * 3600:.0f}", f"{row['validation']['per_hour']:.1f}",
        )
        for row in chosen["runs"]
    ]  # fmt: skip
    words = f"The lowest threshold for at most {chosen['false_alarms_per_hour']:g} false alarms an hour there."
    header = ("seed", "fold", "threshold", "false alarms on validation clips", "in seconds", "an hour")
    return f"<p>{words}</p>{table(header, rows)}"


def _calibration(found: Mapping[str, Any]) -> str:
    charts = "".join(
        _reliability(f"{row['of']}, {when}: ECE {row[when]['ece']:.3f}", row[when]["reliability"])
        for row in found["rows"][:2]
        for when in ("before", "after")
    )
    rows = [
        (
            row["of"], row["temperature"], row["rows"], row["before"]["ece"],
            _between(row["before"]["ece_interval_95"]), row["after"]["ece"], _between(row["after"]["ece_interval_95"]),
            _between(row["change_interval_95"]), row["after"]["ece_of_perfect"], row["before"]["cross_entropy"],
            row["after"]["cross_entropy"],
        )
        for row in found["rows"]
    ]  # fmt: skip
    header = (
        *("of", "temperature", "rows", "ECE before", "95 % interval", "ECE after", "95 % interval"),
        *("95 % interval of the change", "ECE if perfect", "cross-entropy before", "after"),
    )
    fitted = [(row["seed"], row["fold"], row["int8"], row["float"]) for row in found["temperatures"]]
    return (
        f'<div class="charts">{charts}</div>{table(header, rows, (0, 1))}'
        f"<p>Expected calibration error (ECE) over {found['bins']} bins. It is never 0 on few rows: “if perfect” is "
        "what perfectly calibrated scores would show on as many. Temperatures are fitted on each run's validation "
        "clips:</p>" + table(("seed", "fold", "temperature, int8 windows", "temperature, float clips"), fitted)
    )


def _reliability(title: str, rows: Sequence[Mapping[str, float]]) -> str:
    bars = [(row["low"], row["high"], row["accuracy"]) for row in rows]
    line = Line("mean confidence of the bin", [(row["confidence"], row["accuracy"]) for row in rows], "#d9742b")
    return line_chart(title, "best score", "share named rightly", [_DIAGONAL, line], bars=bars)


def _unknown(summary: Mapping[str, Any]) -> str:
    about = summary["unknown_clips"]
    rows = [
        (
            f"{row['threshold']:g}", row["unknown"]["events"]["share"],
            _between(row["unknown"]["events"]["interval_95"]),
            *(row["unknown"]["answers"][kind] for kind in ("unknown", "background", "event")),
        )
        for row in summary["thresholds"]
    ]  # fmt: skip
    words = f"{about['data']}: {about['clips']} clips of {len(about['labels'])} actions, by the bundles of all runs."
    header = ("threshold", "event raised", "95 % interval", "answered unknown", "background", "an event")
    return f"<p>{html.escape(words)}</p>{table(header, rows)}"


def _between(interval: Sequence[float], decimals: int = 3) -> str:
    return f"{interval[0]:.{decimals}f} to {interval[1]:.{decimals}f}"
