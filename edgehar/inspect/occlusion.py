"""Which part of the picture and which frames decided: cover each, and see how much of the score goes.

Occlusion sensitivity (Zeiler and Fergus, 2014), on the int8 networks as a device runs them. A part of the picture is
covered with its mean over the window, so that nothing moves there. A span of frames is covered by repeating the frame
before it.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

from edgehar import drawing
from edgehar._ring import Resizer
from edgehar.errors import ConfigError, SourceError
from edgehar.model.classifier import Classifier
from edgehar.model.network import Network
from edgehar.model.timegrid import TimeGrid

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.model.bundle import ModelBundle
    from edgehar.records import Prediction

    Image: TypeAlias = npt.NDArray[np.uint8]
    Grid: TypeAlias = npt.NDArray[np.float64]

# Cells along each side; a cover is two cells wide and high, and moves by one.
CELLS = 8
_COVER = 2
# Spans that the window is cut into.
SPANS = 10
_LONGEST_PX = 192


@dataclass(frozen=True)
class Explanation:
    """What the answer for one window rests on.

    Attributes:
        answer: the prediction of the window, of its most likely class or of the one that was asked for.
        label: the class that is explained.
        score: its score, 0 to 1.
        frames: the frames of the window, uint8 `(height, width, 3)` BGR, at most 192 pixels a side.
        cells: mean loss of the score when this cell is covered, float `(8, 8)`. Negative where covering raises it.
        spans: loss of the score when this tenth of the window is frozen, float `(10,)`.
    """

    answer: Prediction
    label: str
    score: float
    frames: list[Image]
    cells: Grid
    spans: Grid


def explain(frames: Iterable[Frame], bundle: ModelBundle, label: str | None = None) -> Explanation:
    """Explain the window of a clip in which a class has its highest score.

    Args:
        frames: of the clip.
        bundle: the model.
        label: the class; None for the one with the highest score.

    Raises:
        ConfigError: the model does not know the class.
        SourceError: the clip has no frames.
    """
    if label is not None and label not in bundle.manifest.labels:
        raise ConfigError(f"label {label!r}: {bundle.manifest.name} knows {', '.join(bundle.manifest.labels)}")
    with Network(bundle) as network:
        answer, window = _best_window(frames, network, label)
        chosen = answer.label if label is None else label
        score = answer.scores[chosen]
        with _Scorer(network, chosen) as scorer:
            cells = _losses_of_cells(scorer, window, score)
            spans = _losses_of_spans(scorer, window, score)
    return Explanation(answer, chosen, score, window, cells, spans)


class _Scorer:
    """Scores of one class for windows of arrays."""

    def __init__(self, network: Network, label: str) -> None:
        self._classifier, self._label = Classifier(network, hop=1), label

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._classifier.close()

    def score(self, window: list[Image]) -> float:
        self._classifier.reset()
        answers = [answer for frame in window if (answer := self._classifier.push(frame)) is not None]
        last = answers[-1] if answers else self._classifier.flush()
        assert last is not None
        return last.scores[self._label]


def _best_window(frames: Iterable[Frame], network: Network, label: str | None) -> tuple[Prediction, list[Image]]:
    temporal = network.bundle.manifest.temporal
    grid, recent = TimeGrid(temporal.rate_hz), deque["Image"](maxlen=temporal.window + temporal.lead_in)
    best: Prediction | None = None
    window: list[Image] = []
    resizer: Resizer | None = None
    with Classifier(network, hop=1) as classifier:
        for frame in frames:
            if not grid.accepts(frame.captured_s):
                continue
            if resizer is None:
                share = min(1.0, _LONGEST_PX / max(frame.height, frame.width))
                resizer = Resizer(round(frame.height * share), round(frame.width * share), dtype="uint8")
            recent.append(np.ascontiguousarray(resizer.resize(frame)[..., ::-1]))
            answer = classifier.push(recent[-1])
            if answer is not None and (best is None or _score(answer, label) > _score(best, label)):
                best, window = answer, list(recent)
        if best is None and recent:
            best, window = classifier.flush(), list(recent)
    if best is None:
        raise SourceError("the clip contains no frames")
    return best, window


def _score(answer: Prediction, label: str | None) -> float:
    return answer.score if label is None else answer.scores[label]


def _losses_of_cells(scorer: _Scorer, window: list[Image], score: float) -> Grid:
    """Return the mean loss of each cell over all covers that include it."""
    height, width = window[0].shape[:2]
    mean = np.mean(window, axis=0).round().astype(np.uint8)
    rows, columns = (np.linspace(0, side, CELLS + 1).round().astype(int) for side in (height, width))
    losses, covers = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for row in range(CELLS - _COVER + 1):
        for column in range(CELLS - _COVER + 1):
            place = np.s_[rows[row] : rows[row + _COVER], columns[column] : columns[column + _COVER]]
            covered = [np.array(frame) for frame in window]
            for frame in covered:
                frame[place] = mean[place]
            cells = np.s_[row : row + _COVER, column : column + _COVER]
            losses[cells] += score - scorer.score(covered)
            covers[cells] += 1
    return np.asarray(losses / covers)


def _losses_of_spans(scorer: _Scorer, window: list[Image], score: float) -> Grid:
    borders = np.linspace(0, len(window), SPANS + 1).round().astype(int)
    losses = []
    for first, last in itertools.pairwise(borders):
        frozen = list(window)
        frozen[first:last] = [window[max(0, first - 1)]] * (last - first)
        losses.append(score - scorer.score(frozen))
    return np.array(losses)


def overlay(explanation: Explanation, number: int, width: int = 640) -> Image:
    """Return a frame of the window with the cells that carry the score in red, and the spans as bars below.

    Args:
        explanation: of a clip.
        number: of the frame.
        width: of the picture, in pixels.

    Returns:
        uint8 `(height, width, 3)`, BGR.
    """
    frame = explanation.frames[number]
    height = round(width * frame.shape[0] / frame.shape[1])
    picture = drawing.resized(frame, width, height, "cubic")
    heat = np.clip(explanation.cells, 0, None) / max(float(explanation.cells.max()), 1e-6)
    shade = drawing.resized(heat.astype(np.float32), width, height, "linear")[..., np.newaxis] * 0.55
    red = np.array([40, 40, 230], np.float64)
    picture = (picture * (1 - shade) + red * shade).round().astype(np.uint8)
    return np.vstack([picture, _bars(explanation, number, width)])


def _bars(explanation: Explanation, number: int, width: int, height: int = 44) -> Image:
    bars: Image = np.full((height, width, 3), 30, np.uint8)
    most = max(float(explanation.spans.max()), 1e-6)
    for span, loss in enumerate(explanation.spans):
        left, right = round(width * span / SPANS), round(width * (span + 1) / SPANS)
        top = round((height - 2) * (1 - max(float(loss), 0.0) / most)) + 2
        drawing.fill_box(bars, (left + 1, top, right - 2, height), (40, 40, 230))
    at = round(width * (number + 0.5) / len(explanation.frames))
    drawing.fill_box(bars, (at - 1, 0, at, height), (240, 240, 240))
    return bars
