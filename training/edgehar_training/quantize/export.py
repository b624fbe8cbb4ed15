"""Encoder and head as the graphs that become the int8 files."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.model.manifest import Affine
from edgehar_training.quantize.bias import correct_biases
from edgehar_training.quantize.plan import Plan
from edgehar_training.quantize.simplify import simplified

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

    from edgehar_training.quantize.quantizer import Quantizer

INPUT, SEAM, OUTPUT = "input", "seam", "output"
# Scores in steps of 1/256, as TFLite prescribes for a softmax and every head gives.
SCORES = Affine(scale=1 / 256, zero_point=-128)
# Number of frames or windows processed at once while ranges are observed; bounds the memory.
CHUNK = 128


class Exporter:
    """Encoder and head as functions of tensors, with fake quantization at every place that is int8 on the device.

    Args:
        encoder: `(batch, height, width, channels)` to `(batch, features)`, of layers that `steps` knows.
        head: `(batch, window, features)` to `(batch, classes)`; the same.
        quantizer: computes the values at each place; `RangeObserver` or `FakeQuantRanges`.
        training: keep layers that only act in training, such as dropout.

    Raises:
        ConversionError: a layer cannot be exported, or a weight is not finite.
    """

    def __init__(
        self, encoder: keras.Model, head: keras.Model, quantizer: Quantizer, *, training: bool = False
    ) -> None:
        self._quantizer = quantizer
        self._encoder = Plan(simplified(encoder), INPUT, training=training)
        self._head = Plan(simplified(head), SEAM, training=training)

    def with_quantizer(self, quantizer: Quantizer) -> Exporter:
        """Return an exporter of the same networks with another quantizer."""
        other = copy.copy(self)
        other._quantizer = quantizer  # noqa: SLF001 - a copy of this object
        return other

    def fixed(self, affine: Affine) -> dict[str, Affine]:
        """Return places with known quantization: input, scores, and the seam if the encoder only flattens frames."""
        known = {INPUT: affine, OUTPUT: SCORES}
        return known if self._encoder.computes else {**known, SEAM: affine}

    @property
    def before_seam(self) -> str:
        """The place of the encoder whose values reach the seam, at most reordered."""
        return self._encoder.last_place

    def correct(self, windows: npt.NDArray[np.int8], affine: Affine) -> None:
        """Correct the biases of the encoder for the mean error of int8; see `bias`.

        Args:
            windows: input of the encoder, int8 `(n, window, height, width, channels)`.
            affine: quantization of that input.
        """
        correct_biases(self._encoder, windows, affine, self._quantizer)

    def encode(self, frames: Any) -> Any:
        """Encode float32 `(batch, height, width, channels)` as features, float32 `(batch, features)`."""
        return self.encode_with(frames, self._quantizer)

    def encode_with(self, frames: Any, quantizer: Quantizer) -> Any:
        """Encode with another quantizer."""
        return quantizer(SEAM, self._encoder(quantizer(INPUT, frames), quantizer))

    def classify(self, features: Any) -> Any:
        """Classify float32 `(batch, window, features)`: scores, float32 `(batch, classes)`."""
        return self.classify_with(features, self._quantizer)

    def classify_with(self, features: Any, quantizer: Quantizer) -> Any:
        """Classify with another quantizer."""
        scores = self._head(quantizer(SEAM, features), quantizer)
        return scores if self._head.ends_in_softmax else quantizer(OUTPUT, scores)


def observe(exporter: Exporter, windows: npt.NDArray[np.int8], affine: Affine) -> npt.NDArray[np.float32]:
    """Run the float network on windows, to observe the ranges.

    Args:
        exporter: an exporter with a `RangeObserver`.
        windows: input of the encoder, int8 `(n, window, height, width, channels)`.
        affine: quantization of that input.

    Returns:
        The features, float32 `(n, window, features)`.

    Raises:
        ConversionError: the network computes values that are not finite.
    """
    from keras import ops

    frames = windows.reshape(-1, *windows.shape[2:])
    parts = []
    for begin in range(0, len(frames), CHUNK):
        real = (frames[begin : begin + CHUNK].astype(np.float32) - affine.zero_point) * np.float32(affine.scale)
        parts.append(ops.convert_to_numpy(exporter.encode(ops.convert_to_tensor(real))))
    features: npt.NDArray[np.float32] = np.concatenate(parts).reshape(*windows.shape[:2], -1)
    # Fewer at once if a feature is a pixel.
    share = max(1, CHUNK // max(1, features.shape[2] // 256))
    for begin in range(0, len(features), share):
        exporter.classify(ops.convert_to_tensor(features[begin : begin + share]))
    return features
