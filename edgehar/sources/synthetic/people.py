"""Articulated figures doing the six actions of KTH: bodies, habits, and joint positions over time.

Lengths are meters, times seconds, angles radians (degrees in the tables). The world has x to the viewer's right, y away
from the viewer and z up from the ground. A figure has a heading: 0 faces the viewer, pi/2 goes right, -pi/2 left.

Proportions follow Winter, Biomechanics and Motor Control of Human Movement (2009), figure 4.1. The gaits differ as
in Novacheck, The biomechanics of running (Gait and Posture 7, 1998): from walking to running the stride gets longer and
quicker, the knee folds more in swing, the elbow bends, the trunk leans, and a flight phase appears.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

ACTIONS = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
GAITS = frozenset({"jogging", "running", "walking"})

PELVIS, NECK, HEAD = 0, 1, 2
# Paired joints: index + side, where side is 0 for the figure's left and 1 for its right.
SHOULDER, ELBOW, HAND, HIP, KNEE, ANKLE, TOE = 3, 5, 7, 9, 11, 13, 15
JOINTS = 17
_ANKLE_M = 0.05  # height of the ankle over the ground when the foot is flat

# What a person varies in, lowest to highest. Neighboring gaits touch or overlap in each entry alone.
_RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "walking": {
        "stride_hz": (0.75, 1.0),
        "hip_deg": (20, 28),
        "hip_offset_deg": (5, 10),
        "knee_swing_deg": (45, 60),
        "knee_stance_deg": (6, 16),
        "shoulder_deg": (12, 26),
        "elbow_deg": (5, 30),
        "lean_deg": (-1, 5),
        "flight_m": (0.0, 0.0),
    },
    "jogging": {
        "stride_hz": (1.22, 1.42),
        "hip_deg": (26, 33),
        "hip_offset_deg": (10, 17),
        "knee_swing_deg": (74, 94),
        "knee_stance_deg": (20, 30),
        "shoulder_deg": (18, 32),
        "elbow_deg": (68, 98),
        "lean_deg": (3, 8),
        "flight_m": (0.03, 0.055),
    },
    "running": {
        "stride_hz": (1.45, 1.75),
        "hip_deg": (38, 48),
        "hip_offset_deg": (14, 23),
        "knee_swing_deg": (98, 125),
        "knee_stance_deg": (24, 36),
        "shoulder_deg": (32, 55),
        "elbow_deg": (78, 105),
        "lean_deg": (5, 14),
        "flight_m": (0.05, 0.095),
    },
    # reach is a share of the arm's length; heights are relative to the shoulders.
    "boxing": {
        "rate_hz": (0.7, 1.25),
        "reach": (0.9, 0.99),
        "guard_m": (0.16, 0.26),
        "height_m": (-0.04, 0.06),
        "snap": (2.0, 6.0),
        "twist_deg": (12, 32),
        "bob_m": (0.005, 0.035),
        "stagger_m": (0.06, 0.18),
        "lead": (0.8, 1.0),
    },
    "handclapping": {
        "rate_hz": (0.9, 2.0),
        "reach": (0.55, 0.85),
        "open_m": (0.26, 0.52),
        "height_m": (-0.24, -0.04),
        "snap": (0.7, 1.4),
        "twist_deg": (0, 3),
        "bob_m": (0.0, 0.008),
        "stagger_m": (0.0, 0.04),
    },
    "handwaving": {
        "rate_hz": (0.45, 1.0),
        "reach": (0.84, 0.98),
        "low_deg": (15, 70),
        "high_deg": (145, 175),
        "forward_deg": (0, 25),
        "lag": (-0.06, 0.06),
        "twist_deg": (0, 4),
        "bob_m": (0.0, 0.01),
        "stagger_m": (0.0, 0.04),
    },
}


@dataclass(frozen=True, slots=True)
class Body:
    """Lengths of a figure's parts in meters; `head_m` is a radius, `shoulder_m` and `hip_m` are half widths."""

    head_m: float
    neck_m: float
    torso_m: float
    upper_arm_m: float
    forearm_m: float
    thigh_m: float
    shank_m: float
    foot_m: float
    shoulder_m: float
    hip_m: float
    build: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Body:
        """Draw a random adult of 1.5 to 1.95 m; `build` scales the thickness of limbs and trunk."""
        height_m = rng.uniform(1.5, 1.95)
        legs = rng.normal(1.0, 0.025)
        arms = rng.normal(1.0, 0.03)
        build = float(np.clip(rng.normal(1.05, 0.16), 0.75, 1.5))
        return cls(
            head_m=height_m * rng.uniform(0.062, 0.074),
            neck_m=height_m * rng.uniform(0.035, 0.05),
            torso_m=height_m * 0.288 * (2 - legs),
            upper_arm_m=height_m * 0.176 * arms,
            forearm_m=height_m * 0.2 * arms,
            thigh_m=height_m * 0.245 * legs,
            shank_m=height_m * 0.246 * legs,
            foot_m=height_m * 0.125,
            shoulder_m=height_m * rng.uniform(0.095, 0.125),
            hip_m=height_m * rng.uniform(0.048, 0.062),
            build=build,
        )


