"""`report.html`: one self-contained file that opens without a network."""

from __future__ import annotations

import csv
import dataclasses
from typing import TYPE_CHECKING, Any

from edgehar_training.pages.charts import DIAGONAL, Line, LineChart, color
from edgehar_training.pages.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from markupsafe import Markup

    History = Sequence[Mapping[str, str]]

# More lines cannot be told apart.
MOST_LINES = 10
MOST_CELLS = 40


@dataclasses.dataclass(frozen=True)
class Section:
    """One more part of a report, after the headline."""

    title: str
    body: Markup


@dataclasses.dataclass(frozen=True)
class ReportExtras:
    """Parts of a report besides the figures.

    Attributes:
        thumbnails: `data:` URL of a picture, by the name of the clip.
        histories: rows of `history.csv`, by the name of the run.
        attention: weight of each frame of a window, averaged over the windows of a clip, with the name of the clip.
        sections: more parts of the report.
    """

    thumbnails: Mapping[str, str] = dataclasses.field(default_factory=dict)
    histories: Mapping[str, History] = dataclasses.field(default_factory=dict)
    attention: Sequence[tuple[str, Sequence[float]]] = ()
    sections: Sequence[Section] = ()


def report_page(summary: Mapping[str, Any], extras: ReportExtras) -> str:
    """Return the page.

    Args:
        summary: the result of `summarize`.
        extras: what else to show.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    values: dict[str, Any] = {
        "title": f"Evaluation of {summary['network']}",
        "warnings": summary["warnings"],
        "data": summary["data"],
        "clip": summary["clip"],
        "unknown": [] if summary["unknown"] is None else _unknown(summary["unknown"]),
    }
    if summary["clip"] is not None:
        values |= _measured(summary, extras)
    return render("report.html", **values)


def read_history(path: Path) -> History:
    """Read the rows of a `history.csv`; none if there is no such file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []


def _measured(summary: Mapping[str, Any], extras: ReportExtras) -> dict[str, Any]:
    clip = summary["clip"]
    runs = [(row["seed"], row["fold"], row["clips"], row["top1"], row["window_top1"]) for row in summary["runs"]]
    return {
        "labels": summary["labels"],
        "most_cells": MOST_CELLS,
        "facts": _facts(summary),
        "sections": extras.sections,
        "pairs": [(p["label"], p["predicted"], p["count"], f"{p['share']:.0%}") for p in summary["confused"]],
        "classes": _classes(clip),
        "curves": [_roc(clip), _precision_recall(clip)],
        "calibration_charts": _calibration(summary),
        "calibration_rows": [
            (f"{row['low']:.2f} to {row['high']:.2f}", row["count"], row["confidence"], row["accuracy"])
            for row in clip["reliability"]
        ],
        "seed_rows": [
            (row["seed"], row["clips"], row["top1"], row["macro_f1"], row["ece"]) for row in summary["per_seed"]
        ]
        if summary["seeds"]
        else [],
        "run_rows": runs if len(runs) > len(summary["per_seed"]) else [],
        "training": _training(extras.histories),
        "attention": _attention(extras.attention) if extras.attention else None,
        "worst": [_worst(row, extras.thumbnails) for row in summary["worst"]],
        "groups": [(row["group"], row["clips"], row["top1"]) for row in summary["per_group"]],
    }


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    clip, window = summary["clip"], summary["window"]
    seeds = ", ".join(map(str, summary["seeds"])) or "none"
    facts = [
        ("protocol", summary["protocol"]),
        ("clips", f"{clip['clips']} in {clip['groups']} groups: {summary['data']}"),
        ("seeds", seeds + (f", {summary['folds']} folds each" if summary["folds"] else "")),
        ("model", summary["target"]),
        ("top-k", ", ".join(f"top-{k} {value:.3f}" for k, value in clip["top_k"].items())),
        ("macro F1", _between(clip["macro"]["f1"], clip["macro_f1_interval_95"])),
        ("balanced accuracy", f"{clip['balanced_accuracy']:.3f}"),
        ("calibration error", f"{_between(clip['ece'], clip['ece_interval_95'])}, Brier score {clip['brier']:.3f}"),
        ("cross-entropy", f"{clip['cross_entropy']:.3f} nats"),
    ]
    if window is not None:
        count = f" of {window['windows']} windows" if "windows" in window else ""
        facts.append(("accuracy of windows", f"{window['top1']:.3f}{count}"))
    return facts


