"""The quantizer of one call of a network with fake quantization."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgehar_training.quantize.exact import (
    Codes,
    Mean,
    Moved,
    Products,
    Real,
    Steps,
    Unrounded,
    Weight,
    mean_of_parts,
    passing,
    rounded,
)
from edgehar_training.quantize.export import OUTPUT
from edgehar_training.quantize.ranges import whole_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgehar.model.manifest import Affine

    Limits = tuple[float, float]
    Function = Callable[[Any], Any]


class FakeQuantizer:
    """Rounds values to the current ranges as `exact.Codes`, and records the range of the values.

    Args:
        ranges: `(places, 2)`, smallest and largest real value of every place; the range includes 0.
        rows: the row of every place.
        entry: steps of the int8 input of the part.
        per_channel: one scale of weights for each output channel; otherwise one for all.
        training: sums and means are rounded to the nearest, which is faster.
    """

    def __init__(
        self, ranges: Any, rows: Mapping[str, int], entry: Steps, *, per_channel: bool, training: bool
    ) -> None:
        self._steps = steps_of(ranges, list(rows)) if rows else {}
        self._entry, self._per_channel, self._exactly = entry, per_channel, not training
        self._seen: dict[str, tuple[Any, Any]] = {}
        self._bounds: dict[str, tuple[float, float]] = {}

    def __call__(self, place: str, values: Any, *, bound: float = math.inf) -> Any:
        if place == OUTPUT:
            return self.curve(lambda scores: scores, values, (0.0, 255 / 256))
        if place not in self._steps:
            # The input is int8 already, and so are the features that a head gets.
            return values if isinstance(values, (Codes, Unrounded)) else self._entered(values)
        if isinstance(values, Codes) and values.steps.place == place:
            return values
        values = _unrounded(values)
        codes, within = rounded(values, self._steps[place], exactly=self._exactly)
        self._note(place, values, within, bound)
        return codes

    def seen(self, same: Mapping[str, str]) -> Any:
        """Return the ranges of the values seen, including zero, `(places, 2)`; shared places take that of the other."""
        ops, places = keras.ops, [same.get(place, place) for place in self._steps]
        scales = ops.stack([self._steps[place].scale for place in places])[:, None]
        flat = ops.stack([limit for place in places for limit in self._seen[place]])
        low, high = np.array([self._bounds[place] for place in places], np.float32).T[:, :, None]
        limits = ops.clip(ops.reshape(flat, (-1, 2)) * scales, low, high)
        return ops.stop_gradient(ops.stack([ops.minimum(limits[:, 0], 0.0), ops.maximum(limits[:, 1], 0.0)], axis=1))

    def weight(self, variable: Any, *, kept: Sequence[int] | None = None, often: bool = False) -> Weight:
        """Return a weight in the steps of its file, symmetric about zero."""
        ops = keras.ops
        weight = ops.convert_to_tensor(variable)
        if kept is not None:
            weight = ops.reshape(weight, kept)
        per_channel = self._per_channel or often
        whole, step = whole_steps(weight, per_channel=per_channel, kept=kept is not None)
        step = ops.stop_gradient(step)
        # The converter finds its scale in the greatest weight, 127 steps as a float32.
        greatest = ops.cast(127.0 * _wide(step), "float32")
        return Weight(passing(weight / step, whole), step, _wide(greatest) / 127.0)

    def bias(self, variable: Any) -> Any:
        """Return a bias; `linear` knows its steps."""
        return keras.ops.convert_to_tensor(variable)

    def linear(self, operate: Callable[[Any, Any], Any], values: Codes, weight: Weight, bias: Any = None) -> Products:
        """Compute a convolution or a matrix product of whole numbers, and add a bias in its int32 steps."""
        sums, steps = operate(values.values, weight.values), values.steps
        if bias is not None:
            ops = keras.ops
            wide = _wide(bias) / ((_wide(steps.scale) if steps.wide is None else steps.wide) * weight.wide)
            whole = ops.cast(ops.sign(wide) * ops.floor(ops.abs(wide) + 0.5), "float32")
            sums = sums + passing(bias / (steps.scale * weight.scale), ops.stop_gradient(whole))
        return Products(sums, steps.scale * weight.scale)

    def product(self, operate: Callable[[Any, Any], Any], one: Codes, other: Codes) -> Products:
        """Compute sums of products of two values."""
        return Products(operate(one.values, other.values), one.steps.scale * other.steps.scale)

    def activate(self, function: Function, values: Any, limits: Limits) -> Any:
        """Compute a ReLU, which is merged into the operation before it."""
        if math.isinf(limits[0]):
            return values
        return values.activated(limits) if isinstance(values, Unrounded) else Real(function(values.real()))

    def curve(self, function: Function, values: Any, limits: Limits) -> Codes:
        """Compute a sigmoid, tanh or softmax in the steps that TFLite prescribes."""
        scale = (limits[1] - limits[0]) / 255
        steps, values = known_steps(scale, limits[0] / scale), function(values.real())
        if keras.backend.backend() != "tensorflow":
            return rounded(Real(values), steps)[0]
        import tensorflow as tf

        # The same in one pass over memory, as the scale is a power of two.
        near = tf.quantization.fake_quant_with_min_max_args(values, *limits, num_bits=8)
        return Codes(near * (1 / scale), steps)

    def arrange(self, function: Function, values: Any) -> Any:
        """Reorder or select values."""
        return values.arranged(function)

    def join(self, place: str, function: Function, parts: Sequence[Any], alone: Sequence[bool]) -> Codes:
        """Join values; a part that nothing else reads is rounded to the joint steps at once."""
        steps, made = self._steps[place], []
        for part, only in zip(parts, alone, strict=True):
            origin = part.origin if only and isinstance(part, Codes) and part.origin is not None else _unrounded(part)
            codes, within = rounded(origin, steps, exactly=self._exactly)
            self._note(place, origin, within, math.inf)
            made.append(codes.values)
        return Codes(function(made), steps)

    def mean(self, function: Function, values: Codes) -> Mean:
        """Compute the mean over all of time, or of a picture."""
        of_values = function(values.values)
        count = math.prod(values.values.shape[1:]) // math.prod(of_values.shape[1:])
        return Mean(passing(of_values * count, keras.ops.round(of_values * count)), values.steps, count)

    def pool(self, place: str, function: Function, values: Codes) -> Codes:
        """Compute the means of parts of a picture."""
        del place
        return mean_of_parts(function, values)

    def real(self, function: Callable[..., Any], *values: Any) -> Real:
        """Compute any other function in real numbers: equal to the file except for ties."""
        return Real(function(*(value.real() for value in values)))

    def zeros_like(self, values: Codes) -> Codes:
        """Return the state before the first step; the converter gives it almost no range."""
        zeros = keras.ops.zeros_like(values.values)
        return Codes(zeros, known_steps(1e-6 / 255, 0.0))

    def _entered(self, values: Any) -> Codes:
        within = values / self._entry.scale
        return Codes(passing(within, keras.ops.round(within)), self._entry)

    def _note(self, place: str, values: Unrounded, within: Any, bound: float) -> None:
        """Record the range of values, given `within` in steps, while ranges may move."""
        if self._exactly:
            return
        low, high = keras.ops.min(within), keras.ops.max(within)
        if place in self._seen:
            low, high = keras.ops.minimum(low, self._seen[place][0]), keras.ops.maximum(high, self._seen[place][1])
        self._seen[place] = low, high
        self._bounds[place] = max(values.limits[0], -bound), min(values.limits[1], bound)


def steps_of(ranges: Any, places: Sequence[str]) -> dict[str, Steps]:
    """Return the int8 steps of ranges `(places, 2)`, with a whole zero point (Jacob et al., section 3)."""
    # All at once: an unrolled layer has hundreds of places.
    ops = keras.ops
    widths = ranges[:, 1] - ranges[:, 0]
    # Not a constant: graph compilers multiply by the inverse of a constant, which rounds differently.
    scales = widths / ops.where(widths > 0, 255.0, 1.0)
    lows = -ops.round(ops.clip(-ranges[:, 0] / scales, 0.0, 255.0))
    parts = (ops.unstack(part, len(places)) for part in (scales, lows, lows + 255.0))
    by_place = zip(places, *parts, strict=True)
    return {place: Steps(scale, low, high, place=place) for place, scale, low, high in by_place}


def steps_of_affine(affine: Affine) -> Steps:
    """Return the int8 steps of a known quantization."""
    # The converter has the scale from limits that are float32.
    least, greatest = (float(np.float32((code - affine.zero_point) * affine.scale)) for code in (-128, 127))
    return known_steps(affine.scale, -128.0 - affine.zero_point, wide=(greatest - least) / 255)


def known_steps(scale: float, low: float, wide: float | None = None) -> Steps:
    """Return the int8 steps of a scale and of the smallest code minus the zero point."""
    scale, low, high = (keras.ops.convert_to_tensor(value, "float32") for value in (scale, low, low + 255.0))
    return Steps(scale, low, high, wide)


def _unrounded(values: Any) -> Unrounded:
    if isinstance(values, Unrounded):
        return values
    return Moved(values) if isinstance(values, Codes) else Real(values)


def _wide(values: Any) -> Any:
    """Convert to the precision of the converter; JAX has float32 only."""
    return keras.ops.cast(values, "float64" if keras.backend.backend() == "tensorflow" else "float32")
