"""What `stabilize` of LookResizer must compute, written for clarity: the reference for the compiled kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from support.looks_oracle import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.oracle import Array

# Moves are in eighths of a pixel.
MOST, PARTS, BANDS, SCALE, FOLLOW = 24, 8, 4, 64, 8
# Sampled rows, and the blocks of 4 of them and 32 columns that stay inside the picture at every shift.
ROWS = np.arange(2, HEIGHT, 4)
BLOCK_ROWS, BLOCK_COLUMNS, BLOCKS = slice(6, 54), slice(32, 288), (12, 4, 8, 32)


def steadied(bases: Sequence[Array], mask: Array | None = None) -> tuple[list[Array], list[tuple[int, int]]]:
    """Return the base pictures moved back, and how far each was to the right and down, in eighths of a pixel."""
    shown, moves = [bases[0].astype(int)], [(0, 0)]
    slow = [SCALE * part for part in parts_of(shown[0])]
    for base in bases[1:]:
        now = base.astype(int)
        right, down = found(now, slow)
        shown.append(moved_back(now, shown[-1], mask, right, down))
        moves.append((right, down))
        slow = followed(slow, shown[-1])
    return shown, moves


def found(now: Array, slow: Sequence[Array]) -> tuple[int, int]:
    """How far a picture is to the right of the slow mean, and below it."""
    right, down = (nearest(part, mean) for part, mean in zip(parts_of(now)[:2], slow[:2], strict=True))
    return (right, down) if is_clear(now, (slow[2] + SCALE // 2) // SCALE, right, down) else (0, 0)


def followed(slow: Sequence[Array], shown: Array) -> list[Array]:
    """The slow mean after a picture was shown; Python's division rounds down."""
    return [part + (SCALE * new - part) // FOLLOW for part, new in zip(slow, parts_of(shown), strict=True)]


def parts_of(picture: Array) -> tuple[Array, Array, Array]:
    """Sums of the columns of four bands, sums of the rows of four bands, and the sampled rows."""
    columns = picture.reshape(BANDS, HEIGHT // BANDS, WIDTH).sum(axis=1)
    rows = picture.T.reshape(BANDS, WIDTH // BANDS, HEIGHT).sum(axis=1)
    return columns, rows, picture[ROWS]


def nearest(now: Array, slow: Array) -> int:
    """The move with the least difference over all bands: in pixels first, then in eighths within half a pixel of that.

    Among equals the shortest, negative one. None if it is the longest.
    """

    def difference(parts: int, scale: int) -> int:
        # Sums and slow means are compared in units of 1 / scale.
        middle = (slow[:, MOST:-MOST] + SCALE // scale // 2) // (SCALE // scale)
        whole, rest = divmod(parts, PARTS)
        first, last = MOST + whole, now.shape[1] - MOST + whole
        levels = (PARTS - rest) * now[:, first:last] + (rest * now[:, first + 1 : last + 1] if rest else 0)
        levels = levels * scale // PARTS
        # C's division rounds towards zero.
        means = np.trunc((levels.sum(axis=1) - middle.sum(axis=1)) / middle.shape[1]).astype(int)
        return int(np.abs(levels - middle - means[:, None]).sum())

    by = min(range(-MOST, MOST + 1), key=lambda by: (difference(PARTS * by, 1), abs(by), by))
    if abs(by) == MOST:
        return 0
    part = min(range(-4, 5), key=lambda part: (difference(PARTS * by + part, PARTS), abs(part), part))
    return PARTS * by + part


def is_clear(now: Array, levels: Array, right: int, down: int) -> bool:
    """Whether the moved picture is clearly more like the slow mean, also than if it were moved the other way."""

    def blocks(right: int, down: int) -> Array:
        differences = np.abs(interpolated(now, right, down)[ROWS] - levels)
        return differences[BLOCK_ROWS, BLOCK_COLUMNS].reshape(BLOCKS).sum(axis=(1, 3))

    def is_better(other: Array) -> bool:
        better, worse = (8 * moved < 7 * other).sum(), (7 * moved > 8 * other).sum()
        return bool(better >= 2 * worse and 10 * better >= 3 * ((other != 0) | (moved != 0)).sum())

    moved = blocks(right, down)
    near = abs(right) < PARTS and abs(down) < PARTS
    return is_better(blocks(0, 0)) and (not near or is_better(blocks(-right, -down)))


def interpolated(picture: Array, right: int, down: int) -> Array:
    """The picture moved back, rounded half up; what it lacks at its border is from its other side."""
    (across, x), (along, y) = divmod(right, PARTS), divmod(down, PARTS)

    def moved(more_down: int, more_right: int) -> Array:
        return np.roll(picture, (-along - more_down, -across - more_right), (0, 1))

    upper = (PARTS - x) * moved(0, 0) + x * moved(0, 1)
    lower = (PARTS - x) * moved(1, 0) + x * moved(1, 1)
    return ((PARTS - y) * upper + y * lower + PARTS * PARTS // 2) // (PARTS * PARTS)


def moved_back(now: Array, before: Array, mask: Array | None, right: int, down: int) -> Array:
    """The picture moved back; what it lacks is from the picture before, and what is masked is black."""
    seen = np.full((HEIGHT, WIDTH), 255) if mask is None else mask.astype(int)
    rows = np.arange(HEIGHT)[:, None] + np.array([down // PARTS, -(-down // PARTS)])
    columns = np.arange(WIDTH)[:, None] + np.array([right // PARTS, -(-right // PARTS)])
    inside = np.outer(((rows >= 0) & (rows < HEIGHT)).all(axis=1), ((columns >= 0) & (columns < WIDTH)).all(axis=1))
    # All pixels that one was made of are open if so many parts of them are.
    has = inside & (interpolated(PARTS * PARTS * seen, right, down) == PARTS * PARTS * 255)
    shown = np.where(has, interpolated(now, right, down), before)
    return np.where(seen == 0, 0, shown)
