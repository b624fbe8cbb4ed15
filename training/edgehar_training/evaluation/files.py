"""What an evaluation leaves in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.files import write_text
from edgehar_training.evaluation.page import read_history, report_page
from edgehar_training.evaluation.scored import write_predictions, write_windows
from edgehar_training.evaluation.summary import worst_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgehar_training.evaluation.evaluated import Evaluated


def write_files(
    out: Path,
    evaluated: Evaluated,
    summary: Mapping[str, Any],
    *,
    windows: bool,
    thumbnails: bool,
    hop: int,
    sections: Sequence[tuple[str, str]] = (),
) -> list[Path]:
    """Write `eval.json`, `predictions.csv`, `report.html` and, where wanted, `windows.csv`.

    Args:
        out: the folder, made here.
        evaluated: what was evaluated.
        summary: its figures.
        windows: write the scores of windows too.
        thumbnails: show frames of the worst clips in the report.
        hop: frames between windows, where the network is asked once more for its attention.
        sections: titles and HTML of more parts of the report.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = ["eval.json", "predictions.csv", *(["windows.csv"] if windows else []), "report.html"]
    write_text(out / "eval.json", json.dumps(summary, indent=2) + "\n")
    write_predictions(out / "predictions.csv", evaluated.scored)
    if windows:
        write_windows(out / "windows.csv", evaluated.scored)
    page = report_page(
        summary,
        thumbnails=_thumbnails(evaluated) if thumbnails else {},
        histories=_histories(evaluated),
        attention=_attention(evaluated, hop),
        sections=sections,
    )
    write_text(out / "report.html", page)
    return [out / name for name in names]


def _thumbnails(evaluated: Evaluated) -> dict[str, str]:
    from edgehar_training.evaluation.thumbnails import thumbnail

    if not evaluated.scored.rows:
        return {}
    found = {row.name: thumbnail(row.clip) for row in worst_rows(evaluated.scored)}
    return {name: picture for name, picture in found.items() if picture is not None}


def _histories(evaluated: Evaluated) -> dict[str, Any]:
    root = Path(evaluated.target)
    named = {str(folder.relative_to(root)) if folder != root else folder.name: folder for folder in evaluated.folders}
    found = {name: read_history(folder / "history.csv") for name, folder in named.items()}
    return {name: rows for name, rows in found.items() if rows}


def _attention(evaluated: Evaluated, hop: int) -> list[tuple[str, list[float]]]:
    """Where a single run that was scored has attention: its mean over the windows of a few clips."""
    if len(evaluated.folders) != 1 or any(row.windows is None for row in evaluated.scored.rows):
        return []
    from edgehar_training.evaluation.attention import mean_attention

    return mean_attention(evaluated.folders[0], evaluated.scored, hop)
