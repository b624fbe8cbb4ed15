"""Do the parts that `edgehar explain` names carry the answer? Measured on clips that a fold's network has not seen.

    python scripts/studies/explain_truth.py RUNS [--label fight] [--every 2] [--covered 6]

RUNS holds the folds of an experiment, `fold-*/model.edgehar` with `fold-*/splits.csv`. For each clip of the label in
the test part that the network names rightly, the `--covered` cells of 64 that cost most are covered with their mean
over the window, together, and so are as many random cells (five draws). A third cover takes the cells in which most
moves, because an explanation that is no better than motion would not be worth its time. The loss of the score is
averaged over clips; its interval is a bootstrap over cameras.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgehar import Classifier, open_source
from edgehar.inspect.occlusion import CELLS, explain
from edgehar.model.bundle import ModelBundle

if TYPE_CHECKING:
    from edgehar.inspect.occlusion import Explanation

DRAWS, RESAMPLES = 5, 2000
Cells = npt.NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--label", default="fight")
    parser.add_argument("--every", type=int, default=2, help="use every so manyth clip (2)")
    parser.add_argument("--covered", type=int, default=6, help="cells of 64 (6)")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    losses: dict[str, list[list[float]]] = {}
    for bundle_path in sorted(args.runs.glob("fold-*/model.edgehar")):
        bundle = ModelBundle.open(bundle_path)
        for clip, group in unseen(bundle_path.with_name("splits.csv"), args.label)[:: args.every]:
            with open_source(clip) as source:
                found = explain(source, bundle, args.label)
            if found.score > 0.5:
                losses.setdefault(group, []).append(compare(bundle, found, args.covered, rng))
                print(f"{clip}: {found.score:.2f}, lost {np.round(losses[group][-1], 2)}", flush=True)
    report(list(losses.values()), rng)


def unseen(splits: Path, label: str) -> list[tuple[str, str]]:
    """Return clip and group of the test part of a fold; spans of long recordings are left out."""
    with splits.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [(r["clip"], r["group"]) for r in rows if r["part"] == "test" and r["label"] == label and not r["start_s"]]


def compare(bundle: ModelBundle, found: Explanation, count: int, rng: np.random.Generator) -> list[float]:
    """Return the loss of the score with named, random and moving cells covered."""
    steps = np.abs(np.diff(np.stack(found.frames).astype(np.float32), axis=0)).mean(axis=(0, 3))
    motion = np.array([[part.mean() for part in np.array_split(row, CELLS, 1)] for row in np.array_split(steps, CELLS)])
    draws = [chosen(rng.random(CELLS**2), count) for _ in range(DRAWS)]
    return [
        loss(bundle, found, chosen(found.cells.ravel(), count)),
        float(np.mean([loss(bundle, found, cells) for cells in draws])),
        loss(bundle, found, chosen(motion.ravel(), count)),
    ]


def chosen(values: npt.NDArray[np.float64], count: int) -> Cells:
    """Return the cells with the highest values, bool `(cells, cells)`."""
    cells = np.zeros(CELLS**2, np.bool_)
    cells[np.argsort(values)[-count:]] = True
    return cells.reshape(CELLS, CELLS)


def loss(bundle: ModelBundle, found: Explanation, cells: Cells) -> float:
    """Return how much of the score goes when these cells are covered together."""
    height, width = found.frames[0].shape[:2]
    mean = np.mean(found.frames, axis=0).round().astype(np.uint8)
    rows, columns = (np.minimum(np.arange(side) * CELLS // side, CELLS - 1) for side in (height, width))
    mask = cells[rows][:, columns, np.newaxis]
    with Classifier(bundle, hop=1) as classifier:
        answers = [classifier.push(np.where(mask, mean, frame).astype(np.uint8)) for frame in found.frames]
        last = answers[-1] or classifier.flush()
    assert last is not None
    return found.score - last.scores[found.label]


def report(groups: list[list[list[float]]], rng: np.random.Generator) -> None:
    """Print mean losses with 95 % intervals, and how often the named cells cost more than the others."""
    every = np.concatenate([np.array(group) for group in groups])
    samples = [
        np.concatenate([np.array(groups[i]) for i in rng.integers(0, len(groups), len(groups))]).mean(axis=0)
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(samples, (0.025, 0.975), axis=0)
    print(f"{len(every)} clips of {len(groups)} cameras")
    for column, name in enumerate(("named", "random", "moving most")):
        beaten = "" if column == 0 else f"; named cost more in {np.mean(every[:, 0] > every[:, column]):.0%}"
        print(f"{name:<12} {every[:, column].mean():.2f} ({low[column]:.2f} to {high[column]:.2f}){beaten}")


if __name__ == "__main__":
    main()
