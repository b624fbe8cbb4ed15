"""Backgrounds of a take: plain walls, rooms, fields and cluttered streets, drawn at random from simple shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.sources.synthetic.costume import Color, luma, random_color

if TYPE_CHECKING:
    import numpy.typing as npt

KINDS = ("plain", "room", "field", "street")
# Arms and legs must stand out from what is behind them by this much in brightness (0 to 255), where it can be had.
MIN_CONTRAST = 35.0
_SHAPES = {"plain": (0, 0), "room": (1, 5), "field": (0, 3), "street": (4, 12)}


def draw_background(
    rng: np.random.Generator, width: int, height: int, horizon: float, avoid: tuple[float, ...]
) -> npt.NDArray[np.uint8]:
    """Draw a random background: uint8 `(height, width, 3)`, BGR.

    Args:
        rng: decides everything.
        width: pixels.
        height: pixels.
        horizon: row where wall or sky meets the ground.
        avoid: brightness (0 to 255) of the figure's parts, from which wall and ground are kept apart.
    """
    kind = KINDS[int(rng.integers(len(KINDS)))]
    far, ground = _apart(rng, avoid), _apart(rng, avoid)
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = np.array(far) * (1 + rng.uniform(-0.2, 0.2) * (rows - 0.5)) * np.ones((1, width, 1))
    if kind != "plain":
        top = min(max(round(horizon), 0), height)
        if kind == "field" and rng.random() < 0.5:
            top = 0  # seen from above: nothing but ground
        below = np.linspace(1 - rng.uniform(0, 0.2), 1, max(height - top, 1))[:, None, None]
        picture[top:] = (np.array(ground) * below * np.ones((1, width, 1)))[: height - top]
        low, high = _SHAPES[kind]
        for _ in range(int(rng.integers(low, high + 1))):
            _draw_shape(picture, rng, horizon, far)
        if kind == "field" and rng.random() < 0.5:
            _draw_path(picture, rng, ground)
    strength = {"plain": 2.0, "room": 4.0, "field": 11.0, "street": 7.0}[kind] * rng.uniform(0.3, 1.0)
    picture += strength * _texture(rng, width, height)[:, :, None]
    # In place: a large picture takes tens of megabytes as it is.
    np.clip(np.rint(picture, out=picture), 0, 255, out=picture)
    return picture.astype(np.uint8)


def _apart(rng: np.random.Generator, avoid: tuple[float, ...]) -> Color:
    """Draw a color whose brightness differs from each of `avoid`; the best of many when none differs enough."""

    def contrast(color: Color) -> float:
        return min(abs(luma(color) - brightness) for brightness in avoid)

    tried = []
    for _ in range(40):
        tried.append(random_color(rng, (0.15, 1.0), (0.0, 0.5)))
        if contrast(tried[-1]) >= MIN_CONTRAST:
            return tried[-1]
    return max(tried, key=contrast)


def _draw_shape(picture: npt.NDArray[np.float64], rng: np.random.Generator, horizon: float, far: Color) -> None:
    """Paint a window, door, poster, post or bush behind the figure: a box or ellipse, near the wall in tone."""
    import cv2

    height, width = picture.shape[:2]
    mix = rng.uniform(0.3, 0.8)
    tint = random_color(rng, (0.1, 1.0), (0.0, 0.6))
    color = tuple(mix * a + (1 - mix) * b for a, b in zip(far, tint, strict=True))
    x, wide = rng.uniform(0, width), width * rng.uniform(0.01, 0.12)
    high = height * rng.uniform(0.05, 0.35)
    bottom = horizon + height * 0.02 if rng.random() < 0.6 else horizon * rng.uniform(0.3, 1.0)
    corner, opposite = (round(x - wide), round(bottom - high)), (round(x + wide), round(bottom))
    if rng.random() < 0.7:
        cv2.rectangle(picture, corner, opposite, color, cv2.FILLED)
        return
    middle = (round(x), round(bottom - high / 2))
    cv2.ellipse(picture, middle, (max(round(wide), 1), max(round(high / 2), 1)), 0, 0, 360, color, cv2.FILLED)


def _draw_path(picture: npt.NDArray[np.float64], rng: np.random.Generator, ground: Color) -> None:
    """Paint a worn line or path across the ground."""
    import cv2

    height, width = picture.shape[:2]
    factor = rng.choice([0.85, 1.2])
    ends = [(-10, round(height * rng.uniform(0.2, 1.2))), (width + 10, round(height * rng.uniform(0.2, 1.2)))]
    color = tuple(value * factor for value in ground)
    cv2.line(picture, ends[0], ends[1], color, max(1, round(height * rng.uniform(0.01, 0.05))))


def _texture(rng: np.random.Generator, width: int, height: int) -> npt.NDArray[np.float64]:
    """Draw cloudy noise of standard deviation about 1: summed octaves of random grids; `(height, width)`."""
    import cv2

    total = np.zeros((height, width))
    for cells in (4, 12, 40):
        grid = rng.standard_normal((cells, max(2, cells * width // height)))
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    total /= np.sqrt(3)
    return total
