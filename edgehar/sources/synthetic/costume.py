"""Skin, hair and clothes of a figure, and painting its parts at the joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.sources.synthetic import people as f

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.sources.synthetic.people import Body

    Array = npt.NDArray[np.float64]

Color = tuple[float, float, float]

SUBPIXEL_BITS = 4
_SUBPIXELS = 1 << SUBPIXEL_BITS
# Skin and hair from light to dark, BGR.
_SKIN = ((190, 205, 235), (150, 180, 225), (110, 145, 200), (80, 110, 165), (55, 75, 115), (40, 52, 80))
_HAIR = ((30, 28, 28), (40, 50, 70), (60, 90, 130), (110, 160, 200), (150, 150, 155), (35, 60, 130))
# Half the thickness of each part in meters, at its upper and its lower end, for a build of 1.
_UPPER_ARM, _FOREARM, _HAND = (0.056, 0.046), (0.044, 0.034), 0.046
_THIGH, _SHANK, _FOOT = (0.088, 0.064), (0.06, 0.043), (0.046, 0.034)
_NECK, _CHEST_DEPTH, _WAIST = 0.055, 0.115, 0.13


@dataclass(frozen=True, slots=True)
class Costume:
    """Colors (BGR, 0 to 255) and cut of one person's clothes.

    Attributes:
        pattern: of the top: "plain", "stripes" or "vest" (sleeves of the second color).
        hair_share: how far the hair comes down, as a share of the head's height.
        looseness: factor on the thickness of clothed parts.
    """

    skin: Color
    hair: Color
    top: Color
    second: Color
    trousers: Color
    shoes: Color
    pattern: str
    long_sleeves: bool
    long_trousers: bool
    hair_share: float
    looseness: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Costume:
        """Draw random clothes; top and trousers are mostly dull, sometimes bright, now and then the same."""
        skin, hair = int(rng.integers(len(_SKIN))), int(rng.integers(len(_HAIR)))
        top, second, trousers, shoes = (_cloth(rng) for _ in range(4))
        return cls(
            skin=_SKIN[skin],
            hair=_HAIR[hair if skin < 3 else hair % 2],
            top=top,
            second=second,
            trousers=top if rng.random() < 0.12 else trousers,
            shoes=shoes,
            pattern=str(rng.choice(["plain", "plain", "stripes", "vest"])),
            long_sleeves=bool(rng.random() < 0.55),
            long_trousers=bool(rng.random() < 0.7),
            hair_share=rng.uniform(0.25, 0.6),
            looseness=rng.uniform(1.0, 1.25),
        )

    def brightness(self) -> tuple[float, ...]:
        """Return the brightness of the moving parts: sleeves, forearms and trousers, 0 to 255."""
        sleeve = self.second if self.pattern == "vest" else self.top
        forearm = sleeve if self.long_sleeves else self.skin
        return luma(sleeve), luma(forearm), luma(self.trousers)


def luma(color: Color) -> float:
    """Return the brightness of a BGR color, 0 to 255 (ITU-R BT.601)."""
    blue, green, red = color
    return 0.114 * blue + 0.587 * green + 0.299 * red


def random_color(rng: np.random.Generator, value: tuple[float, float], saturation: tuple[float, float]) -> Color:
    """Draw a BGR color of random hue; value and saturation between the limits given (HSV, 0 to 1)."""
    level = 255 * rng.uniform(*value)
    chroma = rng.uniform(*saturation)
    hue = rng.uniform(0, 6)
    blue, green, red = (level * (1 - chroma * min(max(2 - abs((hue - k) % 6 - 3), 0.0), 1.0)) for k in (1, 5, 3))
    return blue, green, red


def _cloth(rng: np.random.Generator) -> Color:
    return random_color(rng, (0.08, 0.95), (0.4, 0.9) if rng.random() < 0.35 else (0.0, 0.35))


class Painter:
    """Paint one person, part by part, farthest first.

    The picture is uint8 `(height, width, 3)` BGR and is painted in place with anti-aliased edges.
    """

    def __init__(self, body: Body, costume: Costume) -> None:
        self._body, self._costume = body, costume
        sleeve = costume.second if costume.pattern == "vest" else costume.top
        bare, clothed = body.build, body.build * costume.looseness
        forearm = (clothed, sleeve) if costume.long_sleeves else (bare, costume.skin)
        shank = (clothed, costume.trousers) if costume.long_trousers else (bare, costume.skin)
        # Bones: joints, half the thickness at both in meters, color.
        self._arm = (
            (f.SHOULDER, f.ELBOW, _scaled(_UPPER_ARM, clothed), sleeve),
            (f.ELBOW, f.HAND, _scaled(_FOREARM, forearm[0]), forearm[1]),
        )
        self._leg = (
            (f.HIP, f.KNEE, _scaled(_THIGH, clothed), costume.trousers),
            (f.KNEE, f.ANKLE, _scaled(_SHANK, shank[0]), shank[1]),
            (f.ANKLE, f.TOE, _FOOT, costume.shoes),
        )

    def paint(self, picture: npt.NDArray[np.uint8], joints: Array, points: Array, px_per_m: float) -> None:
        """Paint the figure.

        Args:
            picture: uint8 `(height, width, 3)`, BGR.
            joints: world coordinates in meters, `(JOINTS, 3)`.
            points: the joints in the picture, pixels, `(JOINTS, 2)`.
            px_per_m: pixels in a metre at the figure's distance.
        """
        depth = joints[:, 1].tolist()
        places = points.tolist()
        left_x, left_y = (joints[f.HIP, :2] - joints[f.HIP + 1, :2]).tolist()
        across = abs(left_x) / max(np.hypot(left_x, left_y), 1e-9)
        toward = left_x / (2 * self._body.hip_m)
        parts = [(depth[f.NECK], 0, -1), (depth[f.HEAD] - 0.01, 1, -1)]
        for side in (0, 1):
            arm = (depth[f.SHOULDER + side] + depth[f.ELBOW + side] + depth[f.HAND + side]) / 3
            leg = (depth[f.HIP + side] + depth[f.KNEE + side]) / 2
            parts += [(arm, 2, side), (leg + 0.02, 3, side)]
        for at, what, side in sorted(parts, reverse=True):
            shade = 0.84 if side >= 0 and at > depth[f.PELVIS] + 0.04 else 1.0
            if what == 0:
                self._torso(picture, places, px_per_m, across)
            elif what == 1:
                self._head(picture, places, px_per_m, toward, left_y / (2 * self._body.hip_m))
            else:
                self._limb(picture, places, px_per_m, self._arm if what == 2 else self._leg, side, shade)

    def _limb(
        self,
        picture: npt.NDArray[np.uint8],
        places: list[list[float]],
        px_per_m: float,
        bones: tuple[tuple[int, int, tuple[float, float], Color], ...],
        side: int,
        shade: float,
    ) -> None:
        for start, end, (upper_m, lower_m), color in reversed(bones):
            shaded = _shaded(color, shade)
            _capsule(picture, places[start + side], places[end + side], upper_m * px_per_m, lower_m * px_per_m, shaded)
        if bones is self._arm:
            _disc(picture, places[f.HAND + side], _HAND * px_per_m, _shaded(self._costume.skin, shade))

    def _torso(self, picture: npt.NDArray[np.uint8], places: list[list[float]], px_per_m: float, across: float) -> None:
        """Paint a trunk of elliptical cross section, seen `across` (1 from the front, 0 from the side)."""
        body, costume = self._body, self._costume
        depth_m = _CHEST_DEPTH * body.build * costume.looseness
        aside = (1 - across * across) ** 0.5

        def half_px(width_m: float) -> float:
            return float(np.hypot(width_m * across, depth_m * aside)) * px_per_m

        chest, waist = half_px(body.shoulder_m), half_px(_WAIST * body.build * costume.looseness)
        hips = half_px(body.hip_m + 0.075 * body.build)
        rows = [(0.97, 0.9 * chest), (0.85, chest), (0.45, waist), (0.08, hips)]
        (px, py), (nx, ny) = places[f.PELVIS], places[f.NECK]
        length = max(float(np.hypot(nx - px, ny - py)), 1e-6)
        ux, uy = (nx - px) / length, (ny - py) / length  # up the spine; (-uy, ux) is across it

        def row(share: float, half: float) -> tuple[tuple[float, float], tuple[float, float]]:
            x, y = px + (nx - px) * share, py + (ny - py) * share
            return (x - uy * half, y + ux * half), (x + uy * half, y - ux * half)

        _capsule(picture, places[f.NECK], places[f.HEAD], *(_NECK * px_per_m,) * 2, _shaded(costume.skin, 0.88))
        _disc(picture, places[f.PELVIS], hips * 0.95, costume.trousers)
        edges = [row(*r) for r in rows]
        _polygon(picture, [left for left, _ in edges] + [right for _, right in reversed(edges)], costume.top)
        if costume.pattern == "stripes":
            for share in (0.25, 0.5, 0.75):
                upper, lower = row(share + 0.06, waist * 0.96), row(share - 0.06, waist * 0.96)
                _polygon(picture, [*upper, *reversed(lower)], costume.second)

    def _head(
        self, picture: npt.NDArray[np.uint8], places: list[list[float]], px_per_m: float, toward: float, right: float
    ) -> None:
        """Paint a head whose face looks `toward` the viewer (-1 to 1) and to the `right` (-1 to 1)."""
        radius = self._body.head_m * px_per_m
        x, y = places[f.HEAD]
        _disc(picture, (x, y), 1.06 * radius, self._costume.hair)
        if toward < -0.75:
            return
        shift = self._costume.hair_share * radius
        _disc(picture, (x + 0.6 * shift * right, y + shift), radius * 0.9, self._costume.skin)


def _scaled(pair: tuple[float, float], factor: float) -> tuple[float, float]:
    return pair[0] * factor, pair[1] * factor


def _shaded(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def _fixed(value: float) -> int:
    return round(value * _SUBPIXELS)


def _disc(picture: npt.NDArray[np.uint8], center: list[float] | tuple[float, float], px: float, color: Color) -> None:
    import cv2

    where = (_fixed(center[0]), _fixed(center[1]))
    cv2.circle(picture, where, _fixed(px), color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def _polygon(picture: npt.NDArray[np.uint8], corners: list[tuple[float, float]], color: Color) -> None:
    import cv2

    fixed = np.rint(np.array(corners) * _SUBPIXELS).astype(np.int32)
    cv2.fillPoly(picture, [fixed], color, cv2.LINE_AA, SUBPIXEL_BITS)


def _capsule(
    picture: npt.NDArray[np.uint8], start: list[float], end: list[float], start_px: float, end_px: float, color: Color
) -> None:
    """Paint a tapered limb with round ends."""
    (x0, y0), (x1, y1) = start, end
    length = float(np.hypot(x1 - x0, y1 - y0))
    _disc(picture, start, start_px, color)
    _disc(picture, end, end_px, color)
    if length > 0.5:
        ax, ay = (y0 - y1) / length, (x1 - x0) / length
        _polygon(
            picture,
            [
                (x0 + ax * start_px, y0 + ay * start_px),
                (x1 + ax * end_px, y1 + ay * end_px),
                (x1 - ax * end_px, y1 - ay * end_px),
                (x0 - ax * start_px, y0 - ay * start_px),
            ],
            color,
        )
