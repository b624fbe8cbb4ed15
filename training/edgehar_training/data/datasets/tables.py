"""CSV tables of clips, with file names that need not be UTF-8."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from edgehar.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

# Columns that hold file names, the only text that need not be UTF-8.
FILE_COLUMNS = frozenset({"path", "clip"})


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, Any]]]]:
    """Read a CSV table in UTF-8, with or without a byte-order mark.

    Returns:
        The header, and the line number and values of each row.

    Raises:
        DatasetError: it is not a file, not CSV, or a cell other than a file name is not UTF-8.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: is not a file; give a CSV table")
    try:
        # Bytes that are not UTF-8 become lone surrogates, as in the file names that Python lists.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            if not all(map(str.isprintable, header)):
                raise DatasetError(f"{path}: is not a CSV table in UTF-8; save it as one")
            rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DatasetError(f"{path}: is not a CSV table in UTF-8 ({error}); save it as one") from error
    for line, row in rows:
        for name, value in row.items():
            if name not in FILE_COLUMNS and isinstance(value, str) and not _is_utf8(value):
                raise DatasetError(f"{path}, line {line}: {name} is not UTF-8; save the table as a CSV table in UTF-8")
    return header, rows


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