@dataclass(frozen=True, slots=True)
class Track:
    """Path of a figure in one take.

    Attributes:
        center_m: middle of the track on x.
        half_span_m: how far it goes to either side; used by the gaits.
        phase: where on the track and in the movement it starts, 0 to 1.
        corner: 0 to 1; the nearer to 1, the quicker the turns.
        heading_rad: heading of a standing figure; for gaits, how far the track is turned off the picture plane.
        turns_away: whether it turns round with its back to the viewer.
        tempo: factor on the person's own tempo.
    """

    center_m: float
    half_span_m: float
    phase: float
    corner: float
    heading_rad: float
    turns_away: bool
    tempo: float


def draw_habits(action: str, rng: np.random.Generator, briskness: float) -> dict[str, float]:
    """A person's way of doing an action: one value for each entry of the action's table.

    Args:
        action: one of `ACTIONS`.
        rng: the person's generator for this action.
        briskness: 0 to 1, the same for all actions of the person, so that a brisk walker is a brisk runner too.
    """
    habits = {}
    for name, (low, high) in _RANGES[action].items():
        share = 0.35 * briskness + 0.65 * rng.random()
        habits[name] = low + (high - low) * share
    return habits


def pose(action: str, body: Body, habits: dict[str, float], track: Track, time_s: Array) -> Array:
    """Compute every joint at every time.

    Args:
        action: one of `ACTIONS`.
        body: lengths.
        habits: what `draw_habits` gave for this action.
        track: where it goes.
        time_s: seconds since the start of the take, `(times,)`.

    Returns:
        World coordinates in meters, `(times, JOINTS, 3)`, joints indexed by the constants of this module.
    """
    if action in GAITS:
        return _gait(body, habits, track, time_s)
    return _standing(action, body, habits, track, time_s)


def _walk_track(habits: dict[str, float], body: Body, track: Track, time_s: Array) -> tuple[Array, Array]:
    """Return the position on the track (a rounded triangle wave) and the speed, -1 to 1 of full speed."""
    k = track.corner
    omega = _speed_m_s(habits, body) * track.tempo * np.arcsin(k) / (track.half_span_m * k)
    angle = omega * time_s + 2 * np.pi * track.phase
    along = track.half_span_m * np.arcsin(k * np.sin(angle)) / np.arcsin(k)
    pace = np.cos(angle) / np.sqrt(1 - (k * np.sin(angle)) ** 2)
    return along, pace


def _speed_m_s(habits: dict[str, float], body: Body) -> float:
    # While a foot is down it travels back as far as the hip swings it; flight adds to the stride.
    leg_m = body.thigh_m + body.shank_m
    stride_m = 4 * leg_m * np.sin(np.radians(habits["hip_deg"])) * (1 + 5 * habits["flight_m"])
    return float(stride_m * habits["stride_hz"])


