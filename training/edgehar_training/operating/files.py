"""Files that `edgehar operate` writes for the clips of runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgehar.files import write_text
from edgehar_training.operating.page import operating_page
from edgehar_training.pages.tables import write_csv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ROC_HEADER = ("of", "score_at_least", "false_positive_rate", "true_positive_rate")
_THRESHOLD_HEADER = (
    *("threshold", "false_alarms", "hours", "false_alarms_per_hour", "false_alarms_low", "false_alarms_high"),
    *("share_of_time_in_alarm", "found", "found_low", "found_high", "found_alone", "open_before", "never"),
    *("latency_median_s", "latency_p90_s"),
)
_UNKNOWN_HEADER = (
    "unknown_raised",
    "unknown_answered_unknown",
    "unknown_answered_background",
    "unknown_answered_event",
)


def write_files(out: Path, summary: Mapping[str, Any]) -> list[Path]:
    """Write `operate.json`, `roc.csv`, `thresholds.csv` and `operate.html`.

    Args:
        out: the folder, made here.
        summary: what `summarize` gives.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "operate.json", json.dumps(summary, indent=2) + "\n")
    write_csv(
        out / "roc.csv",
        _ROC_HEADER,
        ([kind, *point] for kind in summary["roc"] for point in summary["roc"][kind]["points"]),
    )
    unknown = summary["unknown_clips"] is not None
    header = (*_THRESHOLD_HEADER, *(_UNKNOWN_HEADER if unknown else ()))
    write_csv(out / "thresholds.csv", header, (_threshold_row(row) for row in summary["thresholds"]))
    write_text(out / "operate.html", operating_page(summary))
    return [out / name for name in ("operate.json", "roc.csv", "thresholds.csv", "operate.html")]


def _threshold_row(row: Mapping[str, Any]) -> list[Any]:
    alarms, within, delay = row["false_alarms"], row["within"], row["latency_s"]
    values = [
        row["threshold"], alarms["events"], alarms["hours"], alarms["per_hour"], *alarms["interval_95"],
        row["share_of_time"], within["share"], *within["interval_95"], row["alone"]["share"], row["open_before"],
        row["missed"], delay["median"], delay["p90"],
    ]  # fmt: skip
    if (unknown := row["unknown"]) is not None:
        values += [unknown["events"]["share"], *(unknown["answers"][k] for k in ("unknown", "background", "event"))]
    return values
