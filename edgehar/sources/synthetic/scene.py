"""A take: one figure in front of a background, seen by a camera. `(action, subject, take, seed)` defines it.

The person (body, clothes, habits) depends on the subject alone; a take has its own place, light, camera and framing,
drawn in the same way for every action so that they say nothing about it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgehar.sources.synthetic import people as figures
from edgehar.sources.synthetic.backgrounds import draw_background
from edgehar.sources.synthetic.costume import SUBPIXEL_BITS, Costume, Painter
from edgehar.sources.synthetic.people import ACTIONS, GAITS, Body, Track

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

_BLOCK_FRAMES = 50
# First word of each seed, so that no two streams of random numbers can meet.
_PERSON, _HABITS, _TAKE = 1, 2, 3
_NOISE_STEPS = 64
_MARGIN = 0.08  # background kept around the view for shake and zoom, as a share of the view's width


@dataclass(frozen=True, slots=True)
class Camera:
    """The camera of a take; lengths in meters, angles of the sums of sines in radians.

    Attributes:
        px_per_m: pixels in a metre, at the figure's distance.
        ground: row of the figure's feet, as a share of the picture's height.
        distance_m: from camera to figure.
        height_m: of the camera over the ground.
        follow: share of the figure's way that the camera pans along with it.
        shake: amplitude of the hand's shake, as a share of the picture's height.
        zoom: amplitude of the slow zoom, as a share.
        phases: of shake (2 x 2) and zoom (1).
    """

    px_per_m: float
    ground: float
    distance_m: float
    height_m: float
    follow: float
    shake: float
    zoom: float
    phases: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, action: str, body_m: float, height_px: int) -> Camera:
        """Draw a random camera, at a distance that shows the whole figure large enough."""
        share = rng.uniform(0.46, 0.64) if action in GAITS else rng.uniform(0.54, 0.72)
        distance_m = rng.uniform(5, 12)
        return cls(
            px_per_m=share * height_px / body_m,
            ground=rng.uniform(0.84, 0.95),
            distance_m=distance_m,
            height_m=rng.uniform(1.0, 1.9),
            follow=rng.uniform(0.0, 0.5) if rng.random() < 0.3 and action in GAITS else 0.0,
            shake=rng.uniform(0.0, 0.012) if rng.random() < 0.5 else 0.0,
            zoom=rng.uniform(0.0, 0.06) if rng.random() < 0.4 else 0.0,
            phases=rng.uniform(0, 2 * np.pi, 5),
        )

    def project(self, joints: Array, width: int, height: int) -> Array:
        """Project world coordinates `(..., 3)` in meters to pixels `(..., 2)`, before pan, shake and zoom."""
        nearness = self.distance_m / (self.distance_m + joints[..., 1])
        horizon = self.ground * height - self.px_per_m * self.height_m
        x = width / 2 + self.px_per_m * nearness * joints[..., 0]
        y = horizon + self.px_per_m * nearness * (self.height_m - joints[..., 2])
        return np.stack([x, y], axis=-1)

    def moves(self, time_s: Array, along_m: Array, height: int) -> tuple[Array, Array, Array]:
        """Return pan and shake in x and y (pixels), and zoom (factor), at every time; each `(times,)`."""
        p = self.phases
        slow, quick = 2 * np.pi * 0.7 * time_s, 2 * np.pi * 2.3 * time_s
        reach = self.shake * height
        x = self.follow * self.px_per_m * along_m + reach * (np.sin(slow + p[0]) + 0.5 * np.sin(quick + p[1]))
        y = reach * (np.sin(0.8 * slow + p[2]) + 0.5 * np.sin(1.1 * quick + p[3]))
        return x, y, 1 + self.zoom * np.sin(2 * np.pi * 0.15 * time_s + p[4])


@dataclass(frozen=True, slots=True)
class Light:
    """Light and sensor of a take.

    Attributes:
        gain: float32 `(height, width, 3)`, the light on every pixel.
        flicker, flicker_hz: amplitude (a share) and rate of the lamp's slow flicker.
        shadow: darkness of the shadow on the ground, 0 to 1.
        shadow_m: how far to the side it falls.
        blur_px: standard deviation of the lens blur; 0 for none.
        noise: float32 tile of sensor noise, larger than the picture.
        monochrome: a camera without color.
    """

    gain: npt.NDArray[np.float32]
    flicker: float
    flicker_hz: float
    shadow: float
    shadow_m: float
    blur_px: float
    noise: npt.NDArray[np.float32]
    monochrome: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, width: int, height: int) -> Light:
        """Draw random light: brighter or darker, falling off to one side, sometimes with a shaft of shade."""
        y, x = np.mgrid[-1 : 1 : complex(0, height), -1 : 1 : complex(0, width)]
        angle = rng.uniform(0, 2 * np.pi)
        slope = rng.uniform(0, 0.3) * (x * np.cos(angle) + y * np.sin(angle))
        gain = rng.uniform(0.7, 1.2) * (1 + slope)
        if rng.random() < 0.25:
            across = x * np.sin(angle) - y * np.cos(angle) + rng.uniform(-1, 1)
            gain *= 1 - rng.uniform(0.1, 0.35) / (1 + np.exp(across * 12))
        monochrome = bool(rng.random() < 0.2)
        noise = rng.standard_normal((height + _NOISE_STEPS, width + _NOISE_STEPS, 1 if monochrome else 3), np.float32)
        noise *= np.float32(rng.uniform(0.5, 5.0))
        return cls(
            gain=np.repeat(gain.astype(np.float32)[:, :, None], 3, axis=2),
            flicker=rng.uniform(0, 0.03),
            flicker_hz=rng.uniform(0.3, 2.0),
            shadow=rng.uniform(0.0, 0.5),
            shadow_m=rng.uniform(-0.3, 0.3),
            blur_px=rng.uniform(0.3, 0.8) * height / 120 if rng.random() < 0.5 else 0.0,
            noise=np.repeat(noise, 3, axis=2) if monochrome else noise,
            monochrome=monochrome,
        )


class Scene:
    """One take. Frames can be drawn in any order and are always the same."""

    def __init__(self, action: str, subject: int, take: int, seed: int, width: int, height: int) -> None:
        self._action, self._width, self._height = action, width, height
        number = ACTIONS.index(action)
        person = _generator(_PERSON, seed, subject)
        self._body, costume, briskness = Body.draw(person), Costume.draw(person), person.random()
        self._habits = figures.draw_habits(action, _generator(_HABITS, seed, subject, number), briskness)
        rng = _generator(_TAKE, seed, subject, take, number)
        stature_m = self._body.torso_m + self._body.thigh_m + self._body.shank_m + 0.3
        self._camera = Camera.draw(rng, action, stature_m, height)
        self._track = _draw_track(rng, action, width / self._camera.px_per_m)
        self._light = Light.draw(rng, width, height)
        pan_px = self._camera.follow * self._camera.px_per_m * self._track.half_span_m
        self._margin_x, self._margin_y = round(_MARGIN * width + pan_px), round(_MARGIN * width)
        size = (width + 2 * self._margin_x, height + 2 * self._margin_y)
        horizon = self._margin_y + self._camera.ground * height - self._camera.px_per_m * rng.uniform(0.1, 0.9)
        self._background = draw_background(rng, size[0], size[1], horizon, costume.brightness())
        self._painter = Painter(self._body, costume)
        # Used again for every frame, so that not all of them come from other memory.
        self._shade = np.empty((height, width, 3), np.uint8)
        self._lit = np.empty((height, width, 3), np.float32)

    def frames(self, rate_hz: float, first: int = 0) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield frames `first`, `first + 1`, … at `rate_hz`, without end: uint8 `(height, width, 3)`, BGR, 0 to 255."""
        for start in itertools.count(first, _BLOCK_FRAMES):
            numbers = np.arange(start, start + _BLOCK_FRAMES)
            time_s = numbers / rate_hz
            joints = figures.pose(self._action, self._body, self._habits, self._track, time_s)
            points = self._camera.project(joints, self._width, self._height)
            x, y, zoom = self._camera.moves(time_s, joints[:, figures.PELVIS, 0], self._height)
            for index, number in enumerate(numbers.tolist()):
                view = (float(zoom[index]), float(x[index]), float(y[index]))
                yield self._develop(self._expose(joints[index], points[index], view), number, number / rate_hz)

    def in_view(self, time_s: Array) -> npt.NDArray[np.bool_]:
        """Return whether the figure's trunk is inside the picture at every time, `(times,)`."""
        joints = figures.pose(self._action, self._body, self._habits, self._track, time_s)
        points = self._camera.project(joints[:, figures.PELVIS], self._width, self._height)
        x, _, zoom = self._camera.moves(time_s, joints[:, figures.PELVIS, 0], self._height)
        seen = (points[:, 0] - x - self._width / 2) * zoom + self._width / 2
        inside: npt.NDArray[np.bool_] = (seen >= 0) & (seen < self._width)
        return inside

    def _expose(self, joints: Array, points: Array, view: tuple[float, float, float]) -> npt.NDArray[np.uint8]:
        """Draw background, shadow and figure, seen through `view` (zoom, pan in x and y)."""
        import cv2

        zoom, pan_x, pan_y = view
        middle_x, middle_y = self._width / 2, self._height / 2
        shift = np.array([middle_x - zoom * (middle_x + pan_x), middle_y - zoom * (middle_y + pan_y)])
        corner = shift - zoom * np.array([self._margin_x, self._margin_y])
        onto = np.array([[zoom, 0, corner[0]], [0, zoom, corner[1]]])
        size = (self._width, self._height)
        picture: npt.NDArray[np.uint8] = cv2.warpAffine(self._background, onto, size, borderMode=cv2.BORDER_REPLICATE)
        px_per_m = self._camera.px_per_m * zoom
        spot = joints[figures.PELVIS] * (1, 1, 0) + (self._light.shadow_m, 0, 0)
        below = self._camera.project(spot, self._width, self._height) * zoom + shift
        width_m = float(np.ptp(joints[figures.ANKLE :, 0])) / 2 + 0.22
        self._cast_shadow(picture, below, (width_m * px_per_m, 0.09 * px_per_m))
        self._painter.paint(picture, joints, points * zoom + shift, px_per_m)
        return picture

    def _cast_shadow(self, picture: npt.NDArray[np.uint8], center: Array, axes_px: tuple[float, float]) -> None:
        import cv2

        unit = 1 << SUBPIXEL_BITS
        where = (round(float(center[0]) * unit), round(float(center[1]) * unit))
        axes = (round(axes_px[0] * unit), round(axes_px[1] * unit))
        shade = self._shade
        np.copyto(shade, picture)
        cv2.ellipse(shade, where, axes, 0, 0, 360, (20, 20, 20), cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.addWeighted(picture, 1 - self._light.shadow, shade, self._light.shadow, 0, dst=picture)

    def _develop(self, picture: npt.NDArray[np.uint8], number: int, time_s: float) -> npt.NDArray[np.uint8]:
        """Apply blur, light, flicker and sensor noise."""
        import cv2

        light = self._light
        if light.blur_px:
            picture = cv2.GaussianBlur(picture, (0, 0), light.blur_px)
        if light.monochrome:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        flicker = 1 + light.flicker * np.sin(2 * np.pi * light.flicker_hz * time_s)
        lit = cv2.multiply(picture, light.gain, self._lit, scale=flicker, dtype=cv2.CV_32F)
        # Odd steps through the tile, so that the same piece comes back after 64 * 64 frames only.
        top, left = (number * 29) % _NOISE_STEPS, (number * 43 + number // _NOISE_STEPS) % _NOISE_STEPS
        noise = light.noise[top : top + self._height, left : left + self._width]
        developed: npt.NDArray[np.uint8] = cv2.add(lit, noise, dtype=cv2.CV_8U)
        return developed


def _generator(*words: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(words))


def _draw_track(rng: np.random.Generator, action: str, view_m: float) -> Track:
    """Draw a path through a view `view_m` meters wide."""
    gait = action in GAITS
    side = rng.choice([-1.0, 1.0])
    if gait:
        heading = np.radians(rng.uniform(-12, 12))
    else:
        # As in KTH: boxing is filmed from the side, where a punch shows, the others from the front or half aside.
        heading = side * np.radians(rng.uniform(50, 90) if action == "boxing" else rng.uniform(0, 40))
    return Track(
        center_m=view_m * rng.uniform(-0.04, 0.04) if gait else view_m * rng.uniform(-0.2, 0.2),
        half_span_m=view_m * rng.uniform(0.34, 0.48),
        phase=rng.random(),
        corner=rng.uniform(0.86, 0.95),
        heading_rad=float(heading),
        turns_away=bool(rng.random() < 0.5),
        tempo=rng.uniform(0.94, 1.06),
    )
