"""Sums, products and means of int8 values, bit-exact with XNNPACK on x86-64, with gradients.

An int8 value minus its zero point is a whole number. Products of two such values, and their sums, are exact in float32
below 2^24, in any order and on any device: a convolution of at most 255 * 127 stays below up to 518 products of largest
size, and real weights are far smaller. Only the conversion back to 8 bits rounds. XNNPACK rounds float32(sum) *
float32(input scale * weight scale / output scale) to the nearest whole number, ties to even ("fp32" requantization:
src/qs8-gemm, src/operators/convolution-nhwc.c). Other operations round in their own ways, which their classes name.

The backward pass ignores rounding, and values outside a range get no gradient (Jacob et al., CVPR 2018).
"""

from __future__ import annotations

import abc
import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[Any], Any]

ANY = (-math.inf, math.inf)
# Multipliers of a sum have 21 bits (src/microparams-init.c), of which float32 multiplies 11 and 10 exactly.
_POWERS = np.ldexp(np.float32(1), np.arange(-40, 41))
_MULTIPLIER, _PART = 2.0**20, 2.0**10


@dataclass(frozen=True)
class Steps:
    """The int8 steps of a place, float32 scalars each.

    Attributes:
        scale: real size of a step.
        low: the smallest code minus the zero point, a whole number of steps from -255 to 0.
        high: the largest code minus the zero point, `low + 255`.
        wide: the scale with more digits, if it is not a float32 number; used for int32 biases.
        place: name of the place, "" if none.
    """

    scale: Any
    low: Any
    high: Any
    wide: Any = None
    place: str = ""

    @property
    def zero_point(self) -> Any:
        """The code of 0."""
        return -128.0 - self.low


@dataclass(frozen=True)
class Weight:
    """A weight in int8 steps.

    Attributes:
        values: whole numbers from -127 to 127, float32.
        scale: real size of a step, `(channels,)` or a scalar.
        wide: the same to more digits.
    """

    values: Any
    scale: Any
    wide: Any


@dataclass(frozen=True)
class Codes:
    """int8 values less their zero point.

    Attributes:
        values: whole numbers, float32.
        steps: theirs.
        origin: the values before rounding.
    """

    values: Any
    steps: Steps
    origin: Unrounded | None = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the values."""
        return tuple(self.values.shape)

    def real(self) -> Any:
        """Return real numbers, float32."""
        return self.values * self.steps.scale

    def arranged(self, function: Function) -> Codes:
        """Reorder or select values."""
        return Codes(function(self.values), self.steps)

    def __getitem__(self, key: Any) -> Codes:
        return self.arranged(lambda values: values[key])

    def __add__(self, other: Codes) -> Unrounded:
        return Sum(self, other, 1.0)

    def __sub__(self, other: Codes) -> Unrounded:
        return Sum(self, other, -1.0)

    def __mul__(self, other: Codes) -> Unrounded:
        # Rounded, though whole: a compiler would multiply by the scale first.
        return Products(nearest(self.values * other.values), self.steps.scale * other.steps.scale)


@dataclass(frozen=True)
class Unrounded(abc.ABC):
    """The result of an operation that has no int8 steps yet."""

    limits: tuple[float, float] = dataclasses.field(default=ANY, kw_only=True)

    def real(self) -> Any:
        """Return real numbers, float32."""
        return keras.ops.clip(self.within(1.0), *self.limits)

    @abc.abstractmethod
    def within(self, scale: Any) -> Any:
        """Return values in steps of `scale`, not rounded and not cut by an activation; gradients take this path."""

    def whole(self, values: Any, steps: Steps) -> Any:
        """Return the nearest whole number of steps, as XNNPACK rounds."""
        del steps
        return keras.ops.round(values)

    def activated(self, limits: tuple[float, float]) -> Unrounded:
        """Cut to real limits, those of a ReLU."""
        return dataclasses.replace(self, limits=limits)

    def arranged(self, function: Function) -> Unrounded:
        """Reorder values; channels stay last."""
        return Real(function(self.real()))


@dataclass(frozen=True)
class Products(Unrounded):
    """Sums of products, whole numbers below 2^24, in steps of `scale`, by channel or all the same."""

    values: Any
    scale: Any

    def within(self, scale: Any) -> Any:
        return self.values * (self.scale / scale)

    def arranged(self, function: Function) -> Unrounded:
        return dataclasses.replace(self, values=function(self.values))


@dataclass(frozen=True)
class Real(Unrounded):
    """Real numbers, float32, which are rounded as they are."""

    values: Any

    def within(self, scale: Any) -> Any:
        return self.values / scale


@dataclass(frozen=True)
class Sum(Unrounded):
    """The sum (sign 1) or difference (sign -1) of two, by multipliers of 21 bits, halves upwards (src/qs8-vadd)."""

    one: Codes
    other: Codes
    sign: float

    def within(self, scale: Any) -> Any:
        one, other = self.one, self.other
        return one.values * (one.steps.scale / scale) + other.values * (self.sign * other.steps.scale / scale)

    def whole(self, values: Any, steps: Steps) -> Any:
        del values
        ops = keras.ops
        ratios = ops.stack([self.one.steps.scale / steps.scale, self.other.steps.scale / steps.scale])
        power = ops.max(ops.where(ops.max(ratios) >= _POWERS, _POWERS, 0.0))
        multipliers = ops.round(ratios / power * _MULTIPLIER) * np.array([1.0, self.sign], np.float32)
        upper = ops.floor(multipliers / _PART)
        lower = multipliers - upper * _PART
        one, other = ops.stop_gradient(self.one.values), ops.stop_gradient(self.other.values)
        carry = ops.floor((one * lower[0] + other * lower[1]) / _PART)
        return ops.floor((one * upper[0] + other * upper[1] + carry) * (power * (_PART / _MULTIPLIER)) + 0.5)


@dataclass(frozen=True)
class Moved(Unrounded):
    """Codes that get other steps, by a multiplier in steps of 1/256, halves upwards (src/qs8-vcvt)."""

    codes: Codes

    def within(self, scale: Any) -> Any:
        return self.codes.values * (self.codes.steps.scale / scale)

    def whole(self, values: Any, steps: Steps) -> Any:
        del values
        multiplier = keras.ops.round(256.0 * (self.codes.steps.scale / steps.scale))
        return keras.ops.floor((keras.ops.stop_gradient(self.codes.values) * multiplier + 128.0) / 256.0)


@dataclass(frozen=True)
class Mean(Unrounded):
    """A mean over `count` values: their codes' sum, zero points and all, by a float32 (src/operators/reduce-nd.c)."""

    sums: Any
    steps: Steps
    count: int

    def within(self, scale: Any) -> Any:
        return self.sums * (self.steps.scale / scale * np.float32(1 / self.count))

    def whole(self, values: Any, steps: Steps) -> Any:
        del values
        zeros = self.count * self.steps.zero_point
        ratio = self.steps.scale / steps.scale * np.float32(1 / self.count)
        shift = steps.zero_point - zeros * ratio
        return keras.ops.round((keras.ops.stop_gradient(self.sums) + zeros) * ratio + shift) - steps.zero_point


