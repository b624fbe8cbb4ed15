"""Tables of figures: CSV files, and intervals in words."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from edgehar.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV, whole or not at all. Numbers have six decimals; None is an empty cell."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([round(value, 6) if isinstance(value, float) else value for value in row] for row in rows)


def interval_text(interval: Sequence[float], decimals: int = 3) -> str:
    """Return an interval in words, for example "0.412 to 0.536"."""
    return f"{interval[0]:.{decimals}f} to {interval[1]:.{decimals}f}"
