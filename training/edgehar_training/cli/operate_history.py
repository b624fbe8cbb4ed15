"""Alarms that a camera would have had, from its history: `edgehar operate MODEL --history`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from edgehar.cli.common import EXIT_DONE
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edgehar.model.manifest import Manifest
    from edgehar.teaching.history import CameraHistory
    from edgehar.teaching.history_alarms import Alarms

_THRESHOLDS = tuple(step / 20 for step in range(8, 20))


def run(args: argparse.Namespace) -> int:
    """Read the history, print the alarms at each threshold, and the one that keeps the wanted rate."""
    from edgehar.inspect import trial
    from edgehar.teaching.history import read_histories

    if args.ordinary or args.incident or args.unknown or args.out is not None:
        raise ConfigError("--history goes without --ordinary, --incident, --unknown and --out; run the command twice")
    manifest = trial.open_bundle(args.folder).manifest
    found = {}
    for camera in read_histories(args.history):
        own = camera.of_model(manifest)
        if own.answers:
            found[camera.folder.name] = own
    if not found:
        raise ConfigError(f"{args.history}: holds no answer of this model; give the model that the camera ran")
    cameras = {name: _camera(history, manifest, args) for name, history in found.items()}
    if args.json:
        print(json.dumps({"model": manifest.name, "cameras": cameras}, indent=2))
    else:
        print("\n".join(line for name, camera in cameras.items() for line in _lines(name, camera)))
    return EXIT_DONE


def _camera(history: CameraHistory, manifest: Manifest, args: argparse.Namespace) -> dict[str, Any]:
    from edgehar.teaching.alarm_bound import block_maxima, hours_needed, recommend
    from edgehar.teaching.firing import joined
    from edgehar.teaching.history import smoothed
    from edgehar.teaching.history_alarms import alarms_at

    series, answers = smoothed(history.blocks, manifest), joined(history.blocks)

    thresholds: Sequence[float] = args.thresholds or _THRESHOLDS
    actions: dict[str, Any] = {}
    for index, label in enumerate(manifest.labels):
        if label in manifest.decision.background:
            continue
        maxima, hours = block_maxima(series.steps_s, series.scores[:, index])
        rows: list[Alarms] = alarms_at(answers, manifest.labels, manifest.decision, label, thresholds)
        actions[label] = {"thresholds": [dataclasses.asdict(row) for row in rows]}
        if args.at_most is not None:
            bound = recommend(maxima, hours, args.at_most)
            actions[label] |= {
                "at_most_per_day": 24 * args.at_most,
                "threshold": None if bound is None else bound.threshold,
                "hours_needed": hours_needed(maxima, args.at_most),
            }
    return {"hours": float(series.steps_s.sum()) / 3600, "actions": actions}


def _lines(name: str, camera: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {camera['hours']:.1f} hours watched"]
    for label, action in camera["actions"].items():
        lines.append(f"  {label}: threshold, alarms, alarms a day (95 % interval)")
        for row in action["thresholds"]:
            low, high = row["interval_95"]
            lines.append(
                f"    {row['threshold']:.2f}  {row['alarms']:>6}  {row['per_day']:>8.2f} ({low:.2f} to {high:.2f})"
            )
        if "threshold" in action:
            lines.append(f"    {_advice(camera['hours'], action)}")
    return lines


def _advice(hours: float, action: dict[str, Any]) -> str:
    wanted = f"at most {action['at_most_per_day']:.2f} alarms a day (95 % confidence)"
    if action["threshold"] is None:
        return f"{wanted}: {hours:.0f} hours are too few; it takes {action['hours_needed']:.0f} without an alarm"
    return f"{wanted}: threshold {action['threshold'] + 0.0005:.3f}"
