"""Files of a run for people: metrics.json, history.csv and pictures."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from edgehar.errors import DatasetError
from edgehar.files import whole_file, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


# A matrix of more classes is drawn without numbers.
MOST_NUMBERS = 25


def write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(metrics, indent=2) + "\n")


def read_metrics(path: Path) -> dict[str, Any]:
    """Read the metrics that `write_metrics` wrote.

    Raises:
        DatasetError: the file is missing or not JSON.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: {error}; train the run again") from error
    if not isinstance(metrics, dict):
        raise DatasetError(f"{path}: is not a JSON object; train the run again")
    return metrics


def write_history(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write one row per epoch as CSV."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def draw_curves(path: Path, history: Sequence[dict[str, float]], title: str) -> None:
    """Draw loss and accuracy over epochs as a PNG."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axis, key, name in zip(axes, ("loss", "accuracy"), ("cross-entropy", "accuracy"), strict=True):
        axis.plot(epochs, [row[key] for row in history], label="training windows")
        axis.plot(epochs, [row[f"val_{key}"] for row in history], label="validation clips")
        axis.set(xlabel="epoch", ylabel=name)
        axis.legend()
    figure.suptitle(title)
    _save(figure, path)


def draw_confusion(path: Path, confusion: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> None:
    """Draw a confusion matrix (rows are the truth) as a PNG; for many classes smaller, and with colors only."""
    pyplot = _pyplot()
    few = len(labels) <= MOST_NUMBERS
    side = max(4.0, (0.7 if few else 0.18) * len(labels) + 2)
    figure, axis = pyplot.subplots(figsize=(side, side), layout="constrained")
    axis.imshow([[count / max(sum(row), 1) for count in row] for row in confusion], cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(confusion if few else ()):
        for x, count in enumerate(row):
            axis.text(x, y, str(count), ha="center", va="center", color="black" if 2 * count <= sum(row) else "white")
    size = "medium" if few else "xx-small"
    axis.set_xticks(range(len(labels)), labels, rotation=45 if few else 90, ha="right" if few else "center", size=size)
    axis.set_yticks(range(len(labels)), labels, size=size)
    axis.set(xlabel="predicted", ylabel="true")
    axis.set_title(title, fontsize="medium", wrap=True)
    _save(figure, path)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
    _pyplot().close(figure)