def _gait(body: Body, habits: dict[str, float], track: Track, time_s: Array) -> Array:
    deg = {name: np.radians(value) for name, value in habits.items() if name.endswith("_deg")}
    along, pace = _walk_track(habits, body, track, time_s)
    vigour = 0.45 + 0.55 * np.abs(pace)  # steps are shorter in a turn
    cycle = 2 * np.pi * (habits["stride_hz"] * track.tempo * time_s + 3.7 * track.phase)
    joints = np.zeros((time_s.size, JOINTS, 3))
    trunk_twist = 0.25 * deg["shoulder_deg"] * vigour * np.cos(cycle)
    _place_trunk(joints, body, deg["lean_deg"] * np.abs(pace), trunk_twist)
    for side, out in ((0, 1.0), (1, -1.0)):
        phase = cycle + np.pi * side  # the heel strikes at 0
        thigh = deg["hip_offset_deg"] + deg["hip_deg"] * vigour * np.cos(phase)
        knee = deg["knee_stance_deg"] * _bump(phase, 0.13, 4) + deg["knee_swing_deg"] * vigour * _bump(phase, 0.7, 2.2)
        shank = thigh - knee - 0.05
        joints[:, KNEE + side] = joints[:, HIP + side] + body.thigh_m * _direction(thigh)
        joints[:, ANKLE + side] = joints[:, KNEE + side] + body.shank_m * _direction(shank)
        joints[:, TOE + side] = joints[:, ANKLE + side] + body.foot_m * _direction(0.65 * shank + np.pi / 2 - 0.12)
        upper = -deg["shoulder_deg"] * vigour * np.cos(phase) - 0.35 * deg["elbow_deg"] + deg["lean_deg"]
        bend = deg["elbow_deg"] * (1 + 0.15 * np.sin(upper)) + 0.12
        joints[:, ELBOW + side] = joints[:, SHOULDER + side] + body.upper_arm_m * _direction(upper, 0.12 * out)
        inward = -0.25 * out * np.sin(deg["elbow_deg"])
        joints[:, HAND + side] = joints[:, ELBOW + side] + body.forearm_m * _direction(upper + bend, inward)
    flight = habits["flight_m"] * np.abs(pace) * np.maximum(0.0, np.cos(2 * (cycle + 0.35)))
    joints[:, :, 2] += (flight - joints[:, ANKLE:, 2].min(axis=1))[:, None]
    heading = np.pi / 2 * np.sin(np.pi / 2 * pace)
    heading = (np.pi - heading if track.turns_away else heading) + track.heading_rad
    where = along[:, None] * np.array([np.cos(track.heading_rad), np.sin(track.heading_rad)])
    return _into_world(joints, heading, where, track)


def _standing(action: str, body: Body, habits: dict[str, float], track: Track, time_s: Array) -> Array:
    cycle = 2 * np.pi * (habits["rate_hz"] * track.tempo * time_s + track.phase)
    joints = np.zeros((time_s.size, JOINTS, 3))
    sway = np.sin(2 * np.pi * (0.23 * time_s + track.phase))
    lean = np.radians(2.0) + 0.02 * sway
    _place_trunk(joints, body, lean, np.radians(habits["twist_deg"]) * np.sin(cycle))
    crouch = 0.95 if action == "boxing" else 0.996
    pelvis_m = _ANKLE_M + (body.thigh_m + body.shank_m) * crouch + habits["bob_m"] * np.cos(2 * cycle)
    joints[:, :, 2] += pelvis_m[:, None]
    joints[:, :, 1] += (0.015 * sway)[:, None]
    for side, out in ((0, 1.0), (1, -1.0)):
        hand = _HANDS[action](body, habits, cycle, out)
        shoulder = joints[:, SHOULDER + side]
        pole = np.array([-0.2, 0.5 * out, -1.0])
        arm = _two_bones(shoulder, shoulder + hand, body.upper_arm_m, body.forearm_m, pole)
        joints[:, ELBOW + side], joints[:, HAND + side] = arm
        foot = np.array([[out * habits["stagger_m"], out * body.hip_m * 1.5, _ANKLE_M]])
        leg = _two_bones(joints[:, HIP + side], foot, body.thigh_m, body.shank_m, np.array([1.0, 0.15 * out, 0.0]))
        joints[:, KNEE + side], joints[:, ANKLE + side] = leg
        joints[:, TOE + side] = joints[:, ANKLE + side] + body.foot_m * np.array([0.95, 0.3 * out, -0.12])
    return _into_world(joints, np.full_like(time_s, track.heading_rad), np.zeros((time_s.size, 2)), track)


def _boxing_hand(body: Body, habits: dict[str, float], cycle: Array, out: float) -> Array:
    """Move the hand from the guard at the chin straight to the front and back, left and right in turn."""
    arm_m = body.upper_arm_m + body.forearm_m
    strength = habits["lead"] if out < 0 else 1.0
    punch = strength * _bump(cycle, 0.25 if out > 0 else 0.75, habits["snap"])
    forward = habits["guard_m"] + (habits["reach"] * arm_m - habits["guard_m"]) * punch
    inward = -out * body.shoulder_m * (0.45 + 0.35 * punch)
    return np.stack([forward, inward, habits["height_m"] + 0.04 * (1 - punch)], axis=1)


