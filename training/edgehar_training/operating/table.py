"""Operating points as a short text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.table import columns
from edgehar_training.pages.tables import interval_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUTS = (
    "false alarms are counted in all background test clips of a run, played as one stream: no real camera shows the "
    "cuts between them"
)


def text_table(summary: Mapping[str, Any]) -> str:
    """Return warnings, then the areas, the chosen threshold, calibration, and the table of thresholds."""
    lines = [f"WARNING: {text}" for text in summary["warnings"]]
    lines += [f"{name:<18} {value}" for name, value in facts(summary)]
    lines += ["", *columns([*_calibration(summary["calibration"])], left=2)]
    lines += ["", *columns(_thresholds(summary)), f"({CUTS})"]
    return "\n".join(lines)


def facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return everything but the tables, as names and words."""
    runs = f"{len(summary['chosen']['runs'])} runs, seeds {', '.join(map(str, summary['seeds']))}"
    told = [
        ("network", f"{summary['network']}: {summary['target']} ({runs})"),
        ("clips", f"{summary['data']}, {summary['clips']} clips in {summary['groups']} groups"),
        ("protocol", summary["protocol"]),
        ("background", ", ".join(summary["background"])),
        ("decision", summary["decision"]),
    ]
    for kind, words in (("clip", "clips"), ("window", "windows")):
        roc = summary["roc"][kind]
        told.append((f"ROC AUC, {words}", f"{roc['auc']:.3f} {_interval(roc['interval_95'])}"))
    return [*told, *_chosen(summary)]


def _chosen(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    chosen = summary["chosen"]
    alarms, delay = chosen["false_alarms"], chosen["latency_s"]
    low, high = alarms["interval_95"]
    chosen_for = f"for {chosen['false_alarms_per_hour']:g} false alarms an hour"
    runs = f"median of runs, {chosen['lowest']:.3f} to {chosen['highest']:.3f}"
    thresholds = ", ".join(f"{label} = {value:.3f}" for label, value in chosen["decision_thresholds"].items())
    counted = f"{alarms['events']} in {alarms['hours']:.3f} h of test clips"
    lost = f"never {chosen['missed']:.3f}, in an event already before {chosen['open_before']:.3f}"
    found = f"{_with_interval(chosen['within'])} of clips within background, {chosen['alone']['share']:.3f} alone"
    told = [
        ("threshold", f"{chosen['median']:.3f} ({runs}), chosen on validation clips {chosen_for}"),
        ("  on a device", f"[decision.thresholds] {thresholds}"),
        (
            "  false alarms",
            f"{alarms['per_hour']:.1f} an hour (95 % Poisson interval {low:.1f} to {high:.1f}): {counted}",
        ),
        ("  found", found),
        ("  latency", f"median {seconds(delay['median'])}, 90th percentile {seconds(delay['p90'])}; {lost}"),
    ]
    if (unknown := chosen["unknown"]) is not None:
        kinds = ", ".join(f"{kind} {share:.3f}" for kind, share in unknown["answers"].items())
        told.append(("  unknown clips", f"event raised {_with_interval(unknown['events'])}; answered {kinds}"))
    return told


def _calibration(found: Mapping[str, Any]) -> list[list[str]]:
    rows = [["calibration of", "temperature", "ECE", "95 % interval", "after", "95 % interval", "if perfect", "change"]]
    for row in found["rows"]:
        before, after = row["before"], row["after"]
        rows.append(
            [
                row["of"], row["temperature"], f"{before['ece']:.3f}", interval_text(before["ece_interval_95"]),
                f"{after['ece']:.3f}", interval_text(after["ece_interval_95"]), f"{after['ece_of_perfect']:.3f}",
                interval_text(row["change_interval_95"]),
            ]
        )  # fmt: skip
    values = [row["int8"] for row in found["temperatures"]]
    rows[0][1] = f"T {found['temperature']:.2f} ({min(values):.2f}-{max(values):.2f})"
    return rows


def _thresholds(summary: Mapping[str, Any]) -> list[list[str]]:
    rows = [["threshold", "alarms/h", "95 % interval", "time in alarm", "found", "alone", "median s", "p90 s"]]
    unknown = summary["unknown_clips"] is not None
    if unknown:
        rows[0] += ["unknown: raised", "unknown", "background", "event"]
    for row in summary["thresholds"]:
        alarms, delay = row["false_alarms"], row["latency_s"]
        cells = [
            f"{row['threshold']:.3g}", f"{alarms['per_hour']:.1f}", interval_text(alarms["interval_95"], 1),
            f"{row['share_of_time']:.3f}", f"{row['within']['share']:.3f}", f"{row['alone']['share']:.3f}",
            number(delay["median"]), number(delay["p90"]),
        ]  # fmt: skip
        if unknown:
            answers = row["unknown"]["answers"]
            shares = (
                row["unknown"]["events"]["share"],
                *(answers[kind] for kind in ("unknown", "background", "event")),
            )
            cells += [f"{share:.3f}" for share in shares]
        rows.append(cells)
    return rows


def number(value: float | None) -> str:
    """Return two decimals, or a dash for None."""
    return "-" if value is None else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """Return two decimals with the unit, or "none"."""
    return "none" if value is None else f"{value:.2f} s"


def _with_interval(share: Mapping[str, Any]) -> str:
    return f"{share['share']:.3f} {_interval(share['interval_95'])}"


def _interval(interval: Sequence[float]) -> str:
    return f"(95 % interval {interval[0]:.3f} to {interval[1]:.3f})"
