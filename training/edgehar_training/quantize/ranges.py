"""The int8 range of every place of a network: observed on real data, then written into the graph as fake quantization.

The converter takes the ranges of fake-quantization nodes as they are (8 bits, zero exactly representable: Jacob et al.,
CVPR 2018). A graph with a node at every place needs no representative data set. Its scales are known beforehand, and
the converter's calibrator, which can crash the process, does not run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import ConversionError
from edgehar_training.quantize.arithmetic import RealArithmetic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from edgehar.model.manifest import Affine

    Limits = tuple[float, float]

# A place that has only seen zeros still needs a scale.
SMALLEST_WIDTH = 1e-3
SCALE_BITS = 12
# A channel of zeros still needs a scale.
SMALLEST_WEIGHT = 1e-6
# Largest distance from a whole number of steps of a weight that was stored in such steps: float32 rounding.
WHOLE = 1e-3
# Bounds the memory.
MOST_SEARCHED, SEARCHED_AT_ONCE = 1 << 20, 8


class RangeObserver(RealArithmetic):
    """A quantizer that computes in float and records the range of the values at every place."""

    def __init__(self) -> None:
        self._limits: dict[str, Limits] = {}

    @property
    def limits(self) -> dict[str, Limits]:
        """The smallest and largest value of every place so far."""
        return dict(self._limits)

    def __call__(self, place: str, values: Any, *, bound: float = math.inf) -> Any:
        """Record the range of `values` at `place`, cut to ±`bound`, and return the values unchanged.

        Raises:
            ConversionError: a value is not finite.
        """
        from keras import ops

        seen: npt.NDArray[np.float32] = ops.convert_to_numpy(values)
        low, high = float(seen.min()), float(seen.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ConversionError(f"{place}: the network computes values that are not finite; train it again")
        known_low, known_high = self._limits.get(place, (0.0, SMALLEST_WIDTH))
        self._limits[place] = max(min(known_low, low), -bound), min(max(known_high, high), bound)
        return values

    def weight(self, variable: Any, *, kept: Sequence[int] | None = None, often: bool = False) -> Any:
        """Return the weight in float, in the shape `kept` if given."""
        from keras import ops

        del often
        return _constant(variable) if kept is None else ops.reshape(_constant(variable), kept)

    def bias(self, variable: Any) -> Any:
        """Return the bias in float."""
        return _constant(variable)


class FakeQuantRanges(RealArithmetic):
    """A quantizer that writes known ranges into the graph as fake quantization.

    Args:
        limits: the range of each place, observed or learned. Each is widened to an `exact` range.
        fixed: places whose quantization is given; they override `limits`.
        per_channel: whether weights have a scale for each output channel; otherwise one scale for all channels.
    """

    def __init__(
        self, limits: Mapping[str, Limits], fixed: Mapping[str, Affine] | None = None, *, per_channel: bool = True
    ) -> None:
        self._per_channel = per_channel
        self._limits: dict[str, Limits] = {place: exact(*given) for place, given in limits.items()}
        for place, affine in (fixed or {}).items():
            self._limits[place] = (-128 - affine.zero_point) * affine.scale, (127 - affine.zero_point) * affine.scale

    @property
    def limits(self) -> dict[str, Limits]:
        """The smallest and largest value of every place."""
        return dict(self._limits)

    def __call__(self, place: str, values: Any, *, bound: float = math.inf) -> Any:
        """Fake-quantize float32 `values` to the range of `place`.

        Raises:
            ConversionError: the place has no range.
        """
        del bound
        if place not in self._limits:
            raise ConversionError(f"{place}: has no range; ranges were observed or learned for another network")
        return _fake_quantize(values, *self._limits[place])

    def weight(self, variable: Any, *, kept: Sequence[int] | None = None, often: bool = False) -> Any:
        """Return the weight as a constant, in the steps of its int8 form (symmetric, one scale for each channel)."""
        import tensorflow as tf
        from keras import ops

        per_channel = self._per_channel or often
        # A node of its own tells the converter the steps. Without it, the converter chooses the step of each channel.
        if per_channel and kept is not None:
            with tf.init_scope():
                # The node takes numbers, not a tensor computed from a variable.
                weight, step = in_steps(ops.reshape(_constant(variable), kept), per_channel=True, kept=True)
                weight, most = weight.numpy(), 127 * step.numpy()
            told = tf.quantization.fake_quant_with_min_max_vars_per_channel
            return told(weight, -most, most, num_bits=8, narrow_range=True)
        weight = _constant(variable) if kept is None else ops.reshape(_constant(variable), kept)
        weight, step = in_steps(weight, per_channel=per_channel)
        if per_channel:
            return weight
        most = 127 * step
        return tf.quantization.fake_quant_with_min_max_vars(weight, -most, most, num_bits=8, narrow_range=True)

    def bias(self, variable: Any) -> Any:
        """Return the bias as a constant; the converter rounds it to int32.

        The converter (TensorFlow 2.21) stores a constant with equal elements as one element and rounds it to the steps
        of the first channel for all channels. Changing the last bit of one element prevents that.
        """
        import tensorflow as tf
        from keras import ops

        bias = _constant(variable)
        with tf.init_scope():
            values = ops.convert_to_numpy(_constant(variable)).copy()
        first = values.flat[0]
        if first == 0 or (values != first).any():
            return bias
        values.flat[-1] = np.nextafter(first, np.float32(0))
        return tf.constant(values)


def exact(low: float, high: float) -> Limits:
    """Return the int8 range next to `low` to `high` whose scale has 12 bits and whose zero point is whole.

    Its limits, their difference and the scale are exact in float32, whoever computes them. Both sides of the seam, and
    the trained network and its file, then have the same scale to the bit. The range grows by 1/2048 at most and moves
    by half a step at most.
    """
    step = (high - low) / 255
    bits = math.frexp(step)[1]
    scale = math.ldexp(math.ceil(math.ldexp(step, SCALE_BITS - bits)), bits - SCALE_BITS)
    zero_point = min(127, max(-128, round(-128 - low / scale)))
    return (-128 - zero_point) * scale, (127 - zero_point) * scale


def in_steps(weight: Any, *, per_channel: bool, kept: bool = False) -> tuple[Any, Any]:
    """Return a weight rounded to its int8 steps, and the size of a step.

    A step is the greatest absolute value / 127. With `kept`, a channel that was int8 in another network, where its
    greatest value had fewer steps, keeps those steps: rounding it again costs a deep network more than all its
    activations do.

    The converter then finds weights that are already rounded. Its own rounding decides halves by the last bit of a
    double, and weights that were int8 in another network have many halves.

    Args:
        weight: float32 tensor `(..., channels)`.
        per_channel: whether each channel of the last axis has its own step; otherwise one step for all channels.
        kept: look for the steps of an earlier int8 form, in weights of at most `MOST_SEARCHED` values.

    Returns:
        The rounded weight, float32 and of the same shape, and the step, `(channels,)` or a scalar.
    """
    whole, step = whole_steps(weight, per_channel=per_channel, kept=kept)
    return whole * step, step


def whole_steps(weight: Any, *, per_channel: bool, kept: bool = False) -> tuple[Any, Any]:
    """Return the weight as whole numbers of steps, -127 to 127, float32, and the size of a step; see `in_steps`."""
    from keras import ops

    axes = tuple(range(len(weight.shape) - 1)) if per_channel else None
    greatest = ops.maximum(ops.max(ops.abs(weight), axis=axes), SMALLEST_WEIGHT)
    searched = kept and per_channel and math.prod(weight.shape) <= MOST_SEARCHED
    # A tensor and not a constant: graph compilers multiply by the inverse of a constant, which rounds differently.
    count = _steps_of_greatest(weight, greatest) if searched else ops.where(greatest > 0, 127.0, 1.0)
    step = greatest / count
    return ops.sign(weight) * ops.floor(ops.abs(weight) / step + 0.5), step


def _steps_of_greatest(weight: Any, greatest: Any) -> Any:
    """Return the number of steps, 64 to 127, of each channel's greatest value that makes all its values whole.

    Args:
        weight: float32 tensor `(..., channels)`.
        greatest: largest absolute value of each channel, `(channels,)`.

    Returns:
        float32 `(channels,)`; 127 where no number fits.
    """
    from keras import ops

    rows, found = ops.reshape(weight, (-1, weight.shape[-1])), ops.full_like(greatest, 127.0)
    for first in range(64, 127, SEARCHED_AT_ONCE):
        counts = np.arange(first, first + SEARCHED_AT_ONCE, dtype=np.float32)[:, None, None]
        steps = rows[None] / greatest * counts
        off = ops.max(ops.abs(steps - ops.round(steps)), axis=1)
        # The finest of several, so that 127 stays if every number fits, as with a single weight.
        best = ops.max(ops.where(off < WHOLE, counts[:, 0], 0.0), axis=0)
        found = ops.where(best > 0, best, found)
    own = rows / greatest * 127
    return ops.where(ops.max(ops.abs(own - ops.round(own)), axis=0) < WHOLE, 127.0, found)


def _constant(variable: Any) -> Any:
    from keras import ops

    # Read once, because a recurrent layer uses it in every step. The converter freezes the exported variable.
    return ops.convert_to_tensor(variable)


def _fake_quantize(values: Any, low: float, high: float) -> Any:
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(values, low, high, num_bits=8)