def _clapping_hand(body: Body, habits: dict[str, float], cycle: Array, out: float) -> Array:
    """Move the hand, relative to the shoulder: in front of the chest, apart and together."""
    arm_m = body.upper_arm_m + body.forearm_m
    apart = np.abs(np.sin(cycle / 2)) ** habits["snap"]
    across = out * (0.02 + habits["open_m"] * apart - body.shoulder_m)
    forward = habits["reach"] * arm_m * (1 - 0.25 * apart)
    return np.stack([forward, across, np.full_like(cycle, habits["height_m"]) + 0.03 * apart], axis=1)


def _waving_hand(body: Body, habits: dict[str, float], cycle: Array, out: float) -> Array:
    """Move the hand, relative to the shoulder: a wide arc at the side, from low to over the head and back."""
    arm_m = habits["reach"] * (body.upper_arm_m + body.forearm_m)
    low, high = np.radians(habits["low_deg"]), np.radians(habits["high_deg"])
    swing = (1 - np.cos(cycle + np.pi * habits["lag"] * (1 - out))) / 2
    raised = low + (high - low) * swing
    forward = np.radians(habits["forward_deg"])
    side = np.sin(raised) * arm_m
    return np.stack([side * np.sin(forward) + 0.05, out * side * np.cos(forward), -np.cos(raised) * arm_m], axis=1)


_HANDS: dict[str, Callable[[Body, dict[str, float], Array, float], Array]] = {
    "boxing": _boxing_hand,
    "handclapping": _clapping_hand,
    "handwaving": _waving_hand,
}


def _place_trunk(joints: Array, body: Body, lean: Array, twist: Array) -> None:
    """Set pelvis (the origin), hips, neck, head and shoulders, in body axes: x ahead, y to the figure's left, z up."""
    up = np.stack([np.sin(lean), np.zeros_like(lean), np.cos(lean)], axis=1)
    across = np.stack([-np.sin(twist), np.cos(twist), np.zeros_like(twist)], axis=1)
    joints[:, NECK] = body.torso_m * up
    joints[:, HEAD] = (body.torso_m + body.neck_m + body.head_m) * up
    for side, out in ((0, 1.0), (1, -1.0)):
        joints[:, HIP + side, 1] = out * body.hip_m
        joints[:, SHOULDER + side] = 0.95 * joints[:, NECK] + out * body.shoulder_m * across


def _direction(angle: Array, out: float | Array = 0.0) -> Array:
    """Return unit vectors of limbs: down at 0, ahead at pi/2, leaning `out` to the left; `(times, 3)`."""
    sideways = np.sin(out) + np.zeros_like(angle)
    return np.stack([np.sin(angle) * np.cos(out), sideways, -np.cos(angle) * np.cos(out)], axis=1)


def _bump(phase: Array, center: float, sharpness: float) -> Array:
    """Return a periodic bump of height 1 at `center` (share of a cycle): the von Mises density, scaled."""
    return np.exp(sharpness * (np.cos(phase - 2 * np.pi * center) - 1))


def _two_bones(root: Array, target: Array, upper_m: float, lower_m: float, pole: Array) -> tuple[Array, Array]:
    """Return middle and end of a two-bone limb that reaches for `target`, its middle joint bent toward `pole`."""
    reach = target - root
    distance = np.linalg.norm(reach, axis=1, keepdims=True)
    ahead = reach / np.maximum(distance, 1e-9)
    length = np.clip(distance, abs(upper_m - lower_m) + 1e-6, upper_m + lower_m - 1e-6)
    aside = pole - ahead * (ahead @ pole)[:, None]
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    along_m = (upper_m**2 - lower_m**2 + length**2) / (2 * length)  # law of cosines
    off_m = np.sqrt(np.maximum(upper_m**2 - along_m**2, 0.0))
    return root + along_m * ahead + off_m * aside, root + length * ahead


def _into_world(joints: Array, heading: Array, where: Array, track: Track) -> Array:
    """Turn body axes by the heading and set the figure down at `where` (x, y)."""
    sin, cos = np.sin(heading)[:, None], np.cos(heading)[:, None]
    ahead, left = joints[:, :, 0], joints[:, :, 1]
    world = np.empty_like(joints)
    world[:, :, 0] = ahead * sin + left * cos + where[:, :1] + track.center_m
    world[:, :, 1] = -ahead * cos + left * sin + where[:, 1:]
    world[:, :, 2] = joints[:, :, 2]
    return world
