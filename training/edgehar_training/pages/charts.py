"""Positions of the parts of a chart, for the SVG of `templates/charts.html`: charts need no library and no network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

COLORS = ("#1f6fb4", "#d9742b", "#3f9142", "#c23b3b", "#7d5ba6", "#85604f", "#c964ad", "#6f6f6f", "#a3a526", "#2ba7b8")
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 44
_PLOT_HEIGHT = 320
_LEGEND_ROW = 16


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: name in the legend; an empty name is not shown there.
        points: x and y of each point.
        color: color in SVG syntax.
        dashed: draw the line with gaps.
    """

    name: str
    points: Sequence[Sequence[float]]
    color: str
    dashed: bool = False


DIAGONAL = Line("", [(0, 0), (1, 1)], "#999", dashed=True)


@dataclasses.dataclass(frozen=True)
class Tick:
    """A value on an axis, and its position in pixels."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class LineChart:
    """Lines over bars. The properties are positions in pixels, for the template.

    Attributes:
        title: text above the chart.
        x_name: name of the horizontal axis.
        y_name: name of the vertical axis.
        lines: lines, drawn in order.
        x_range: values at both ends of the horizontal axis.
        y_range: values at both ends of the vertical axis.
        bars: left edge, right edge and height of each bar, drawn first.
        x_log: make the horizontal axis logarithmic; its range must be above 0, and lower values are drawn at its start.
    """

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)
    bars: Sequence[tuple[float, float, float]] = ()
    x_log: bool = False

    width = 420
    plot_height = _PLOT_HEIGHT
    left, right = float(_LEFT), float(width - _RIGHT)
    top, bottom = float(_TOP), float(_PLOT_HEIGHT - _BOTTOM)

    @property
    def height(self) -> int:
        """Height with the legend."""
        return _PLOT_HEIGHT + _LEGEND_ROW * len(self.named) + 8

    @property
    def named(self) -> list[tuple[Line, int]]:
        """Lines of the legend, and the baseline of the text of each."""
        lines = [line for line in self.lines if line.name]
        return [(line, _PLOT_HEIGHT + _LEGEND_ROW * number + 12) for number, line in enumerate(lines)]

    @property
    def x_ticks(self) -> list[Tick]:
        """Values on the horizontal axis."""
        values = log_ticks(*self.x_range) if self.x_log else ticks(*self.x_range)
        return [Tick(self._x(value), f"{value:g}") for value in values]

    @property
    def y_ticks(self) -> list[Tick]:
        """Values on the vertical axis."""
        return [Tick(self._y(value), f"{value:g}") for value in ticks(*self.y_range)]

    @property
    def polylines(self) -> list[tuple[Line, str]]:
        """Lines with their points in SVG syntax."""
        return [
            (line, " ".join(f"{self._x(float(x)):.1f},{self._y(float(y)):.1f}" for x, y in line.points))
            for line in self.lines
            if len(line.points)
        ]

    @property
    def rectangles(self) -> list[tuple[float, float, float, float]]:
        """Left edge, top, width and height of each bar."""
        return [
            (self._x(low), self._y(value), self._x(high) - self._x(low), self.bottom - self._y(value))
            for low, high, value in self.bars
        ]

    def _x(self, value: float) -> float:
        ends = self.x_range
        if self.x_log:
            value, ends = math.log(max(value, ends[0])), (math.log(ends[0]), math.log(ends[1]))
        return self.left + _share(value, ends) * (self.right - self.left)

    def _y(self, value: float) -> float:
        return self.bottom - _share(value, self.y_range) * (self.bottom - self.top)


@dataclasses.dataclass(frozen=True)
class Interval:
    """A named figure between 0 and 1, with its interval."""

    name: str
    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class IntervalChart:
    """A horizontal bar with an interval for each row; a dashed line marks the first row.

    Attributes:
        title: title of the chart, for screen readers.
        x_name: name of the axis.
        rows: rows from top to bottom.
    """

    title: str
    x_name: str
    rows: Sequence[Interval]

    width = 640
    left, right = 110.0, 580.0
    top, row_height = 8, 24

    @property
    def bottom(self) -> int:
        """Lower end of the bars."""
        return self.top + self.row_height * len(self.rows)

    @property
    def x_ticks(self) -> list[Tick]:
        """Values on the axis."""
        return [Tick(self.x(share), f"{share:g}") for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]

    def x(self, share: float) -> float:
        """Return the position of a value."""
        return self.left + share * (self.right - self.left)

    def y(self, row: int) -> float:
        """Return the upper end of a row."""
        return float(self.top + self.row_height * row)


def color(number: int) -> str:
    """Return the color of a line by its number; colors repeat."""
    return COLORS[number % len(COLORS)]


def ticks(low: float, high: float) -> list[float]:
    """Return about five round values from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten from `low` to `high`, with 2 and 5 times each if there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    values = [round(factor * 10.0**power, 10) for power in powers for factor in factors]
    return [value for value in values if low <= value <= high]


def _share(value: float, ends: tuple[float, float]) -> float:
    share = (value - ends[0]) / ((ends[1] - ends[0]) or 1)
    return min(max(share, 0.0), 1.0)
