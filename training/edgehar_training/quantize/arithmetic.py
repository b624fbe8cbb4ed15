"""Arithmetic between int8 places with real numbers, for observing ranges and for export."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Limits = tuple[float, float]


class RealArithmetic(abc.ABC):
    """The operations of `quantizer.Quantizer` on float32 tensors. A quantizer adds the computation at a place."""

    @abc.abstractmethod
    def __call__(self, place: str, values: Any, *, bound: float = ...) -> Any:
        """Return the values to continue with at a place."""

    def linear(self, operate: Callable[[Any, Any], Any], values: Any, weight: Any, bias: Any = None) -> Any:
        """Compute a convolution or a matrix product, and add a bias."""
        result = operate(values, weight)
        return result if bias is None else result + bias

    def product(self, operate: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
        """Compute a function that is linear in both arguments."""
        return operate(one, other)

    def activate(self, function: Callable[[Any], Any], values: Any, limits: Limits) -> Any:
        """Compute a ReLU."""
        del limits
        return function(values)

    def curve(self, function: Callable[[Any], Any], values: Any, limits: Limits) -> Any:
        """Compute a sigmoid, tanh or softmax, whose int8 steps the converter knows."""
        del limits
        return function(values)

    def arrange(self, function: Callable[[Any], Any], values: Any) -> Any:
        """Reorder or select values."""
        return function(values)

    def join(self, place: str, function: Callable[[Any], Any], parts: Sequence[Any], alone: Sequence[bool]) -> Any:
        """Concatenate or stack values."""
        del alone
        return self(place, function(list(parts)))

    def mean(self, function: Callable[[Any], Any], values: Any) -> Any:
        """Compute the mean over all of time, or of a picture."""
        return function(values)

    def pool(self, place: str, function: Callable[[Any], Any], values: Any) -> Any:
        """Compute the means of parts of a picture, in the steps of their place."""
        return self(place, function(values))

    def real(self, function: Callable[..., Any], *values: Any) -> Any:
        """Compute any other function."""
        return function(*values)

    def zeros_like(self, values: Any) -> Any:
        """Return the state before the first step."""
        from keras import ops

        return ops.zeros_like(values)
