"""`report.html`: one file with everything in it, which opens without a network."""

from __future__ import annotations

import csv
import html
from typing import TYPE_CHECKING, Any

from edgehar_training.evaluation.svg import Line, colour, line_chart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    History = Sequence[Mapping[str, str]]

# More lines than these cannot be told apart.
MOST_LINES = 10
MOST_CELLS = 40

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; } th, td { padding: .18rem .6rem; text-align: right; border-bottom: 1px solid #eee; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
.headline { font-size: 2.2rem; font-weight: 600; } .muted { color: #666; }
.warning { background: #b3261e; color: white; font-weight: 600; padding: .6rem .9rem; margin: .5rem 0; }
.confusion td { text-align: center; min-width: 1.8rem; border: 1px solid #fff; } .scroll { overflow-x: auto; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } svg { font: 11px system-ui, sans-serif; }
figure { margin: 0 0 1rem; } figcaption { font-size: .9rem; } img { display: block; max-width: 100%; }
@media (prefers-color-scheme: dark) { svg { background: white; } }
"""


def report_page(
    summary: Mapping[str, Any],
    *,
    thumbnails: Mapping[str, str],
    histories: Mapping[str, History],
    attention: Sequence[tuple[str, Sequence[float]]] = (),
    sections: Sequence[tuple[str, str]] = (),
) -> str:
    """The page.

    Args:
        summary: what `summarize` gives.
        thumbnails: `data:` address of a picture, by name of a clip.
        histories: rows of `history.csv`, by the run's name.
        attention: how much a network looks at each frame of a window, mean over the windows of a clip, by the clip's
            name.
        sections: titles and HTML of what stands after the headline.
    """
    parts = [_head(summary)]
    if summary["clip"] is not None:
        headline, *rest = _measured(summary, thumbnails, histories, attention)
        parts += [headline, *(_section(title, body) for title, body in sections), *rest]
    else:
        parts.append(f"<p>{html.escape(summary['data'])}: no clip is of a label that the network knows.</p>")
    if summary["unknown"] is not None:
        parts.append(_section("Clips of unknown labels", _unknown(summary["unknown"])))
    return "\n".join([*(part for part in parts if part), "</body></html>\n"])


def _measured(
    summary: Mapping[str, Any],
    thumbnails: Mapping[str, str],
    histories: Mapping[str, History],
    attention: Sequence[tuple[str, Sequence[float]]],
) -> list[str]:
    clip = summary["clip"]
    return [
        _headline(summary),
        _section("Confusion", _confusion(clip["confusion"], summary["labels"]) + _pairs(summary["confused"])),
        _section("Classes", _classes(clip)),
        _section("Curves", f'<div class="charts">{_roc(clip)}{_precision_recall(clip)}</div>'),
        _section("Calibration", _calibration(summary)),
        _section("Runs and seeds", _runs(summary)) if summary["seeds"] else "",
        _section("Training", f'<div class="charts">{_training(histories)}</div>') if histories else "",
        _section("Attention", _attention(attention)) if attention else "",
        _section("Worst clips", _worst(summary["worst"], thumbnails)),
        _section("Groups", _groups(summary["per_group"])),
    ]


def read_history(path: Path) -> History:
    """Rows of a `history.csv`; none where there is no such file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], text_columns: Sequence[int] = (0,)) -> str:
    """A table; numbers with a point get three decimals, None a dash."""

    def cells(tag: str, values: Sequence[Any]) -> str:
        kinds = [' class="text"' if number in text_columns else "" for number in range(len(values))]
        return "".join(
            f"<{tag}{kind}>{html.escape(shown(value))}</{tag}>" for kind, value in zip(kinds, values, strict=True)
        )

    lines = [f"<tr>{cells('th', header)}</tr>", *(f"<tr>{cells('td', row)}</tr>" for row in rows)]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def shown(value: Any) -> str:
    """A value as text."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def page_head(title: str) -> str:
    """The beginning of a page, up to its first heading."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>\n<h1>{html.escape(title)}</h1>"
    )


def warning_box(text: str) -> str:
    """A warning that cannot be overlooked."""
    return f'<p class="warning" role="alert">{html.escape(text)}</p>'


def _head(summary: Mapping[str, Any]) -> str:
    boxes = "".join(warning_box(text) for text in summary["warnings"])
    return page_head(f"Evaluation of {summary['network']}") + boxes


def _headline(summary: Mapping[str, Any]) -> str:
    clip, window = summary["clip"], summary["window"]
    low, high = clip["interval_95"]
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
        facts.append(("windows named rightly", f"{window['top1']:.3f}{count}"))
    return (
        f'<p><span class="headline">{clip["top1"]:.1%}</span> of clips named rightly, 95 % interval {low:.1%} to '
        f'{high:.1%} <span class="muted">(bootstrap over groups)</span></p>' + table(("", ""), facts, (0, 1))
    )


def _between(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _section(title: str, body: str) -> str:
    return f"<h2>{html.escape(title)}</h2>\n{body}"


def _confusion(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    if len(labels) > MOST_CELLS:
        return f"<p>{len(labels)} classes: the whole matrix is in eval.json.</p>"
    header = "".join(f"<th>{html.escape(label)}</th>" for label in labels)
    lines = [f'<tr><th class="text">true \\ predicted</th>{header}</tr>']
    for row, (label, counts) in enumerate(zip(labels, confusion, strict=True)):
        total = max(sum(counts), 1)
        cells = "".join(_cell(count, count / total, row == column) for column, count in enumerate(counts))
        lines.append(f'<tr><th class="text">{html.escape(label)}</th>{cells}</tr>')
    return f'<div class="scroll"><table class="confusion">{"".join(lines)}</table></div>'


def _cell(count: int, share: float, right: bool) -> str:
    rgb = "31,111,180" if right else "194,59,59"
    ink = "white" if share > 0.6 else "inherit"
    return f'<td style="background:rgba({rgb},{share:.2f});color:{ink}">{count or ""}</td>'


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return "<p>No clip was named wrongly.</p>"
    rows = [(p["label"], p["predicted"], p["count"], f"{p['share']:.0%}") for p in pairs]
    return "<h3>Most confused</h3>" + table(("true", "answered", "times", "of the label's"), rows, (0, 1))


def _classes(clip: Mapping[str, Any]) -> str:
    header = ("class", "precision", "recall", "F1", "ROC AUC", "average precision", "clips × seeds")
    keys = ("precision", "recall", "f1", "roc_auc", "average_precision", "clips")
    rows: list[tuple[Any, ...]] = [(label, *(row[key] for key in keys)) for label, row in clip["per_class"].items()]
    for name in ("macro", "weighted"):
        means = clip[name]
        rows.append((f"{name} mean", means["precision"], means["recall"], means["f1"], "", "", clip["rows"]))
    return table(header, rows)


def _roc(clip: Mapping[str, Any]) -> str:
    return _class_chart(clip, "roc", "roc_auc", ("ROC, one class against the others", "false alarms", "found"), True)


def _precision_recall(clip: Mapping[str, Any]) -> str:
    words = ("Precision and recall", "recall", "precision")
    return _class_chart(clip, "precision_recall", "average_precision", words, False)


def _class_chart(clip: Mapping[str, Any], curve: str, area: str, words: tuple[str, str, str], diagonal: bool) -> str:
    classes = [(label, row) for label, row in clip["per_class"].items() if clip["curves"][label][curve]]
    # Of many classes the worst are shown: those are what one looks for.
    classes = sorted(classes, key=lambda item: item[1][area])[:MOST_LINES]
    numbers = {label: number for number, label in enumerate(clip["per_class"])}
    lines = [
        Line(f"{label} ({row[area]:.3f})", clip["curves"][label][curve], colour(numbers[label]))
        for label, row in classes
    ]
    if diagonal:
        lines.insert(0, Line("", [(0, 0), (1, 1)], "#999", dashed=True))
    return line_chart(words[0], words[1], words[2], lines)


def _calibration(summary: Mapping[str, Any]) -> str:
    charts = []
    for name in ("clip", "window"):
        part = summary[name]
        if part is None or "reliability" not in part:
            continue
        bars = [(row["low"], row["high"], row["accuracy"]) for row in part["reliability"]]
        lines = [
            Line("", [(0, 0), (1, 1)], "#999", dashed=True),
            Line(
                "mean confidence of the bin", [(r["confidence"], r["accuracy"]) for r in part["reliability"]], "#d9742b"
            ),
        ]
        title = f"{name}s: expected calibration error {part['ece']:.3f}"
        charts.append(line_chart(title, "best score", "share named rightly", lines, bars=bars))
    rows = [
        (f"{row['low']:.2f} to {row['high']:.2f}", row["count"], row["confidence"], row["accuracy"])
        for row in summary["clip"]["reliability"]
    ]
    below = table(("best score", "clips", "mean confidence", "accuracy"), rows)
    return f'<div class="charts">{"".join(charts)}</div>{below}'


def _runs(summary: Mapping[str, Any]) -> str:
    rows = [(row["seed"], row["clips"], row["top1"], row["macro_f1"], row["ece"]) for row in summary["per_seed"]]
    parts = [table(("seed", "clips", "accuracy", "macro F1", "calibration error"), rows)]
    if len(summary["runs"]) > len(rows):
        rows = [(r["seed"], r["fold"], r["clips"], r["top1"], r["window_top1"]) for r in summary["runs"]]
        parts.append(table(("seed", "fold", "clips", "accuracy", "accuracy of windows"), rows))
    return "".join(parts)


def _training(histories: Mapping[str, History]) -> str:
    """Loss and accuracy over epochs: both parts of a single run, the validation part of several."""
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
                lines.append(Line(words, points, colour(number + offset)))
        xs, ys = ([point[axis] for line in lines for point in line.points] for axis in (0, 1))
        if xs:
            top = 1.0 if key == "accuracy" else max(ys)
            charts.append(line_chart(title, "epoch", name, lines, x_range=(1, max(2.0, *xs)), y_range=(0, top or 1.0)))
    return "".join(charts)


def _attention(attention: Sequence[tuple[str, Sequence[float]]]) -> str:
    lines = [Line(name, list(enumerate(weights)), colour(number)) for number, (name, weights) in enumerate(attention)]
    frames = max(len(weights) for _, weights in attention)
    top = max(max(weights) for _, weights in attention)
    chart = line_chart(
        "Weight of each frame, mean over the clip's windows", "frame of the window", "weight", lines,
        x_range=(0, max(1, frames - 1)), y_range=(0, 1.1 * top),
    )  # fmt: skip
    return f"<p>An even look at all frames is {1 / frames:.3f}.</p>{chart}"


def _unknown(unknown: Mapping[str, Any]) -> str:
    known = "–" if unknown["known_abstained"] is None else f"{unknown['known_abstained']:.1%}"
    rows = [
        ("clips", unknown["clips"]),
        ("labels", ", ".join(f"{label} {count}" for label, count in unknown["labels"].items())),
        (f"not answered (best score under {unknown['threshold']:g})", f"{unknown['abstained']:.1%}"),
        ("the same of clips of known labels", known),
        ("answers given", ", ".join(f"{label} {count}" for label, count in unknown["answers"].items()) or "none"),
    ]
    return table(("", ""), rows, (0, 1))


def _worst(worst: Sequence[Mapping[str, Any]], thumbnails: Mapping[str, str]) -> str:
    if not worst:
        return "<p>None: every clip was named rightly.</p>"
    figures = []
    for row in worst:
        picture = thumbnails.get(row["clip"])
        image = "" if picture is None else f'<img src="{picture}" alt="frames of the clip">'
        words = (
            f"{row['clip']} (group {row['group']}): {row['label']} {row['score_of_label']:.3f}, answered "
            f"{row['predicted']} {row['score']:.3f}" + ("" if row["seed"] is None else f", seed {row['seed']}")
        )
        figures.append(f"<figure>{image}<figcaption>{html.escape(words)}</figcaption></figure>")
    return "".join(figures)


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    return table(("group", "clips", "accuracy"), [(row["group"], row["clips"], row["top1"]) for row in groups])