def mean_of_parts(function: Function, codes: Codes) -> Codes:
    """Average pools in the steps of the values: halves round away from 0, as in TFLite's own kernel."""
    means, zero = function(codes.values), codes.steps.zero_point
    of_codes = keras.ops.stop_gradient(means) + zero
    away = keras.ops.sign(of_codes) * keras.ops.floor(keras.ops.abs(of_codes) + 0.5) - zero
    return Codes(passing(means, away), codes.steps)


def rounded(values: Unrounded, steps: Steps, *, exactly: bool = True) -> tuple[Codes, Any]:
    """Round values to the steps of a place.

    Args:
        values: the computed values.
        steps: the steps of the place.
        exactly: as the operation rounds; otherwise to the nearest, which differs for few of sums and means.

    Returns:
        Their codes, and the values in these steps before they were rounded or cut.
    """
    ops, (least, most) = keras.ops, values.limits
    within = values.within(steps.scale)
    # Zero is among the codes of every place.
    low = 0.0 * steps.low if least == 0 else steps.low
    high = steps.high if math.isinf(most) else ops.minimum(steps.high, ops.round(most / steps.scale))
    cut = _cut_positive if least == 0 else _cut
    whole = values.whole(ops.stop_gradient(within), steps) if exactly else ops.round(ops.stop_gradient(within))
    return Codes(cut(within, whole, low, high), steps, values), within


def _nearest(values: Any) -> tuple[Any, Callable[..., Any]]:
    def gradient(*args: Any, upstream: Any = None) -> Any:
        return args[0] if upstream is None else upstream

    return keras.ops.round(values), gradient


nearest = keras.ops.custom_gradient(_nearest)


def passing(values: Any, whole: Any) -> Any:
    """Round to whole numbers, with the gradient of the values before rounding."""
    return values + keras.ops.stop_gradient(whole - values)


def _cutting(*, positive: bool) -> Callable[[Any, Any, Any, Any], Any]:
    """Cut whole numbers to a range; gradients pass to `values` inside the range."""

    def cut(values: Any, whole: Any, low: Any, high: Any) -> tuple[Any, Any]:
        ops = keras.ops

        def gradient(*args: Any, upstream: Any = None) -> tuple[Any, ...]:
            upstream = args[0] if upstream is None else upstream
            passed = _inside(upstream, values, low, high, positive=positive)
            return passed, ops.zeros_like(whole), ops.zeros_like(low), ops.zeros_like(high)

        return ops.minimum(ops.maximum(whole, low), high), gradient

    made: Callable[[Any, Any, Any, Any], Any] = keras.ops.custom_gradient(cut)
    return made


def _inside(gradients: Any, values: Any, low: Any, high: Any, *, positive: bool) -> Any:
    """Pass gradients where values are from `low` to `high`; a ReLU, with `low` 0, passes none at 0."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # One pass over memory each.
        if positive:
            gradients, low = tf.raw_ops.ReluGrad(gradients=gradients, features=values), high - 255.0
        return tf.raw_ops.FakeQuantWithMinMaxVarsGradient(gradients=gradients, inputs=values, min=low, max=high)[0]
    above = values > low if positive else values >= low
    return keras.ops.where(keras.ops.logical_and(above, values <= high), gradients, keras.ops.zeros_like(gradients))


_cut, _cut_positive = _cutting(positive=False), _cutting(positive=True)
