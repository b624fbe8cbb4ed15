"""Write the files of an evaluation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehar.files import write_text
from edgehar_training.evaluation.page import ReportExtras, Section, read_history, report_page
from edgehar_training.evaluation.scored import write_predictions, write_windows
from edgehar_training.evaluation.summary import worst_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgehar_training.evaluation.evaluated import Evaluated


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileOptions:
    """The files to write.

    Attributes:
        hop: frames between windows, to compute the attention of the network.
        windows: also write the scores of windows.
        thumbnails: show frames of the worst clips in the report.
        sections: more parts of the report.
    """

    hop: int
    windows: bool = False
    thumbnails: bool = True
    sections: Sequence[Section] = ()


def write_files(out: Path, evaluated: Evaluated, summary: Mapping[str, Any], options: FileOptions) -> list[Path]:
    """Write `eval.json`, `predictions.csv`, `report.html` and, if asked for, `windows.csv`.

    Args:
        out: the folder; created if missing.
        evaluated: the evaluation.
        summary: its figures.
        options: what to write.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = ["eval.json", "predictions.csv", *(["windows.csv"] if options.windows else []), "report.html"]
    write_text(out / "eval.json", json.dumps(summary, indent=2) + "\n")
    write_predictions(out / "predictions.csv", evaluated.scored)
    if options.windows:
        write_windows(out / "windows.csv", evaluated.scored)
    extras = ReportExtras(
        thumbnails=_thumbnails(evaluated) if options.thumbnails else {},
        histories=_histories(evaluated),
        attention=_attention(evaluated, options.hop),
        sections=options.sections,
    )
    write_text(out / "report.html", report_page(summary, extras))
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
    """Return the attention of a single scored run, averaged over the windows of a few clips; none without attention."""
    if len(evaluated.folders) != 1 or any(row.windows is None for row in evaluated.scored.rows):
        return []
    from edgehar_training.evaluation.attention import mean_attention

    return mean_attention(evaluated.folders[0], evaluated.scored, hop)
