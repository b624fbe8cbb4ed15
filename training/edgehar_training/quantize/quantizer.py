"""The interface between the steps of a network and the ways to compute them: in float, observed, as int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias


class Quantizer(Protocol):
    """Computes values at a place and between places, and weights.

    The type of values depends on the quantizer: float32 tensors, or `exact.Codes`.
    """

    def __call__(self, place: str, values: Any, *, bound: float = ...) -> Any:
        """Return the values to continue with at an int8 place, whose range need not exceed ±`bound`."""

    def weight(self, variable: Any, *, kept: Sequence[int] | None = ..., often: bool = ...) -> Any:
        """Return a weight as the device has it.

        The weight of a convolution keeps its earlier int8 steps, in the shape `kept`, whose last axis are the output
        channels. A weight that is used `often` always has one step for each output channel, because the converter
        does not keep other steps.
        """

    def bias(self, variable: Any) -> Any:
        """Return a bias, for `linear`."""

    def linear(self, operate: Callable[[Any, Any], Any], values: Any, weight: Any, bias: Any = None) -> Any:
        """Compute `operate(values, weight) + bias`, before it reaches a place; int32 on the device."""

    def product(self, operate: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
        """Compute `operate(one, other)`, linear in both; the operators + - * do the same element by element."""

    def activate(self, function: Callable[[Any], Any], values: Any, limits: tuple[float, float]) -> Any:
        """Compute a ReLU that cuts to real `limits`, or nothing if they are infinite."""

    def curve(self, function: Callable[[Any], Any], values: Any, limits: tuple[float, float]) -> Any:
        """Compute a sigmoid, tanh or softmax, whose int8 steps TFLite prescribes: 255 of them between `limits`."""

    def arrange(self, function: Callable[[Any], Any], values: Any) -> Any:
        """Reorder or select values."""

    def join(self, place: str, function: Callable[[Any], Any], parts: Sequence[Any], alone: Sequence[bool]) -> Any:
        """Join `parts` at a place; `alone` says for each part whether nothing else reads it."""

    def mean(self, function: Callable[[Any], Any], values: Any) -> Any:
        """Compute the mean over all of time, or of a picture, before it reaches a place."""

    def pool(self, place: str, function: Callable[[Any], Any], values: Any) -> Any:
        """Compute the means of parts of a picture, in the steps of their place."""

    def real(self, function: Callable[..., Any], *values: Any) -> Any:
        """Compute any other function, before it reaches a place."""

    def zeros_like(self, values: Any) -> Any:
        """Return the state before the first step."""


# Computes the output of one layer from its inputs.
Step: TypeAlias = Callable[[Sequence[Any], Quantizer], Any]
