"""Accuracy under each condition as text for a terminal, and as a part of `report.html`."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.page import table
from edgehar_training.evaluation.table import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TITLE = "Changed video"
METHODS = (
    "Accuracy of clips by the int8 bundles, with its 95 % interval by the bootstrap over groups. The difference is to "
    "the same clips as recorded, with the interval of the paired bootstrap over groups. Frames are changed at the size "
    "they were decoded in."
)
_HEADER = ("condition", "accuracy", "95 % interval", "difference", "95 % interval", "other answers", "what")
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 640, 110, 60, 24, 8


def conditions_text(figures: Mapping[str, Any]) -> str:
    """Warnings first, then what was measured, and a line for each condition."""
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


def conditions_section(figures: Mapping[str, Any]) -> str:
    """A bar chart and a table, for `report.html`."""
    rows = figures["conditions"]
    return f"{_bars(rows)}{table(_HEADER, [_cells(row) for row in rows], (0, 6))}<p>{METHODS}</p>"


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


def _bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """An `<svg>` of a bar with its interval for each condition; a dashed line goes up from the clips as recorded."""
    bottom = _TOP + _ROW * len(rows)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 40}" width="{_WIDTH}" height="{bottom + 40}" role="img">',
        "<title>Accuracy under each condition</title>",
    ]
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        x = _place(share)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#e4e4e4"/>')
        parts.append(_text(x, bottom + 16, f"{share:g}", "middle"))
    parts += [_bar(row, _TOP + _ROW * number) for number, row in enumerate(rows)]
    before = _place(rows[0]["top1"])
    parts.append(f'<path d="M{before:.1f} {_TOP}V{bottom}" stroke="#555" stroke-dasharray="4 3"/>')
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, bottom + 34, "share of clips named rightly", "middle"))
    return "".join([*parts, "</svg>"])


def _bar(row: Mapping[str, Any], top: float) -> str:
    left, right, middle = _place(0.0), _place(row["top1"]), top + _ROW / 2
    low, high = (_place(share) for share in row["interval_95"])
    return (
        _text(_LEFT - 6, middle + 4, row["condition"], "end")
        + f'<rect x="{left:.1f}" y="{top + 4:.1f}" width="{right - left:.1f}" height="{_ROW - 8}" fill="#bcd4ea" '
        'stroke="#1f6fb4"/>'
        f'<path d="M{low:.1f} {middle - 4:.1f}V{middle + 4:.1f}M{low:.1f} {middle:.1f}H{high:.1f}'
        f'M{high:.1f} {middle - 4:.1f}V{middle + 4:.1f}" stroke="#333" fill="none"/>'
        + _text(_WIDTH - _RIGHT + 8, middle + 4, f"{row['top1']:.3f}", "start")
    )


def _place(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
