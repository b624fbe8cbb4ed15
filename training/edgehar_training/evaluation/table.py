"""The figures of an evaluation as a short text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.summary import spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN_PAIRS = 5
SHOWN_CLASSES = 30


def text_table(summary: Mapping[str, Any], beside: Sequence[tuple[str, str]] = ()) -> str:
    """Return warnings, then accuracy with its interval and protocol, averages, classes and confused pairs.

    Args:
        summary: the result of `summarize`.
        beside: more facts to show below the accuracy, as names and words.
    """
    lines = [f"WARNING: {text}" for text in summary["warnings"]]
    lines += [f"{name:<18} {value}" for name, value in (*_facts(summary), *beside)]
    if summary["clip"] is None:
        return "\n".join(lines)
    lines += ["", *_classes(summary["clip"])]
    if summary["confused"]:
        lines += ["", "most confused"]
        lines += [
            f"  {pair['label']} answered {pair['predicted']}: {pair['count']} times, {pair['share']:.0%} of its clips"
            for pair in summary["confused"][:SHOWN_PAIRS]
        ]
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return rows with aligned columns; the first `left` columns align left, the others right."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        ("network", f"{summary['network']}: {summary['target']}"),
        ("clips", summary["data"]),
        ("protocol", summary["protocol"]),
    ]
    if summary["clip"] is not None:
        facts += _measured(summary)
    if (unknown := summary["unknown"]) is not None:
        told = f"{unknown['clips']} clips, {unknown['abstained']:.1%} not answered under {unknown['threshold']:g}"
        if unknown["known_abstained"] is not None:
            told += f" (of known labels {unknown['known_abstained']:.1%})"
        facts.append(("unknown labels", told))
        answers = ", ".join(f"{label} {count}" for label, count in unknown["answers"].items())
        facts.append(("answered as", answers or "none"))
    return facts


def _measured(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    clip, window = summary["clip"], summary["window"]
    tested = f"{clip['clips']} clips in {clip['groups']} groups"
    facts = [("accuracy", f"{clip['top1']:.3f} {_interval(clip['interval_95'])} on {tested}")]
    if summary["per_seed"]:
        deviation = spread([row["top1"] for row in summary["per_seed"]])
        told = ", ".join(f"seed {row['seed']} {row['top1']:.3f}" for row in summary["per_seed"])
        facts.append(("each seed", told if deviation is None else f"{told}; standard deviation {deviation:.3f}"))
    if window is not None:
        among = f" {_interval(window['interval_95'])} of {window['windows']} windows" if "windows" in window else ""
        facts.append(("of windows", f"{window['top1']:.3f}{among}"))
    if more := ", ".join(f"top-{k} {value:.3f}" for k, value in clip["top_k"].items() if k != "1"):
        facts.append(("top-k", more))
    calibration = f"{clip['ece']:.3f} {_interval(clip['ece_interval_95'])}, Brier score {clip['brier']:.3f}"
    return [
        *facts,
        ("macro F1", f"{clip['macro']['f1']:.3f} {_interval(clip['macro_f1_interval_95'])}"),
        ("calibration error", calibration),
    ]


def _interval(interval: Sequence[float]) -> str:
    return f"(95 % interval {interval[0]:.3f} to {interval[1]:.3f})"


def _classes(clip: Mapping[str, Any]) -> list[str]:
    rows = [["class", "precision", "recall", "F1", "ROC AUC", "AP", "clips"]]
    shown = sorted(clip["per_class"].items(), key=lambda item: item[1]["f1"])[:SHOWN_CLASSES]
    for label, row in shown if len(clip["per_class"]) > SHOWN_CLASSES else clip["per_class"].items():
        keys = ("precision", "recall", "f1", "roc_auc", "average_precision")
        rows.append([label, *(_number(row[key]) for key in keys), str(row["clips"])])
    rows += [
        [f"{name} mean", *(_number(clip[name][key]) for key in ("precision", "recall", "f1")), "", "", ""]
        for name in ("macro", "weighted")
    ]
    lines = columns(rows)
    if len(clip["per_class"]) > SHOWN_CLASSES:
        lines.append(f"(the {SHOWN_CLASSES} classes of the lowest F1 of {len(clip['per_class'])})")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
