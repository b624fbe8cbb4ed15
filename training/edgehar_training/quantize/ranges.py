"""Where values become int8, and the range each of those places must cover."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgehar.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from edgehar.manifest import Affine

# A place that only ever saw zeros still needs a scale.
SMALLEST_WIDTH = 1e-3


class Ranges:
    """The range of every place of a network, first observed on real data, then written into its graph.

    The converter takes the ranges of fake-quantisation nodes as they are (8 bits, zero exactly representable: Jacob et
    al., CVPR 2018). A graph with one at every place needs no representative data set, so its scales are known
    beforehand and the converter's calibrator, which can crash the process, does not run.
    """

    def __init__(self) -> None:
        self._limits: dict[str, tuple[float, float]] = {}
        self._observing = True

    def __call__(self, place: str, values: Any, *, bound: float = math.inf) -> Any:
        """Observe `values` at `place`, or fake-quantise them to what was observed there.

        Args:
            place: name of the place; a network that is shared over time has one for each step.
            values: float32 tensor.
            bound: the range need not go beyond ±`bound`.

        Returns:
            The values to go on with.

        Raises:
            ConversionError: a value is not finite.
        """
        if self._observing:
            self._observe(place, values.numpy(), bound)
            return values
        return _fake_quantise(values, *self._limits[place])

    def freeze(self, fixed: Mapping[str, Affine]) -> None:
        """End observing: from now on values are fake-quantised.

        Args:
            fixed: the exact quantization of places whose range is not to be the observed one.
        """
        for place, affine in fixed.items():
            self._limits[place] = (-128 - affine.zero_point) * affine.scale, (127 - affine.zero_point) * affine.scale
        self._observing = False

    def _observe(self, place: str, values: npt.NDArray[np.float32], bound: float) -> None:
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ConversionError(f"{place}: the network computes values that are not finite; train it again")
        known_low, known_high = self._limits.get(place, (0.0, SMALLEST_WIDTH))
        self._limits[place] = max(min(known_low, low), -bound), min(max(known_high, high), bound)


def _fake_quantise(values: Any, low: float, high: float) -> Any:
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(values, low, high, num_bits=8)
