"""The synthetic figures: always the same, in view, moving as their action says; their addresses; their data set."""

import hashlib
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest

from edgehar import ConfigError, PixelFormat, open_source
from edgehar.sources.synthetic import people as figures
from edgehar.sources.synthetic.people import ACTIONS, GAITS, Body, Track
from edgehar.sources.synthetic.scene import Scene
from edgehar.sources.synthetic.source import SyntheticSource, Take
from edgehar_training.data.datasets.synthetic import synthetic_clips

RATE_HZ = 25.0


def pixels(uri):
    with open_source(uri) as source:
        return np.stack([frame.data for frame in source])


def a_pose(action, number, seconds=4.0):
    """Joints of a person doing an action on a track 4 m wide, at 100 Hz."""
    rng = np.random.default_rng(number)
    body = Body.draw(rng)
    habits = figures.draw_habits(action, rng, rng.random())
    track = Track(0.0, 2.0, 0.1, 0.9, 0.0, turns_away=False, tempo=1.0)
    time_s = np.arange(0, seconds, 0.01)
    return body, figures.pose(action, body, habits, track, time_s)


def test_frames_are_bgr_of_the_size_and_rate_asked_for():
    with open_source("synthetic:walking?width=96&height=72&rate_hz=10&duration_s=2.5") as source:
        assert source.name == "synthetic:walking"
        assert not source.live
        frames = list(source)
    assert [frame.sequence for frame in frames] == list(range(25))
    assert [frame.captured_s for frame in frames] == pytest.approx([n / 10 for n in range(25)])
    assert {(f.format, f.data.shape, f.data.dtype) for f in frames} == {
        (PixelFormat.BGR24, (72, 96, 3), np.dtype("u1"))
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_the_same_take_is_the_same_to_the_bit_in_another_process(action):
    uri = f"synthetic:{action}?subject=3&take=2&duration_s=0.2"
    code = (
        "import hashlib, sys; from edgehar import open_source; "
        "print(hashlib.sha256(b''.join(f.data.tobytes() for f in open_source(sys.argv[1]))).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code, uri], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == hashlib.sha256(pixels(uri).tobytes()).hexdigest()


def test_a_scene_is_gone_before_the_next_is_made():
    peaks = []
    tracemalloc.start()
    with open_source("synthetic:all?duration_s=0.04&width=320&height=240") as source:
        for _ in source:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
    tracemalloc.stop()
    # The first picture was drawn when there was no scene before it; the places differ in size.
    assert max(peaks[1:]) < 1.3 * peaks[0]


@pytest.mark.parametrize("change", ["subject=4", "take=3", "seed=1"])
def test_subject_take_and_seed_each_change_the_picture(change):
    base = "synthetic:boxing?subject=3&take=2&duration_s=0.2"
    assert np.any(pixels(base) != pixels(f"{base}&{change}"))


def test_frames_do_not_depend_on_where_one_starts():
    scene = Scene("jogging", 5, 1, 0, 160, 120)
    later = scene.frames(RATE_HZ, first=70)
    from_start = scene.frames(RATE_HZ)
    frames = [next(from_start) for _ in range(73)]
    for number in (70, 71, 72):
        assert np.array_equal(next(later), frames[number])


@pytest.mark.parametrize("action", sorted(GAITS))
def test_the_figure_is_in_view_nine_tenths_of_the_time(action):
    time_s = np.arange(100) / RATE_HZ
    shares = [Scene(action, s, t, 0, 160, 120).in_view(time_s).mean() for s in range(1, 13) for t in (1, 2)]
    assert min(shares) >= 0.9


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("number", range(4))
def test_bones_keep_their_length_and_nothing_sinks_into_the_ground(action, number):
    body, joints = a_pose(action, number)
    for start, end, length_m in (
        (figures.SHOULDER, figures.ELBOW, body.upper_arm_m),
        (figures.ELBOW, figures.HAND, body.forearm_m),
        (figures.HIP, figures.KNEE, body.thigh_m),
        (figures.KNEE, figures.ANKLE, body.shank_m),
    ):
        for side in (0, 1):
            bone = np.linalg.norm(joints[:, end + side] - joints[:, start + side], axis=1)
            np.testing.assert_allclose(bone, length_m, rtol=1e-6)
    assert joints[:, :, 2].min() >= -0.03
    # Nothing is faster than the foot of a sprinter in swing (about 20 m/s), so nothing jumps.
    assert np.linalg.norm(np.diff(joints, axis=0), axis=2).max() < 0.2


def test_gaits_differ_as_in_life():
    def measure(action):
        speeds, flights, knees = [], [], []
        for number in range(8):
            _, joints = a_pose(action, number, seconds=8.0)
            speeds.append(np.abs(np.diff(joints[:, figures.PELVIS, 0])).mean() * 100)
            flights.append((joints[:, figures.ANKLE :, 2].min(axis=1) > 0.01).mean())
            thigh = joints[:, figures.HIP] - joints[:, figures.KNEE]
            shank = joints[:, figures.KNEE] - joints[:, figures.ANKLE]
            cosine = (thigh * shank).sum(1) / np.linalg.norm(thigh, axis=1) / np.linalg.norm(shank, axis=1)
            knees.append(np.degrees(np.arccos(cosine)).max())
        return np.mean(speeds), np.mean(flights), np.mean(knees)

    walking, jogging, running = (measure(action) for action in ("walking", "jogging", "running"))
    assert 0.8 < walking[0] < 1.8 < jogging[0] < 3.3 < running[0] < 6.5
    assert walking[1] == 0 < jogging[1] < running[1]
    assert walking[2] < jogging[2] < running[2]


def test_the_standing_actions_move_the_hands_and_not_the_feet():
    for action in sorted(set(ACTIONS) - GAITS):
        _, joints = a_pose(action, 1)
        assert np.ptp(joints[:, figures.ANKLE, 0]) < 0.02
        assert np.ptp(joints[:, figures.HAND], axis=0).max() > 0.2
    _, joints = a_pose("handwaving", 1)
    assert joints[:, figures.HAND, 2].max() > joints[:, figures.HEAD, 2].max()
    _, joints = a_pose("handclapping", 1)
    apart = np.linalg.norm(joints[:, figures.HAND] - joints[:, figures.HAND + 1], axis=1)
    assert apart.min() < 0.1 < 0.3 < apart.max()
    _, joints = a_pose("boxing", 1)
    left, right = (-joints[:, figures.HAND + side, 1] for side in (0, 1))  # a heading of 0 is towards -y
    assert left.max() - right[left.argmax()] > 0.2 < right.max() - left[right.argmax()]  # in turn


def test_all_plays_every_action_in_turn():
    source = SyntheticSource.from_uri("synthetic:all?duration_s=0.4")
    frames = list(source)
    assert len(frames) == 60
    shown = [source.true_action_at(frame.captured_s) for frame in frames]
    assert shown == [action for action in ACTIONS for _ in range(10)]
    third = pixels("synthetic:handwaving?duration_s=0.4&subject=43")
    assert np.array_equal(np.stack([frame.data for frame in frames[20:30]]), third)


def test_real_time_frames_come_when_they_are_due():
    source = SyntheticSource.from_uri("synthetic:running?realtime=1&duration_s=0.4&rate_hz=20")
    assert source.live
    started_s = time.monotonic()
    frames = list(source)
    captured_s = [frame.captured_s for frame in frames]
    assert frames[-1].arrived_s <= time.monotonic()
    assert started_s <= captured_s[0]
    assert np.allclose(np.diff(captured_s) * 20, np.diff([frame.sequence for frame in frames]))
    assert all(frame.arrived_s >= frame.captured_s for frame in frames)
    assert source.true_action_at(captured_s[-1]) == "running"


def test_real_time_skips_frames_that_nobody_fetched():
    now_s = 100.0

    def wait(duration_s):
        nonlocal now_s
        now_s += duration_s
        return False

    take = Take(realtime=True, duration_s=10, rate_hz=50)
    frames = iter(SyntheticSource("walking", take, clock=lambda: now_s, wait=wait))
    assert [next(frames).sequence for _ in range(3)] == [0, 1, 2]
    now_s += 0.31
    late = next(frames)
    assert (late.sequence, late.captured_s) == (17, pytest.approx(100.34))
    assert late.arrived_s == pytest.approx(100.35)
    assert next(frames).sequence == 18


def test_closing_ends_the_frames():
    source = SyntheticSource("walking", Take(duration_s=1000))
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []


@pytest.mark.parametrize(
    ("uri", "fragments"),
    [
        ("synthetic:juggling", ["juggling", "handwaving", "all"]),
        ("synthetic:", ["boxing"]),
        ("synthetic:walking?colour=red", ["colour", "subject", "duration_s"]),
        ("synthetic:walking?subject=-1", ["subject", "'-1'"]),
        ("synthetic:walking?subject=one", ["subject", "'one'"]),
        ("synthetic:walking?take=1.5", ["take", "'1.5'"]),
        ("synthetic:walking?rate_hz=0", ["rate_hz", "'0'"]),
        ("synthetic:walking?rate_hz=nan", ["rate_hz", "'nan'"]),
        ("synthetic:walking?duration_s=", ["duration_s", "''"]),
        ("synthetic:walking?width=1", ["width", "'1'", "32"]),
        ("synthetic:walking?realtime=2", ["realtime", "'2'"]),
    ],
)
def test_a_wrong_address_is_explained(uri, fragments):
    with pytest.raises(ConfigError) as caught:
        open_source(uri)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_the_data_set_has_every_action_of_every_subject():
    clips = synthetic_clips(subjects=3, takes=2, duration_s=0.2)
    assert len(clips) == len(set(clips)) == 3 * 2 * 6
    assert {(clip.group, clip.label) for clip in clips} == {
        (f"subject{number:02d}", action) for number in (1, 2, 3) for action in ACTIONS
    }
    assert pixels(clips[7].path).shape == (5, 120, 160, 3)
    assert len(synthetic_clips()) == 960


def test_another_seed_is_another_data_set():
    first, second = (synthetic_clips(1, 1, 0.2, seed=seed)[0] for seed in (0, 1))
    assert np.any(pixels(first.path) != pixels(second.path))
