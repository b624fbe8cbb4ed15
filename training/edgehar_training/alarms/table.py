"""Alarms per hour and incidents found as a short text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.table import columns
from edgehar_training.pages.tables import interval_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    Figures = Mapping[str, Any]

_SHOWN_CAMERAS = 12


def text_table(summary: Figures) -> str:
    """Return warnings, the figures as decided and at the chosen threshold, the loudest cameras, and the curve."""
    lines = [f"WARNING: {text}" for text in summary["warnings"]]
    lines += [f"{name:<18} {value}" for name, value in facts(summary)]
    lines += ["", *columns([FOLDER_HEADER, *map(folder_row, summary["as_decided"]["per_folder"])])]
    loud = [row for row in summary["as_decided"]["per_camera"] if row["false_alarms"]][:_SHOWN_CAMERAS]
    if loud:
        lines += ["", *columns([CAMERA_HEADER, *map(camera_row, loud)])]
    lines += ["", *columns([CURVE_HEADER, *map(curve_row, summary["curve"])])]
    return "\n".join(lines)


def facts(summary: Figures) -> list[tuple[str, str]]:
    """Return everything but the tables, as names and words."""
    counts, chosen = summary["recordings"], summary["chosen"]
    spread = "" if len(chosen["runs"]) == 1 else f" (median; {chosen['lowest']:.3f} to {chosen['highest']:.3f})"
    seeds = f", seeds {', '.join(map(str, summary['seeds']))}" if summary["seeds"] else ""
    return [
        ("network", f"{summary['network']}: {summary['target']}{seeds}"),
        (
            "recordings",
            f"{counts['ordinary']} ordinary, {counts['incident']} with incidents, {summary['cameras']} cameras",
        ),
        ("protocol", summary["protocol"]),
        ("alarm", f"{' or '.join(summary['alarm_labels'])}; counts again every {summary['repeat_s']:g} s"),
        ("incident", f"borders of {summary['tolerance_s']:g} s before and after it do not count"),
        ("decision", summary["decision"]),
        *_figures(summary["as_decided"], summary["long_s"]),
        (
            "threshold",
            f"{chosen['median']:.3f}{spread} for {chosen['most_per_hour']:g} an hour, chosen {chosen['how']}",
        ),
        ("  decision", chosen["decision"]),
        *_figures(chosen, summary["long_s"]),
    ]


def ordinary_facts(summary: Figures) -> list[tuple[str, str]]:
    """Return what `edgehar eval --ordinary` says beside an accuracy: the false alarms, as decided."""
    alarms = summary["as_decided"]["false_alarms"]
    counted = f"{alarms['recordings']} recordings of {alarms['cameras']} cameras"
    return [
        ("false alarms", alarm_words(alarms)),
        ("  of", f"{' or '.join(summary['alarm_labels'])}, decided by {summary['decision']}; {counted}"),
    ]


def alarm_words(alarms: Figures) -> str:
    """Return a rate of false alarms with its intervals and what it was counted on."""
    low, high = alarms["interval_95"]
    by_low, by_high = alarms["interval_95_by_camera"]
    return (
        f"{alarms['per_hour']:.1f} an hour (95 % Poisson interval {low:.1f} to {high:.1f}; bootstrap over "
        f"{alarms['cameras']} cameras {by_low:.1f} to {by_high:.1f}): {alarms['alarms']} in "
        f"{60 * alarms['hours']:.1f} min, {alarms['share_of_time']:.1%} of the time in alarm"
    )


def _figures(point: Figures, long_s: float) -> list[tuple[str, str]]:
    told = []
    if (alarms := point["false_alarms"]) is not None:
        told.append(("  false alarms", alarm_words(alarms)))
    if (outside := point["outside_incidents"]) is not None:
        counted = f"{outside['alarms']} in {60 * outside['hours']:.1f} min around incidents"
        told.append(("  outside", f"{outside['per_hour']:.1f} an hour: {counted}"))
    if (found := point["found"]) is not None:
        told += [("  found", _found(found)), ("  time to alarm", _delay(found["delay_s"]))]
    if (late := point["found_from_quiet"]) is not None:
        told.append(
            ("  from quiet", f"{_found(late)}, in recordings of {long_s:g} s or more; {_delay(late['delay_s'])}")
        )
    return told


def _found(found: Figures) -> str:
    low, high = found["interval_95"]
    before = f", {found['rang_before']} by an alarm that rang already" if found["rang_before"] else ""
    counted = f"{found['found']} of {found['incidents']} incidents"
    return f"{found['share']:.3f} (95 % interval {low:.3f} to {high:.3f}): {counted}{before}"


def _delay(delay: Figures) -> str:
    if delay["median"] is None:
        return "none"
    return f"median {delay['median']:.2f} s, 90th percentile {delay['p90']:.2f} s"


CURVE_HEADER = (
    *("threshold", "alarms/h", "95 % interval", "in alarm", "found", "95 % interval"),
    *("from quiet", "median s", "p90 s"),
)
COUNTS = ("minutes", "alarms", "alarms/h", "incidents", "found")
CAMERA_HEADER = ("camera", *COUNTS)
FOLDER_HEADER = ("folder", "recordings", "with alarms", *COUNTS)


def curve_row(row: Figures) -> list[str]:
    """Return a threshold as a row of `CURVE_HEADER`."""
    alarms, found, late = row["false_alarms"], row["found"], row["found_from_quiet"]
    cells = [f"{row['threshold']:.3f}"]
    cells += ["-"] * 3 if alarms is None else [
        f"{alarms['per_hour']:.1f}", interval_text(alarms["interval_95"], 1), f"{alarms['share_of_time']:.3f}"
    ]  # fmt: skip
    cells += ["-"] * 2 if found is None else [f"{found['share']:.3f}", interval_text(found["interval_95"], 3)]
    cells.append("-" if late is None else f"{late['share']:.3f}")
    delay = (found or {}).get("delay_s", {})
    return [*cells, *("-" if delay.get(key) is None else f"{delay[key]:.2f}" for key in ("median", "p90"))]


def camera_row(row: Figures) -> list[str]:
    """Return a camera as a row of `CAMERA_HEADER`."""
    return [row["camera"], *_counts(row)]


def folder_row(row: Figures) -> list[str]:
    """Return a folder as a row of `FOLDER_HEADER`."""
    return [row["folder"], str(row["recordings"]), str(row["with_false_alarms"]), *_counts(row)]


def _counts(row: Figures) -> list[str]:
    per_hour = "-" if row["per_hour"] is None else f"{row['per_hour']:.1f}"
    incidents = [str(row["incidents"]), str(row["found"])] if row["incidents"] else ["-", "-"]
    return [f"{row['minutes']:.1f}", str(row["false_alarms"]), per_hour, *incidents]