def _between(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _classes(clip: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    keys = ("precision", "recall", "f1", "roc_auc", "average_precision", "clips")
    rows: list[tuple[Any, ...]] = [(label, *(row[key] for key in keys)) for label, row in clip["per_class"].items()]
    for name in ("macro", "weighted"):
        means = clip[name]
        rows.append((f"{name} mean", means["precision"], means["recall"], means["f1"], "", "", clip["rows"]))
    return rows


def _roc(clip: Mapping[str, Any]) -> LineChart:
    lines = _class_lines(clip, "roc", "roc_auc")
    title, x_name, y_name = "ROC, one class against the others", "false positive rate", "true positive rate"
    return LineChart(title, x_name, y_name, [DIAGONAL, *lines])


def _precision_recall(clip: Mapping[str, Any]) -> LineChart:
    lines = _class_lines(clip, "precision_recall", "average_precision")
    return LineChart("Precision and recall", "recall", "precision", lines)


def _class_lines(clip: Mapping[str, Any], curve: str, area: str) -> list[Line]:
    classes = [(label, row) for label, row in clip["per_class"].items() if clip["curves"][label][curve]]
    # With many classes, show the worst ones.
    classes = sorted(classes, key=lambda item: item[1][area])[:MOST_LINES]
    numbers = {label: number for number, label in enumerate(clip["per_class"])}
    return [
        Line(f"{label} ({row[area]:.3f})", clip["curves"][label][curve], color(numbers[label]))
        for label, row in classes
    ]


def _calibration(summary: Mapping[str, Any]) -> list[LineChart]:
    charts = []
    for name in ("clip", "window"):
        part = summary[name]
        if part is None or "reliability" not in part:
            continue
        bars = [(row["low"], row["high"], row["accuracy"]) for row in part["reliability"]]
        points = [(row["confidence"], row["accuracy"]) for row in part["reliability"]]
        lines = [DIAGONAL, Line("mean confidence of the bin", points, "#d9742b")]
        title = f"{name}s: expected calibration error {part['ece']:.3f}"
        charts.append(LineChart(title, "best score", "accuracy", lines, bars=bars))
    return charts


def _training(histories: Mapping[str, History]) -> list[LineChart]:
    """Return charts of loss and accuracy over epochs: both parts of a single run, the validation part of several."""
    single = len(histories) == 1
    charts = []
    for key, name in (("loss", "cross-entropy"), ("accuracy", "accuracy")):
        title = name if single else f"{name} of validation clips"
        lines = []
        for number, (run, rows) in enumerate(list(histories.items())[:MOST_LINES]):
            columns = (
                ((key, "training windows"), (f"val_{key}", "validation clips")) if single else ((f"val_{key}", run),)
            )
            for offset, (column, words) in enumerate(columns):
                points = [(float(row["epoch"]), float(row[column])) for row in rows if row.get(column)]
                lines.append(Line(words, points, color(number + offset)))
        xs, ys = ([point[axis] for line in lines for point in line.points] for axis in (0, 1))
        if xs:
            top = 1.0 if key == "accuracy" else max(ys)
            charts.append(LineChart(title, "epoch", name, lines, x_range=(1, max(2.0, *xs)), y_range=(0, top or 1.0)))
    return charts


def _attention(attention: Sequence[tuple[str, Sequence[float]]]) -> dict[str, Any]:
    lines = [Line(name, list(enumerate(weights)), color(number)) for number, (name, weights) in enumerate(attention)]
    frames = max(len(weights) for _, weights in attention)
    top = max(max(weights) for _, weights in attention)
    chart = LineChart(
        "Weight of each frame, mean over the windows of the clip",
        "frame of the window",
        "weight",
        lines,
        x_range=(0, max(1, frames - 1)),
        y_range=(0, 1.1 * top),
    )
    return {"equal": 1 / frames, "chart": chart}


def _unknown(unknown: Mapping[str, Any]) -> list[tuple[str, Any]]:
    known = "–" if unknown["known_abstained"] is None else f"{unknown['known_abstained']:.1%}"
    return [
        ("clips", unknown["clips"]),
        ("labels", ", ".join(f"{label} {count}" for label, count in unknown["labels"].items())),
        (f"not answered (best score under {unknown['threshold']:g})", f"{unknown['abstained']:.1%}"),
        ("the same for clips of known labels", known),
        ("answers given", ", ".join(f"{label} {count}" for label, count in unknown["answers"].items()) or "none"),
    ]


def _worst(row: Mapping[str, Any], thumbnails: Mapping[str, str]) -> dict[str, str | None]:
    words = (
        f"{row['clip']} (group {row['group']}): {row['label']} {row['score_of_label']:.3f}, answered "
        f"{row['predicted']} {row['score']:.3f}" + ("" if row["seed"] is None else f", seed {row['seed']}")
    )
    return {"words": words, "picture": thumbnails.get(row["clip"])}
