"""Compare the answers of the int8 files with those of the float network, on the same clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.model.interpreter import TfliteModel
from edgehar.model.manifest import Parity
from edgehar_training.data import sampling
from edgehar_training.runs.run import EVALUATION_HOP
from edgehar_training.scoring.clips import Result, score_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    import numpy.typing as npt

    from edgehar_training.data.preprocess import Preprocessor
    from edgehar_training.quantize.child import Int8Files
    from edgehar_training.settings import NetworkSettings


@dataclass(frozen=True)
class Comparison:
    """Scores of the same windows of the same clips by the float network and by the int8 files.

    The answer for a clip is the label with the highest sum of scores over its windows.
    """

    float_result: Result
    int8_result: Result

    @property
    def clips(self) -> int:
        """Clips compared."""
        return len(self.float_result.truth)

    @property
    def windows(self) -> int:
        """Windows compared."""
        return sum(len(scores) for scores in self.float_result.windows)

    @property
    def drop_points(self) -> float:
        """Percentage points of top-1 over clips that int8 loses; negative when it is better."""
        return 100 * float(self.float_result.correct.mean() - self.int8_result.correct.mean())

    @property
    def window_agreement(self) -> float:
        """Share of windows with the same best label."""
        before, after = (np.concatenate(result.windows).argmax(axis=1) for result in self._both)
        return float((before == after).mean())

    def class_drops(self, labels: Sequence[str]) -> dict[str, float]:
        """Return the percentage points of each label that int8 loses; only labels with clips."""
        truth = self.float_result.truth
        lost = self.float_result.correct.astype(float) - self.int8_result.correct
        return {label: 100 * float(lost[truth == i].mean()) for i, label in enumerate(labels) if (truth == i).any()}

    def parity(self) -> Parity:
        """Return top-1 and agreement over clips, and the largest score difference of all windows, for the manifest."""
        before, after = (np.concatenate(result.windows) for result in self._both)
        return Parity(
            clips=self.clips,
            float_top1=float(self.float_result.correct.mean()),
            int8_top1=float(self.int8_result.correct.mean()),
            agreement=float((self.float_result.predicted == self.int8_result.predicted).mean()),
            max_score_difference=min(1.0, float(np.abs(before - after).max())),
        )

    @property
    def _both(self) -> tuple[Result, Result]:
        return self.float_result, self.int8_result


def compare(
    model: keras.Model,
    files: Int8Files,
    preprocessor: Preprocessor,
    streams: Sequence[npt.NDArray[np.int8]],
    truth: npt.NDArray[np.intp],
    network: NetworkSettings,
) -> Comparison:
    """Score clips with the float network and with the int8 files.

    Args:
        model: the float network, with layers "encoder" and "head".
        files: the int8 files made of it.
        preprocessor: gives the real value of quantized input.
        streams: network input for the frames of each clip, int8 `(n, height, width, 3)`, n >= window.
        truth: index of the label of each clip, int `(clips,)`.
        network: settings; its window and lead-in are used.
    """
    window, lead_in = network.window, network.lead_in
    return Comparison(
        Result(truth, score_streams(model, preprocessor, streams, window, lead_in=lead_in)),
        Result(truth, score_int8(files, streams, network)),
    )


def score_int8(
    files: Int8Files, streams: Sequence[npt.NDArray[np.int8]], network: NetworkSettings
) -> list[npt.NDArray[np.float32]]:
    """Score every evaluated window of every clip with the int8 files; each frame is encoded once, as on the device.

    Args:
        files: encoder and head.
        streams: network input for the frames of each clip, int8 `(n, height, width, 3)`, n >= window.
        network: settings; its window and lead-in are used.

    Returns:
        float32 `(windows, classes)` per clip.
    """
    encoder = TfliteModel(files.encoder, name="encoder.tflite")
    head = TfliteModel(files.head, name="head.tflite")
    affine = head.output_quantization
    scores, window = [], network.window
    for stream in streams:
        codes = np.concatenate([encoder.run(frame) for frame in stream])
        starts = sampling.window_starts(len(stream), window, EVALUATION_HOP, network.lead_in)
        raw = np.concatenate([head.run(codes[start : start + window]) for start in starts])
        scores.append((raw.astype(np.float32) - affine.zero_point) * np.float32(affine.scale))
    return scores
