"""Scores of windows and clips, and figures computed from them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.data import sampling
from edgehar_training.data.frame_order import ORDERED
from edgehar_training.data.preprocess import small_frame
from edgehar_training.runs.run import EVALUATION_HOP
from edgehar_training.scoring.measures import class_measures, confusion_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from edgehar_training.data.frame_order import FrameOrder
    from edgehar_training.data.frames_cache import SmallClip
    from edgehar_training.data.preprocess import Preprocessor

CHUNK = 64


def score_streams(
    model: keras.Model,
    preprocessor: Preprocessor,
    streams: Sequence[npt.NDArray[np.int8]],
    window: int,
    hop: int = EVALUATION_HOP,
    order: FrameOrder = ORDERED,
    *,
    lead_in: int = 0,
) -> list[npt.NDArray[np.float32]]:
    """Score every window of every clip. Each frame is encoded once, as on the device.

    Args:
        model: a network with layers "encoder" and "head".
        preprocessor: converts quantized input to real values.
        streams: int8 `(n, height, width, 3)` per clip, n >= window.
        window: frames in a window.
        hop: frames between windows.
        order: order of the frames in a window.
        lead_in: frames before the first window.

    Returns:
        float32 `(windows, classes)` per clip.
    """
    codes = in_chunks(model.get_layer("encoder"), np.concatenate(list(streams)), preprocessor)
    ends = np.cumsum([len(stream) for stream in streams])
    return score_features(model.get_layer("head"), np.split(codes, ends[:-1]), window, hop, order, lead_in=lead_in)


def score_features(
    head: keras.Model,
    streams: Sequence[npt.NDArray[np.float32]],
    window: int,
    hop: int = EVALUATION_HOP,
    order: FrameOrder = ORDERED,
    *,
    lead_in: int = 0,
) -> list[npt.NDArray[np.float32]]:
    """Score every window of every clip from the features of its frames. Few windows are in memory at a time.

    Args:
        head: `(batch, window, features)` to `(batch, classes)`.
        streams: float32 `(n, features)` per clip, n >= window.
        window: frames in a window.
        hop: frames between windows.
        order: order of the frames in a window.
        lead_in: frames before the first window.

    Returns:
        float32 `(windows, classes)` per clip.
    """
    waiting: list[npt.NDArray[np.float32]] = []
    scores, counts = [], []
    for index in range(len(streams)):
        stream = streams[index]
        starts = sampling.window_starts(len(stream), window, hop, lead_in)
        counts.append(len(starts))
        for start in starts:
            waiting.append(stream[start + order.evaluation(window, start)])
            if len(waiting) == CHUNK:
                scores.append(in_chunks(head, np.stack(waiting)))
                waiting = []
    if waiting:
        scores.append(in_chunks(head, np.stack(waiting)))
    return np.split(np.concatenate(scores), np.cumsum(counts)[:-1])


def score_bundle(bundle: Path, clips: Sequence[SmallClip], hop: int = EVALUATION_HOP) -> list[npt.NDArray[np.float32]]:
    """Score every window of every clip with an int8 bundle, streamed as on the device.

    Args:
        bundle: a model bundle.
        clips: frames at the input size of the bundle.
        hop: frames between windows.

    Returns:
        float32 `(windows, classes)` per clip.
    """
    from edgehar import Classifier

    scores = []
    with Classifier(bundle, hop=hop) as classifier:
        for clip in clips:
            classifier.reset()
            answers = [
                classifier.push(small_frame(pixels, float(time_s), index))
                for index, (pixels, time_s) in enumerate(zip(clip.frames, clip.times_s, strict=True))
            ]
            given = [answer for answer in (*answers, classifier.flush()) if answer is not None]
            scores.append(np.array([list(answer.scores.values()) for answer in given], np.float32))
    return scores


def in_chunks(
    network: keras.Model, inputs: npt.NDArray[Any], preprocessor: Preprocessor | None = None
) -> npt.NDArray[np.float32]:
    """Run a network in chunks of one shape; the last chunk is padded, because a new shape would be traced again.

    Args:
        network: an encoder or a head.
        inputs: its input; int8 if there is a preprocessor.
        preprocessor: converts int8 input to real values.

    Returns:
        float32, one row for each input.
    """
    outputs = []
    for begin in range(0, len(inputs), CHUNK):
        part = inputs[begin : begin + CHUNK]
        filled = np.concatenate([part, np.repeat(part[-1:], CHUNK - len(part), axis=0)])
        real = filled if preprocessor is None else preprocessor.real(filled)
        outputs.append(np.asarray(network.predict_on_batch(real)[: len(part)], np.float32))
    return np.concatenate(outputs)


@dataclasses.dataclass(frozen=True)
class Result:
    """Scores of some clips.

    Attributes:
        truth: index of the true label, int `(clips,)`.
        windows: scores of the windows of each clip, float32 `(windows, classes)`.
    """

    truth: npt.NDArray[np.intp]
    windows: list[npt.NDArray[np.float32]]

    @property
    def clip_scores(self) -> npt.NDArray[np.float32]:
        """Mean score over the windows of each clip, `(clips, classes)`."""
        return np.stack([scores.mean(axis=0) for scores in self.windows])

    @property
    def predicted(self) -> npt.NDArray[np.intp]:
        """Index of the best label of each clip, `(clips,)`."""
        best: npt.NDArray[np.intp] = self.clip_scores.argmax(axis=1)
        return best

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the best label of each clip is the true one, `(clips,)`."""
        right: npt.NDArray[np.bool_] = self.predicted == self.truth
        return right

    @property
    def loss(self) -> float:
        """Cross-entropy of windows, averaged within clips and then over clips, in nats."""
        per_clip = [-np.log(scores[:, t] + 1e-7).mean() for scores, t in zip(self.windows, self.truth, strict=True)]
        return float(np.mean(per_clip))

    @property
    def window_top1(self) -> float:
        """Accuracy of single windows."""
        hits = [scores.argmax(axis=1) == t for scores, t in zip(self.windows, self.truth, strict=True)]
        return float(np.concatenate(hits).mean())


def figures(result: Result, labels: Sequence[str]) -> dict[str, Any]:
    """Return top-1 of clips and windows, loss, confusion (rows are the truth), and measures of each label."""
    confusion = confusion_matrix(result.truth, result.predicted, len(labels))
    return {
        "clips": len(result.truth),
        "top1": float(result.correct.mean()),
        "window_top1": result.window_top1,
        "loss": result.loss,
        "per_class": per_class(confusion, labels),
        "confusion": confusion.tolist(),
    }


def per_class(
    confusion: npt.NDArray[np.int_], labels: Sequence[str], counted: str = "clips"
) -> dict[str, dict[str, float]]:
    """Return precision, recall, F1 and the number of clips (or `counted`) of each label; 0 for an undefined ratio."""
    values = class_measures(confusion)
    return {
        label: {
            **{name: float(values[name][index]) for name in ("precision", "recall", "f1")},
            counted: int(values["support"][index]),
        }
        for index, label in enumerate(labels)
    }
