"""Where values become int8, and the range each of those places must cover."""

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

# A place that only ever saw zeros still needs a scale.
SMALLEST_WIDTH = 1e-3
SCALE_BITS = 12
# A channel of zeros still needs a scale.
SMALLEST_WEIGHT = 1e-6
# How far from a whole number of steps a weight may be that was stored in such steps, as float32 rounds it.
WHOLE = 1e-3
# Bounds the memory.
MOST_SEARCHED, SEARCHED_AT_ONCE = 1 << 20, 8


class Ranges(RealArithmetic):
    """The range of every place of a network, first observed on real data, then written into its graph.

    The converter takes the ranges of fake-quantisation nodes as they are (8 bits, zero exactly representable: Jacob et
    al., CVPR 2018). A graph with one at every place needs no representative data set, so its scales are known
    beforehand and the converter's calibrator, which can crash the process, does not run.

    Args:
        limits: ranges that are known already, by place, so that nothing is observed; None observes.
        per_channel: weights have a scale for each output channel; otherwise one for all.
    """

    def __init__(self, limits: Mapping[str, Limits] | None = None, *, per_channel: bool = True) -> None:
        self._per_channel = per_channel
        self._limits: dict[str, Limits] = {place: exact(*given) for place, given in (limits or {}).items()}
        self._observing = limits is None

    @property
    def limits(self) -> dict[str, Limits]:
        """The least and the greatest value of every place."""
        return dict(self._limits)

    def __call__(self, place: str, values: Any, *, bound: float = math.inf) -> Any:
        """Observe `values` at `place`, or fake-quantise them to what was observed there.

        Args:
            place: name of the place; a network that is shared over time has one for each step.
            values: float32 tensor.
            bound: the range need not go beyond ±`bound`.

        Returns:
            The values to go on with.

        Raises:
            ConversionError: a value is not finite, or a range is not known.
        """
        if self._observing:
            from keras import ops

            self._observe(place, ops.convert_to_numpy(values), bound)
            return values
        if place not in self._limits:
            raise ConversionError(f"{place}: has no range; ranges were observed or learned for another network")
        return _fake_quantise(values, *self._limits[place])

    def weight(self, variable: Any, *, kept: Sequence[int] | None = None, often: bool = False) -> Any:
        """The weight as a constant, in the steps that its int8 form has (symmetric, one scale for each channel)."""
        from keras import ops

        weight = _constant(variable) if kept is None else ops.reshape(_constant(variable), kept)
        if self._observing:
            return weight
        import tensorflow as tf

        per_channel = self._per_channel or often
        # Told by a node of its own: without one the converter gives every channel the step that it would choose.
        if per_channel and kept is not None:
            with tf.init_scope():
                # The node takes numbers, not what is computed from a variable.
                weight, step = in_steps(ops.reshape(_constant(variable), kept), per_channel=True, kept=True)
                weight, most = weight.numpy(), 127 * step.numpy()
            told = tf.quantization.fake_quant_with_min_max_vars_per_channel
            return told(weight, -most, most, num_bits=8, narrow_range=True)
        weight, step = in_steps(weight, per_channel=per_channel)
        if per_channel:
            return weight
        most = 127 * step
        return tf.quantization.fake_quant_with_min_max_vars(weight, -most, most, num_bits=8, narrow_range=True)

    def bias(self, variable: Any) -> Any:
        """The bias as a constant; the converter rounds it to int32.

        It keeps a constant of equal elements as one of them, and rounds that to the steps of the first channel for all
        (TensorFlow 2.21), so they are told apart by the last bit of one.
        """
        bias = _constant(variable)
        if self._observing:
            return bias
        import tensorflow as tf
        from keras import ops

        with tf.init_scope():
            values = ops.convert_to_numpy(_constant(variable)).copy()
        first = values.flat[0]
        if first == 0 or (values != first).any():
            return bias
        values.flat[-1] = np.nextafter(first, np.float32(0))
        return tf.constant(values)

    def freeze(self, fixed: Mapping[str, Affine]) -> None:
        """End observing: from now on values are fake-quantised.

        Args:
            fixed: the exact quantization of places whose range is not to be the observed one.
        """
        if self._observing:
            self._limits = {place: exact(*limits) for place, limits in self._limits.items()}
        for place, affine in fixed.items():
            self._limits[place] = (-128 - affine.zero_point) * affine.scale, (127 - affine.zero_point) * affine.scale
        self._observing = False

    def _observe(self, place: str, values: npt.NDArray[np.float32], bound: float) -> None:
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ConversionError(f"{place}: the network computes values that are not finite; train it again")
        known_low, known_high = self._limits.get(place, (0.0, SMALLEST_WIDTH))
        self._limits[place] = max(min(known_low, low), -bound), min(max(known_high, high), bound)


