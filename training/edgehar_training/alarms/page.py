"""`alarms.html`: one self-contained file that opens without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar_training.alarms.figures import envelope
from edgehar_training.alarms.table import (
    CAMERA_HEADER,
    CURVE_HEADER,
    FOLDER_HEADER,
    camera_row,
    curve_row,
    facts,
    folder_row,
    ordinary_facts,
)
from edgehar_training.evaluation.page import Section
from edgehar_training.pages.charts import Line, LineChart, color
from edgehar_training.pages.render import render, render_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Rates below this are drawn at the start of the logarithmic axis.
_LEAST_PER_HOUR = 1.0
_ROW_HEADER = ("recording", "camera", "run", "from, s", "to, s", "highest score")


def alarms_page(summary: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        summary: the result of `summarize_bundle` or `summarize_runs`.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    decided = summary["as_decided"]
    return render(
        "alarms.html",
        title=f"Alarms per hour of {summary['network']}",
        warnings=summary["warnings"],
        facts=[(name.strip(), value) for name, value in facts(summary)],
        chart=curve_chart(summary),
        curve_header=CURVE_HEADER,
        curve_rows=[curve_row(row) for row in summary["curve"]],
        folder_header=FOLDER_HEADER,
        folder_rows=[folder_row(row) for row in decided["per_folder"]],
        camera_header=CAMERA_HEADER,
        camera_rows=[camera_row(row) for row in decided["per_camera"]],
        row_header=_ROW_HEADER,
        loudest=_rows(decided["loudest"]),
        missed=_rows(decided["missed"]),
    )


def alarms_section(summary: Mapping[str, Any]) -> Section:
    """Return the part of a report about false alarms on ordinary footage."""
    decided = summary["as_decided"]
    body = render_part(
        "alarms_section.html",
        facts=ordinary_facts(summary),
        camera_header=CAMERA_HEADER,
        camera_rows=[camera_row(row) for row in decided["per_camera"]],
    )
    return Section("False alarms on ordinary footage", body)


def curve_chart(summary: Mapping[str, Any]) -> LineChart | None:
    """Return the curve of incidents found over false alarms per hour. Returns None without one of the two."""
    rows = [row for row in summary["curve"] if row["false_alarms"] is not None and row["found"] is not None]
    if not rows:
        return None
    lines = []
    for number, (key, words) in enumerate((("found", "clips as they start"), ("found_from_quiet", "from quiet"))):
        own = [(row["false_alarms"]["per_hour"], row[key]["share"]) for row in rows if row[key] is not None]
        lines.append(Line(words, envelope(own), color(number)))
    marks = (("as_decided", "with the rules as they are", "#111"), ("chosen", "at the chosen threshold", "#c23b3b"))
    for key, words, ink in marks:
        x, found = summary[key]["false_alarms"]["per_hour"], summary[key]["found"]
        low, high = found["interval_95"]
        lines.append(Line(f"{words}: {x:.1f} an hour, {found['share']:.3f}", [(x, low), (x, high)], ink))
    most = max(x for line in lines for x, _ in line.points)
    return LineChart(
        "Incidents found and false alarms", "false alarms an hour", "share of incidents found", lines,
        x_range=(_LEAST_PER_HOUR, max(10.0, most)), x_log=True,
    )  # fmt: skip


def _rows(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            row["recording"], row["camera"], row["run"] or "–", f"{row['start_s']:.1f}", f"{row['end_s']:.1f}",
            f"{row['score']:.3f}",
        )
        for row in rows
    ]  # fmt: skip
