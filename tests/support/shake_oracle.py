"""What `stabilize` of LookResizer must compute, written for clarity: the reference for the compiled kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from support.looks_oracle import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.oracle import Array

MOST, BANDS, SCALE, FOLLOW = 16, 4, 64, 8
# Sampled rows, of which blocks are made that stay inside the picture at every shift.
ROWS = np.arange(2, HEIGHT, 4)
BLOCK_ROWS, BLOCK_COLUMNS = ROWS[4:56].reshape(13, 4), np.arange(MOST, WIDTH - MOST).reshape(6, 48)


def steadied(bases: Sequence[Array], mask: Array | None = None) -> tuple[list[Array], list[tuple[int, int]]]:
    """Return the base pictures moved back, and how far each was to the right and down, in pixels."""
    shown, moves = [bases[0].astype(int)], [(0, 0)]
    slow = [SCALE * part for part in parts_of(shown[0])]
    for base in bases[1:]:
        now = base.astype(int)
        levels = [rounded(part) for part in slow]
        right, down = (nearest(part, level) for part, level in zip(parts_of(now)[:2], levels[:2], strict=True))
        if not is_clear(now, levels[2], right, down):
            right, down = 0, 0
        shown.append(moved_back(now, shown[-1], mask, right, down))
        moves.append((right, down))
        # Python's division rounds down.
        slow = [part + (SCALE * new - part) // FOLLOW for part, new in zip(slow, parts_of(shown[-1]), strict=True)]
    return shown, moves


def parts_of(picture: Array) -> tuple[Array, Array, Array]:
    """Sums of the columns of four bands, sums of the rows of four bands, and the sampled rows."""
    columns = picture.reshape(BANDS, HEIGHT // BANDS, WIDTH).sum(axis=1)
    rows = picture.T.reshape(BANDS, WIDTH // BANDS, HEIGHT).sum(axis=1)
    return columns, rows, picture[ROWS]


def rounded(slow: Array) -> Array:
    """The slow mean in whole units, rounded half up."""
    return (slow + SCALE // 2) // SCALE


def nearest(now: Array, reference: Array) -> int:
    """The shift with the least difference over all bands, the shortest and negative among equals; 0 for the longest."""
    middle = reference[:, MOST:-MOST]

    def difference(by: int) -> int:
        part = now[:, MOST + by : now.shape[1] - MOST + by]
        # C's division rounds towards zero.
        means = np.trunc((part.sum(axis=1) - middle.sum(axis=1)) / middle.shape[1]).astype(int)
        return int(np.abs(part - middle - means[:, None]).sum())

    best = min(range(-MOST, MOST + 1), key=lambda by: (difference(by), abs(by), by))
    return best if abs(best) < MOST else 0


def is_clear(now: Array, levels: Array, right: int, down: int) -> bool:
    """Whether the moved picture is clearly more like the slow mean."""

    def blocks(right: int, down: int) -> Array:
        differences = np.abs(np.roll(now, (-down, -right), (0, 1))[ROWS] - levels)
        rows = (BLOCK_ROWS - ROWS[0]) // 4
        return np.array([[differences[np.ix_(some, columns)].sum() for columns in BLOCK_COLUMNS] for some in rows])

    still, moved = blocks(0, 0), blocks(right, down)
    better, worse = (8 * moved < 7 * still).sum(), (7 * moved > 8 * still).sum()
    return bool(better >= 2 * worse and 10 * better >= 3 * ((still != 0) | (moved != 0)).sum())


def moved_back(now: Array, before: Array, mask: Array | None, right: int, down: int) -> Array:
    """The picture moved back; what it lacks is from the picture before, and what is masked is black."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + np.array([down, right])[:, None, None]
    has = (rows >= 0) & (rows < HEIGHT) & (columns >= 0) & (columns < WIDTH)
    rows, columns = rows.clip(0, HEIGHT - 1), columns.clip(0, WIDTH - 1)
    if mask is not None:
        has &= mask[rows, columns] != 0
    shown = np.where(has, now[rows, columns], before)
    return shown if mask is None else np.where(mask == 0, 0, shown)