def exact(low: float, high: float) -> Limits:
    """The int8 range of a scale of 12 bits and a whole zero point that is next to `low` to `high`.

    Its limits, their difference and the scale are then exact in float32 whoever computes them, so that both sides of
    the seam, the trained network and its file have the same scale to the bit. The range grows by 1/2048 at most, and
    moves by half a step at most.
    """
    step = (high - low) / 255
    bits = math.frexp(step)[1]
    scale = math.ldexp(math.ceil(math.ldexp(step, SCALE_BITS - bits)), bits - SCALE_BITS)
    zero_point = min(127, max(-128, round(-128 - low / scale)))
    return (-128 - zero_point) * scale, (127 - zero_point) * scale


def in_steps(weight: Any, *, per_channel: bool, kept: bool = False) -> tuple[Any, Any]:
    """A weight in its int8 steps, and the step; by the last axis where each channel has its own.

    A step is the greatest size / 127. With `kept` a channel that was int8 in another network, with a greatest value of
    fewer steps, keeps those: rounding it once more costs a deep network more than all its activations do.

    The converter finds the same weights, and has nothing left to round. Left to itself it rounds halves by the last bit
    of a double, and weights that were int8 in another network have many halves.

    Args:
        weight: float32 tensor `(..., channels)`.
        per_channel: each channel has a step of its own; otherwise one step for all.
        kept: look for steps that the weight came with; not in weights of more than `MOST_SEARCHED` values.

    Returns:
        The weight in whole steps, float32 and of the same shape, and the step, `(channels,)` or a scalar.
    """
    whole, step = whole_steps(weight, per_channel=per_channel, kept=kept)
    return whole * step, step


def whole_steps(weight: Any, *, per_channel: bool, kept: bool = False) -> tuple[Any, Any]:
    """The same with the weight as whole numbers from -127 to 127, float32."""
    from keras import ops

    axes = tuple(range(len(weight.shape) - 1)) if per_channel else None
    greatest = ops.maximum(ops.max(ops.abs(weight), axis=axes), SMALLEST_WEIGHT)
    searched = kept and per_channel and math.prod(weight.shape) <= MOST_SEARCHED
    # A graph's compiler turns a division by a constant into a product with its inverse, which is not the same.
    count = _steps_of_greatest(weight, greatest) if searched else ops.where(greatest > 0, 127.0, 1.0)
    step = greatest / count
    return ops.sign(weight) * ops.floor(ops.abs(weight) / step + 0.5), step


def _steps_of_greatest(weight: Any, greatest: Any) -> Any:
    """How many steps, 64 to 127, a channel's greatest value has, so that all its values are whole; 127 if none do.

    Args:
        weight: float32 tensor `(..., channels)`.
        greatest: largest absolute value of each channel, `(channels,)`.

    Returns:
        float32 `(channels,)`.
    """
    from keras import ops

    rows, found = ops.reshape(weight, (-1, weight.shape[-1])), ops.full_like(greatest, 127.0)
    for first in range(64, 127, SEARCHED_AT_ONCE):
        counts = np.arange(first, first + SEARCHED_AT_ONCE, dtype=np.float32)[:, None, None]
        steps = rows[None] / greatest * counts
        off = ops.max(ops.abs(steps - ops.round(steps)), axis=1)
        # Of several the finest, so that 127 stays where everything fits, as with one weight alone.
        best = ops.max(ops.where(off < WHOLE, counts[:, 0], 0.0), axis=0)
        found = ops.where(best > 0, best, found)
    own = rows / greatest * 127
    return ops.where(ops.max(ops.abs(own - ops.round(own)), axis=0) < WHOLE, 127.0, found)


def _constant(variable: Any) -> Any:
    from keras import ops

    # Read once: a recurrent layer uses it in every step. What is exported is frozen by the converter.
    return ops.convert_to_tensor(variable)


def _fake_quantise(values: Any, low: float, high: float) -> Any:
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(values, low, high, num_bits=8)
