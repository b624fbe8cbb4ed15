"""The interface between the steps of a network and the ways to compute them: in float, observed, as int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias


class Quantizer(Protocol):
    """What is done with values at a place and between places, and with weights.

    Values are what the quantizer makes of them: float32 tensors, or `exact.Codes`.
    """

    def __call__(self, place: str, values: Any, *, bound: float = ...) -> Any:
        """The values to go on with at an int8 place, whose range need not go beyond ±`bound`."""

    def weight(self, variable: Any, *, kept: Sequence[int] | None = ..., often: bool = ...) -> Any:
        """A weight as the device has it.

        The weight of a convolution keeps the int8 steps that it came with, in the shape `kept`, of which the last axis
        are the channels of its output. One that is used `often` has a step for each channel of its output in any case:
        the converter does not keep what it is told of those.
        """

    def bias(self, variable: Any) -> Any:
        """A bias, for `linear`."""

    def linear(self, operate: Callable[[Any, Any], Any], values: Any, weight: Any, bias: Any = None) -> Any:
        """`operate(values, weight) + bias`, not yet at a place; int32 on the device."""

    def product(self, operate: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
        """`operate(one, other)`, linear in both; the operators + - * of values do for single values."""

    def activate(self, function: Callable[[Any], Any], values: Any, limits: tuple[float, float]) -> Any:
        """A ReLU that cuts to real `limits`, or nothing where they are infinite."""

    def curve(self, function: Callable[[Any], Any], values: Any, limits: tuple[float, float]) -> Any:
        """A sigmoid, tanh or softmax, whose int8 steps TFLite prescribes: 255 of them between `limits`."""

    def arrange(self, function: Callable[[Any], Any], values: Any) -> Any:
        """Values in another order, or some of them."""

    def join(self, place: str, function: Callable[[Any], Any], parts: Sequence[Any], alone: Sequence[bool]) -> Any:
        """The list of `parts` put together at a place; `alone` says of each that nothing else reads it."""

    def mean(self, function: Callable[[Any], Any], values: Any) -> Any:
        """The mean over all of time, or of a picture, not yet at a place."""

    def pool(self, place: str, function: Callable[[Any], Any], values: Any) -> Any:
        """The means of parts of a picture, in the steps of their place."""

    def real(self, function: Callable[..., Any], *values: Any) -> Any:
        """Anything else, not yet at a place."""

    def zeros_like(self, values: Any) -> Any:
        """A state before the first step."""


# Computes the output of one layer from its inputs.
Step: TypeAlias = Callable[[Sequence[Any], Quantizer], Any]
