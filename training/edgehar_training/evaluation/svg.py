"""Charts as inline SVG: they need no library, no network, and stay sharp."""

from __future__ import annotations

import dataclasses
import html
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COLOURS = ("#1f6fb4", "#d9742b", "#3f9142", "#c23b3b", "#7d5ba6", "#85604f", "#c964ad", "#6f6f6f", "#a3a526", "#2ba7b8")
_WIDTH, _HEIGHT = 420, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 44


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: in the legend; none where it is empty.
        points: x and y.
        colour: as SVG names it.
        dashed: drawn with gaps.
    """

    name: str
    points: Sequence[Sequence[float]]
    colour: str
    dashed: bool = False


def line_chart(
    title: str,
    x_name: str,
    y_name: str,
    lines: Sequence[Line],
    *,
    x_range: tuple[float, float] = (0.0, 1.0),
    y_range: tuple[float, float] = (0.0, 1.0),
    bars: Sequence[tuple[float, float, float]] = (),
) -> str:
    """An `<svg>` of lines over bars.

    Args:
        title: above the chart.
        x_name: what is on the horizontal axis.
        y_name: what is on the vertical axis.
        lines: drawn in order.
        x_range: values at both ends of the horizontal axis.
        y_range: values at both ends of the vertical axis.
        bars: left edge, right edge and height of bars, drawn first.
    """
    frame = _Frame(x_range, y_range)
    named = [line for line in lines if line.name]
    height = _HEIGHT + 16 * len(named) + 8
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img">',
        f"<title>{html.escape(title)}</title>",
        _text(_WIDTH / 2, 18, title, "middle", "bold"),
        *_axes(frame, x_name, y_name),
        *(_bar(frame, *bar) for bar in bars),
        *(_polyline(frame, line) for line in lines if line.points),
    ]
    for number, line in enumerate(named):
        y = _HEIGHT + 16 * number + 12
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + 22}" y1="{y - 4}" y2="{y - 4}" {_stroke(line)}/>')
        parts.append(_text(_LEFT + 28, y, line.name, "start"))
    return "".join([*parts, "</svg>"])


def colour(number: int) -> str:
    """The colour of a line by its number; they repeat."""
    return COLOURS[number % len(COLOURS)]


@dataclasses.dataclass(frozen=True)
class _Frame:
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x_range[0]) / ((self.x_range[1] - self.x_range[0]) or 1)
        up = (y - self.y_range[0]) / ((self.y_range[1] - self.y_range[0]) or 1)
        across, up = min(max(across, 0.0), 1.0), min(max(up, 0.0), 1.0)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def _axes(frame: _Frame, x_name: str, y_name: str) -> list[str]:
    left, bottom = frame.place(frame.x_range[0], frame.y_range[0])
    right, top = frame.place(frame.x_range[1], frame.y_range[1])
    parts = []
    for value in _ticks(*frame.x_range):
        x, _ = frame.place(value, frame.y_range[0])
        parts.append(f'<path d="M{x:.1f} {bottom:.1f}V{top:.1f}" stroke="#e4e4e4"/>')
        parts.append(_text(x, bottom + 16, f"{value:g}", "middle"))
    for value in _ticks(*frame.y_range):
        _, y = frame.place(frame.x_range[0], value)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#e4e4e4"/>')
        parts.append(_text(left - 6, y + 4, f"{value:g}", "end"))
    parts.append(f'<path d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}" stroke="#555" fill="none"/>')
    parts.append(_text((left + right) / 2, bottom + 34, x_name, "middle"))
    middle = (top + bottom) / 2
    turned = f'transform="rotate(-90 13 {middle:.1f})"'
    parts.append(f'<text x="13" y="{middle:.1f}" text-anchor="middle" {turned}>{html.escape(y_name)}</text>')
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """About five round values from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _bar(frame: _Frame, low: float, high: float, value: float) -> str:
    left, top = frame.place(low, value)
    right, bottom = frame.place(high, frame.y_range[0])
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
        'fill="#bcd4ea" stroke="#1f6fb4"/>'
    )


def _polyline(frame: _Frame, line: Line) -> str:
    points = " ".join("{:.1f},{:.1f}".format(*frame.place(float(x), float(y))) for x, y in line.points)
    return f'<polyline points="{points}" {_stroke(line)}/>'


def _stroke(line: Line) -> str:
    dashes = ' stroke-dasharray="4 3"' if line.dashed else ""
    return f'fill="none" stroke="{line.colour}" stroke-width="1.6"{dashes}'


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(text)}</text>'
