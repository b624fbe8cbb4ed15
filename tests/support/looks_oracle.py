"""What LookResizer must compute, written for clarity: the reference that tests compare the compiled kernel with."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from support.oracle import area_average, grey, motion, quantise, shrunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar.frames import Frame
    from support.oracle import Array

HEIGHT, WIDTH, CELL = 240, 320, 4
QUIET_LEVELS, STEP_OF_256 = 6, 24


def base_of(frame: Frame, mask: Array | None = None, **options: object) -> Array:
    """The grey picture of 240x320 that everything else is made of; pixels where the mask is 0 are black."""
    base = grey(shrunk(frame, HEIGHT, WIDTH, **options))
    return base if mask is None else np.where(mask == 0, 0, base)


def cells_of(base: Array) -> Array:
    """Means of cells of 4x4 pixels, rounded half up."""
    sums = base.astype(int).reshape(HEIGHT // CELL, CELL, WIDTH // CELL, CELL).sum(axis=(1, 3))
    return (sums + 8) // 16


def energies(bases: Sequence[Array]) -> list[Array]:
    """The energy of every cell after each frame."""
    energy = np.zeros((HEIGHT // CELL, WIDTH // CELL), int)
    found = [energy]
    cells = [cells_of(base) for base in bases]
    for before, now in itertools.pairwise(cells):
        beyond = np.maximum(np.abs(now - before) - QUIET_LEVELS, 0)
        # Python's division rounds down.
        energy = energy + (256 * beyond - energy) * STEP_OF_256 // 256
        found.append(energy)
    return found


def place_of(energy: Array, side: int) -> tuple[int, int]:
    """Top and left, in pixels, of the square of `side` pixels with the most energy, which counts most in its middle."""
    if not energy.any():
        return (HEIGHT - side) // CELL // 2 * CELL, (WIDTH - side) // CELL // 2 * CELL
    count = side // CELL
    weights = np.minimum(np.arange(count) + 1, count - np.arange(count))
    squares = np.lib.stride_tricks.sliding_window_view(energy, (count, count)) @ weights @ weights
    row, column = np.unravel_index(squares.argmax(), squares.shape)
    return int(row) * CELL, int(column) * CELL


def looks(
    bases: Sequence[Array], height: int, width: int, scale: float, zero_point: int, side: int
) -> tuple[Array, list[tuple[int, int]]]:
    """Both looks at each base picture, int8 `(n, 2, height, width, 3)`, and the place of each square."""
    whole = motion([_colored(area_average(_colored(base), height, width)) for base in bases])
    places = [place_of(energy, side) for energy in energies(bases)]
    crops = []
    for number, (top, left) in enumerate(places):
        squares = [
            area_average(_colored(bases[max(0, number - age)][top : top + side, left : left + side]), height, width)
            for age in (2, 1, 0)
        ]
        crops.append(motion(squares)[-1])
    both = np.stack([np.array(whole), np.array(crops)], axis=1)
    return quantise(both, scale, zero_point), places


def _colored(picture: Array) -> Array:
    return picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
