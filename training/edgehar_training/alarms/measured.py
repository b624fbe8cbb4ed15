"""Figures of `edgehar operate` as a bundle's manifest holds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar.errors import ConfigError
from edgehar.events.options import describe
from edgehar.model.manifest import Alarms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgehar.model.manifest import Decision

ALARMS_FILE = "alarms.json"


def measured_alarms(folder: Path, labels: Sequence[str], decision: Decision, *, option: str = "--alarms") -> Alarms:
    """Return what `edgehar operate` measured with the rules that a bundle is to have.

    Args:
        folder: its `--out`.
        labels: labels of the bundle.
        decision: rules of the bundle.
        option: name of the option, for messages.

    Raises:
        ConfigError: the folder holds no such figures, they are of other labels or rules, or there was no ordinary
            footage.
    """
    file = folder / ALARMS_FILE
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{option} {folder}: {file.name} cannot be read ({error}); give the --out of edgehar operate"
        ) from error
    try:
        _check(summary, labels, decision, f"{option} {folder}")
        return _alarms(summary, f"{option} {folder}")
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{file}: is not a file of edgehar operate: {error}; run it again") from error


def _check(summary: dict[str, Any], labels: Sequence[str], decision: Decision, where: str) -> None:
    for what, theirs, ours in (
        ("labels", ", ".join(summary["labels"]), ", ".join(labels)),
        ("background", ", ".join(summary["background"]), ", ".join(sorted(decision.background))),
        ("decision", summary["decision"], describe(decision)),
    ):
        if theirs != ours:
            raise ConfigError(f"{where}: measured with {what} {theirs!r}, but the bundle has {ours!r}")


def _alarms(summary: dict[str, Any], where: str) -> Alarms:
    ordinary, found = summary["as_decided"]["false_alarms"], summary["as_decided"]["found"]
    if ordinary is None:
        raise ConfigError(f"{where}: no ordinary footage was watched; run edgehar operate with --ordinary")
    figures = {
        "protocol": summary["protocol"],
        "labels": summary["alarm_labels"],
        "seeds": summary["seeds"],
        "hours": ordinary["hours"],
        "false_alarms": ordinary["alarms"],
        "per_hour_95": ordinary["interval_95"],
        "incidents": 0 if found is None else found["incidents"],
        "found": 0 if found is None else found["found"],
        "found_95": None if found is None else found["interval_95"],
        "delay_s": None if found is None else found["delay_s"]["median"],
    }
    return msgspec.convert(figures, Alarms)
