"""Accuracy under each condition, as text for a terminal and as a part of `report.html`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.page import Section
from edgehar_training.evaluation.table import columns
from edgehar_training.pages.charts import Interval, IntervalChart
from edgehar_training.pages.render import render_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TITLE = "Changed video"
METHODS = (
    "Accuracy of the int8 bundles on clips, with a 95 % interval (bootstrap over groups). Differences are to the same "
    "clips as recorded, with a paired bootstrap over groups. Frames are changed at their decoded size."
)
_HEADER = ("condition", "accuracy", "95 % interval", "difference", "95 % interval", "other answers", "what")


def conditions_text(figures: Mapping[str, Any]) -> str:
    """Return warnings, then what was measured, then a line for each condition."""
    seeds = ", ".join(map(str, figures["seeds"]))
    lines = [f"WARNING: {text}" for text in figures["warnings"]]
    lines += [
        f"network    {figures['network']}: {figures['target']}",
        f"clips      {figures['data']}: {figures['clips']} in {figures['groups']} groups"
        + (f", seeds {seeds}" if seeds else ""),
        f"protocol   {figures['protocol']}",
        "",
    ]
    rows = [list(_HEADER), *(_cells(row) for row in figures["conditions"])]
    ends = [row.pop() for row in rows]
    lines += [f"{line}  {end}" for line, end in zip(_padded(rows), ends, strict=True)]
    return "\n".join([*lines, "", METHODS])


def conditions_section(figures: Mapping[str, Any]) -> Section:
    """Return a bar chart and a table, for `report.html`.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    rows = figures["conditions"]
    bars = [Interval(row["condition"], row["top1"], *row["interval_95"]) for row in rows]
    body = render_part(
        "conditions.html",
        chart=IntervalChart("Accuracy under each condition", "accuracy of clips", bars),
        header=_HEADER,
        rows=[_cells(row) for row in rows],
        methods=METHODS,
    )
    return Section(TITLE, body)


def _padded(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = columns(rows)
    width = max(map(len, lines))
    return [line.ljust(width) for line in lines]


def _cells(row: Mapping[str, Any]) -> list[str]:
    low, high = row["interval_95"]
    cells = [row["condition"], f"{row['top1']:.3f}", f"{low:.3f} to {high:.3f}"]
    if row["difference"] is None:
        cells += ["-", "-", "-"]
    else:
        low, high = row["difference_interval_95"]
        cells += [f"{row['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{row['other_answers']:.1%}"]
    return [*cells, row["what"]]
