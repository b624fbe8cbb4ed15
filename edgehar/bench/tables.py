"""Tables of text, for a terminal and for a page."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


_WIDTH = 110


@dataclass(frozen=True)
class Table:
    """A table: a title, paragraphs about it, the names of its columns, and rows of cells.

    The first `labels` columns hold words, the others figures.
    """

    title: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    labels: int = 1


def as_text(table: Table) -> str:
    """Return the table for a terminal."""
    cells = [table.columns, *table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number < table.labels else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join((table.title, "", *map(_wrapped, table.notes), *lines)) + "\n"


def as_markdown(table: Table) -> str:
    """Return the table for a page, below a heading."""
    rule = ["---" if number < table.labels else "---:" for number in range(len(table.columns))]
    lines = [f"| {' | '.join(row)} |" for row in (table.columns, rule, *table.rows)]
    return "\n".join((f"## {table.title}", "", *map(_wrapped, table.notes), *lines)) + "\n"


def _wrapped(note: str) -> str:
    """Return a paragraph."""
    return textwrap.fill(note, _WIDTH, break_on_hyphens=False) + "\n"
