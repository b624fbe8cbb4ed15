"""Types of options that are numbers. argparse shows their names: "invalid whole number value: 'x'"."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def whole_number(least: int, most: int | None = None, *, name: str = "whole number") -> Callable[[str], int]:
    """Return a type of whole numbers from `least` to `most`, which may be None for no limit."""

    def read(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            allowed = f"{least} or more" if most is None else f"between {least} and {most}"
            raise argparse.ArgumentTypeError(f"{text} is not {allowed}")
        return value

    read.__name__ = name
    return read


def number_above_0(text: str) -> float:
    """Read a finite number above 0."""
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


number_above_0.__name__ = "number"


def seconds(text: str) -> float:
    """Read a finite number of seconds, 0 or more."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds, 0 or more")
    return value


def share(text: str) -> float:
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
