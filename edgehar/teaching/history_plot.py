"""A picture of the history: for each camera a calendar, a row for each day and a cell for each hour."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import numpy as np

from edgehar import drawing
from edgehar.errors import ConfigError
from edgehar.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from edgehar.model.manifest import Manifest
    from edgehar.teaching.history import Series

_MOST_DAYS = 31
_CELL_WIDTH, _CELL_HEIGHT, _LEFT, _HEAD = 20, 16, 96, 56
_PANEL_WIDTH = _LEFT + 24 * _CELL_WIDTH + 24
# Lower bound of each class of scores, and its colour as BGR: light to dark, readable without colour.
_CLASSES = (
    (0.0, (246, 240, 232)),
    (0.5, (190, 214, 250)),
    (0.7, (96, 160, 244)),
    (0.9, (32, 84, 200)),
    (0.95, (20, 24, 110)),
)
_INK, _PAPER, _NOTHING = (50, 50, 50), (255, 255, 255), (250, 250, 250)


def draw(path: Path, series: Mapping[str, Series], manifest: Manifest) -> None:
    """Draw the highest smoothed score of an action in every hour, of the last 31 days at most, in UTC.

    Raises:
        ConfigError: there is nothing to draw.
    """
    columns = [i for i, label in enumerate(manifest.labels) if label not in manifest.decision.background]
    panels = [_panel(name, _hourly(found, columns)) for name, found in series.items() if len(found.times_s) and columns]
    if not panels:
        raise ConfigError(f"{path}: the history holds no answer of {manifest.name}; there is nothing to draw")
    height = max(panel.shape[0] for panel in panels)
    row = [np.pad(panel, ((0, height - len(panel)), (0, 0), (0, 0)), constant_values=255) for panel in panels]
    labels = ", ".join(manifest.labels[i] for i in columns)
    content = drawing.png(np.concatenate([_legend(labels, len(row)), np.concatenate(row, axis=1)]))
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def _hourly(found: Series, columns: list[int]) -> dict[int, float]:
    """The highest score of each hour since 1970 that has an answer."""
    best: dict[int, float] = {}
    tops = found.scores[:, columns].max(axis=1)
    for hour, score in zip((found.times_s // 3600).astype(int).tolist(), tops.tolist(), strict=True):
        best[hour] = max(score, best.get(hour, 0.0))
    return best


def _panel(name: str, hours: dict[int, float]) -> npt.NDArray[np.uint8]:
    days = sorted({hour // 24 for hour in hours})[-_MOST_DAYS:]
    panel = np.full((_HEAD + _CELL_HEIGHT * len(days) + 16, _PANEL_WIDTH, 3), _PAPER, np.uint8)
    _text(panel, name, (12, 20))
    for hour in range(0, 24, 6):
        _text(panel, f"{hour:02d}:00", (_LEFT + _CELL_WIDTH * hour, _HEAD - 10))
    for row, day in enumerate(days):
        top = _HEAD + _CELL_HEIGHT * row
        _text(panel, datetime.datetime.fromtimestamp(86_400 * day, datetime.UTC).strftime("%Y-%m-%d"), (12, top + 12))
        for hour in range(24):
            left = _LEFT + _CELL_WIDTH * hour
            _cell(panel, (left, top), _colour(hours.get(24 * day + hour)))
    return panel


def _legend(labels: str, panels: int) -> npt.NDArray[np.uint8]:
    legend = np.full((64, panels * _PANEL_WIDTH, 3), _PAPER, np.uint8)
    _text(legend, f"highest score of each hour (UTC): {labels}", (12, 22))
    for number, (least, colour) in enumerate(_CLASSES):
        left = 12 + 96 * number
        _cell(legend, (left, 36), colour)
        _text(legend, f"{least:g} and up", (left + _CELL_WIDTH + 4, 49), size=11)
    return legend


def _colour(score: float | None) -> tuple[int, int, int]:
    if score is None:
        return _NOTHING
    return next(colour for least, colour in reversed(_CLASSES) if score >= least or least == 0.0)


def _cell(picture: npt.NDArray[np.uint8], place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    left, top = place
    picture[top : top + _CELL_HEIGHT - 2, left : left + _CELL_WIDTH - 2] = colour


def _text(picture: npt.NDArray[np.uint8], text: str, place: tuple[int, int], size: float = 13) -> None:
    drawing.write(picture, text, place, size, _INK)
