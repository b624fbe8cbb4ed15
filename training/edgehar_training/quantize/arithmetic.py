"""What a quantizer computes between int8 places: here with real numbers, as observing and exporting do."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Limits = tuple[float, float]


class RealArithmetic(abc.ABC):
    """The operations of `plan.Quantizer`, on float32 tensors; a quantizer adds what happens at a place."""

    @abc.abstractmethod
    def __call__(self, place: str, values: Any, *, bound: float = ...) -> Any:
        """The values to go on with at a place."""

    def linear(self, operate: Callable[[Any, Any], Any], values: Any, weight: Any, bias: Any = None) -> Any:
        """A convolution or a matrix product, and a bias."""
        result = operate(values, weight)
        return result if bias is None else result + bias

    def product(self, operate: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
        """What is linear in both."""
        return operate(one, other)

    def activate(self, function: Callable[[Any], Any], values: Any, limits: Limits) -> Any:
        """A ReLU."""
        del limits
        return function(values)

    def curve(self, function: Callable[[Any], Any], values: Any, limits: Limits) -> Any:
        """A sigmoid, tanh or softmax: the converter knows their steps."""
        del limits
        return function(values)

    def arrange(self, function: Callable[[Any], Any], values: Any) -> Any:
        """Values in another order, or some of them."""
        return function(values)

    def join(self, place: str, function: Callable[[Any], Any], parts: Sequence[Any], alone: Sequence[bool]) -> Any:
        """Several put together."""
        del alone
        return self(place, function(list(parts)))

    def mean(self, function: Callable[[Any], Any], values: Any) -> Any:
        """The mean over all of time, or of a picture."""
        return function(values)

    def pool(self, place: str, function: Callable[[Any], Any], values: Any) -> Any:
        """The means of parts of a picture, in the steps of their place."""
        return self(place, function(values))

    def real(self, function: Callable[..., Any], *values: Any) -> Any:
        """Anything else."""
        return function(*values)

    def zeros_like(self, values: Any) -> Any:
        """A state before the first step."""
        from keras import ops

        return ops.zeros_like(values)
