"""Files that `edgehar operate --ordinary` writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgehar.files import write_text
from edgehar_training.alarms.page import alarms_page
from edgehar_training.file_names import printable_values
from edgehar_training.pages.tables import write_csv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CURVE_HEADER = (
    *("threshold", "false_alarms", "hours", "per_hour", "per_hour_low", "per_hour_high", "share_of_time_in_alarm"),
    *("incidents", "found", "share", "share_low", "share_high", "rang_before", "from_quiet_share"),
    *("delay_median_s", "delay_p90_s"),
)
_RECORDING_HEADER = (
    *("recording", "camera", "run", "ordinary_s", "false_alarms", "incidents", "found"),
    "alarms_from_to_s",
)
_CAMERA_HEADER = ("camera", "recordings", "minutes", "false_alarms", "per_hour", "incidents", "found")


def write_files(out: Path, summary: Mapping[str, Any]) -> list[Path]:
    """Write `alarms.json`, `alarms.csv` (the curve), `cameras.csv`, `recordings.csv` and `alarms.html`.

    Args:
        out: the folder, created here.
        summary: the result of `summarize_bundle` or `summarize_runs`.

    Returns:
        The files.
    """
    summary = printable_values(summary)
    page = alarms_page(summary)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "alarms.json", json.dumps(summary, indent=2) + "\n")
    write_csv(out / "alarms.csv", _CURVE_HEADER, map(_curve_row, summary["curve"]))
    cameras = summary["as_decided"]["per_camera"]
    write_csv(out / "cameras.csv", _CAMERA_HEADER, ([row[name] for name in _CAMERA_HEADER] for row in cameras))
    recordings = map(_recording_row, summary["as_decided"]["per_recording"])
    write_csv(out / "recordings.csv", _RECORDING_HEADER, recordings)
    write_text(out / "alarms.html", page)
    return [out / name for name in ("alarms.json", "alarms.csv", "cameras.csv", "recordings.csv", "alarms.html")]


def _recording_row(row: Mapping[str, Any]) -> list[Any]:
    incidents = row["incidents"]
    alarms = " ".join(f"{start_s:.1f}-{end_s:.1f}" for start_s, end_s in row["alarms"])
    counts = [len(incidents), sum(incident["found"] for incident in incidents)]
    return [*(row[name] for name in _RECORDING_HEADER[:5]), *counts, alarms]


def _curve_row(row: Mapping[str, Any]) -> list[Any]:
    alarms, found, late = row["false_alarms"], row["found"], row["found_from_quiet"]
    cells = [row["threshold"]]
    cells += [None] * 6 if alarms is None else [
        *(alarms["alarms"], alarms["hours"], alarms["per_hour"], *alarms["interval_95"], alarms["share_of_time"])
    ]  # fmt: skip
    cells += [None] * 6 if found is None else [
        *(found["incidents"], found["found"], found["share"], *found["interval_95"], found["rang_before"])
    ]  # fmt: skip
    cells.append(None if late is None else late["share"])
    delay = {"median": None, "p90": None} if found is None else found["delay_s"]
    return [*cells, delay["median"], delay["p90"]]
