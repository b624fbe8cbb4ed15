"""What `steady_light` of LookResizer must compute, alone and with `stabilize`, written for clarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from support import shake_oracle
from support.looks_oracle import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.oracle import Array

ONE, LEAST, MOST = 4096, 2048, 8192
DOWN, ACROSS, BLOCK = 12, 8, 20 * 40
DARK, OVEREXPOSED, CLEAR, FADE = 16, 250, 2, 128


@dataclass
class Steady:
    """Base pictures as they are shown, and for each its gain in 4096ths and its move in eighths of a pixel."""

    shown: list[Array]
    gains: list[int]
    moves: list[tuple[int, int]]


class Light:
    """Sums of blocks: of the picture that was shown before, and of the last picture without a gain."""

    def __init__(self, picture: Array) -> None:
        self.before = self.now = blocks(picture)
        self.counts = np.zeros(len(self.now), bool)

    def find(self, picture: Array) -> int:
        """The gain that makes the picture as bright as the one before; ONE if it changes too few blocks."""
        self.now = blocks(picture)
        dark = np.minimum(self.now, self.before) < DARK * BLOCK
        self.counts = ~dark & (blocks(picture >= OVEREXPOSED) < BLOCK // 16)
        gain = self.median()
        changed = abs(gain - ONE) * self.now > CLEAR * BLOCK * ONE
        enough = 10 * (changed & self.counts).sum() >= 3 * self.counts.sum()
        return gain if LEAST < gain < MOST and enough else ONE

    def median(self) -> int:
        """The least gain that blocks of half of the brightness need no more than."""
        now, before = self.now[self.counts], self.before[self.counts]
        gains = np.arange(LEAST, MOST)[:, None]
        enough = 2 * (now * (before * ONE <= gains * now)).sum(axis=1) >= now.sum()
        return LEAST + int(enough.argmax()) if enough.any() else MOST

    def is_clear(self, gain: int) -> bool:
        """Whether the picture is clearly more like the one before with this gain."""
        now, wanted = self.now[self.counts], self.before[self.counts]
        before, after = abs(now - wanted), abs(now * gain // ONE - wanted)
        better = (before - after > CLEAR * BLOCK) & (3 * after <= 2 * before)
        worse = after - before > CLEAR * BLOCK
        alike = better & (32 * after <= wanted)
        enough = better.sum() >= 2 * worse.sum() and 10 * alike.sum() >= 3 * len(now) > 0
        return LEAST < gain < MOST and bool(enough)

    def follow(self, gain: int) -> None:
        """Remember the last picture as it is shown."""
        self.before = np.minimum(self.now * gain // ONE, 255 * BLOCK)


class Shake:
    """The slow mean that shake is found against."""

    def __init__(self, picture: Array) -> None:
        self.slow = [shake_oracle.SCALE * part for part in shake_oracle.parts_of(picture)]

    def find(self, picture: Array) -> tuple[int, int]:
        """How far the picture is to the right and down."""
        return shake_oracle.found(picture, self.slow)

    def follow(self, picture: Array) -> None:
        """Let the mean follow a picture as it is shown."""
        self.slow = shake_oracle.followed(self.slow, picture)


def blocks(picture: Array) -> Array:
    """Sums of the blocks."""
    return picture.astype(int).reshape(DOWN, HEIGHT // DOWN, ACROSS, WIDTH // ACROSS).sum(axis=(1, 3)).ravel()


def multiplied(picture: Array, gain: int, before: Array | None = None) -> Array:
    """The picture with a gain; overexposed pixels that get darker keep at least the level that they had before."""
    changed = np.minimum((picture * gain + ONE // 2) // ONE, 255)
    if before is None or gain >= ONE:
        return changed
    return np.where(picture >= OVEREXPOSED, np.maximum(changed, before), changed)


def steadied(bases: Sequence[Array], mask: Array | None = None, *, stabilize: bool = False) -> Steady:
    """Return the base pictures in steady light; with `stabilize`, moved back as well."""
    first = bases[0].astype(int)
    light, shake = Light(first), Shake(first) if stabilize else None
    steady = Steady([first], [ONE], [(0, 0)])
    for base in bases[1:]:
        now, before = base.astype(int), steady.shown[-1]
        gain = light.find(now)
        made = relit(now, before, mask, gain, light, shake) if gain != ONE else None
        if made is None:
            move = shake.find(now) if shake else (0, 0)
            made = shake_oracle.moved_back(now, before, mask, *move), ONE, move
            light.now = blocks(made[0])
            light.follow(ONE)
        if shake:
            shake.follow(made[0])
        for values, value in zip((steady.shown, steady.gains, steady.moves), made, strict=True):
            values.append(value)  # type: ignore[attr-defined]
    return steady


def relit(
    now: Array, before: Array, mask: Array | None, gain: int, light: Light, shake: Shake | None
) -> tuple[Array, int, tuple[int, int]] | None:
    """Return the picture, its gain, found again if it had moved, and its move; None if that is not clear."""
    lit, found = multiplied(now, gain), gain
    move = shake.find(lit) if shake else (0, 0)
    if any(move):
        lit = shake_oracle.moved_back(lit, before, mask, *move)
        light.now = np.minimum(blocks(lit) * ONE // gain, 255 * BLOCK)
        found = light.median()
    if not light.is_clear(found):
        return None
    # A 128th closer to ONE, rounded away from the gain.
    shown = found + int(np.sign(ONE - found)) * -(-abs(ONE - found) // FADE)
    light.follow(shown)
    if any(move):
        return multiplied(lit, shown * ONE // gain), shown, move
    return multiplied(now, shown, before), shown, move
