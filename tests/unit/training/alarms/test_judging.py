"""Recordings judged by rules: what counts, from quiet or not, and the figures of many."""

import json

import numpy as np
import pytest

from edgehar.events.poisson import poisson_interval
from edgehar.model.manifest import Decision
from edgehar_training.alarms import figures
from edgehar_training.alarms.decisions import Rule
from edgehar_training.alarms.judging import Viewing, judge
from edgehar_training.alarms.recordings import Recording
from edgehar_training.alarms.watching import Watched

LABELS = ("noFight", "fight")
PLAIN = Rule(LABELS, Decision(background=["noFight"]))
SLOW = Rule(LABELS, Decision(background=["noFight"], smoothing="ema", ema_seconds=3.0))
EVERY_S = 0.5


def viewing(name, fights, *, camera=None, incidents=None, run=""):
    """A recording whose windows, of 1 s, end every half second, by their score of a fight."""
    end_s = 1.0 + EVERY_S * np.arange(len(fights))
    scores = np.array([[1 - fight, fight] for fight in fights])
    recording = Recording(
        f"/data/{name}", name, camera or f"camera of {name}", tuple(incidents or ()), ordinary=incidents is None
    )
    return Viewing(recording, Watched(LABELS, end_s - 1.0, end_s, scores), run, EVERY_S)


def judged(viewings, rule):
    return judge(viewings, lambda _: rule, 3.0)


CALM = viewing("calm", [0.1] * 200)
LOUD = viewing("loud", [0.1] * 20 + [0.9] * 140 + [0.1] * 40, camera="square")
FIGHT = viewing("fight", [0.9] * 12, incidents=[(0.0, None)])
SHORT = viewing("short", [0.9] * 4, incidents=[(0.0, None)])
LONG = viewing("long", [0.1] * 60 + [0.9] * 20 + [0.1] * 40, incidents=[(30.0, 41.0)], camera="square")
MISSED = viewing("missed", [0.2] * 20, incidents=[(0.0, None)])


def test_ordinary_recordings_count_alarms_again_as_they_last():
    calm, loud = judged([CALM, LOUD], PLAIN.at(0.5))
    assert (calm.tally.false_alarms, calm.tally.seconds) == (0, 100.5)
    assert loud.spans == [(11.0, 80.5)]
    assert (loud.tally.false_alarms, loud.tally.ringing_s) == (3, 69.5)


def test_a_clip_as_it_starts_and_after_quiet_footage():
    (fight, short) = judged([CALM, FIGHT, SHORT], SLOW.at(0.5))[1:]
    # The average starts from the first score: the alarm is at the first window.
    assert [find.delay_s for find in fight.tally.finds] == [1.0]
    # After quiet footage of 0.1 it takes 3 s x ln 2 = 2.08 s from half a second before the first window, so 5 windows.
    assert [find.delay_s for find in fight.from_quiet] == [3.0]
    assert short.tally.finds[0].found
    assert short.from_quiet is None


def test_quiet_footage_is_that_of_the_same_network():
    noisy = viewing("noisy", [0.45] * 50, run="b")
    twins = [viewing("fight", [0.6] * 12, incidents=[(0.0, None)], run=run) for run in ("", "b")]
    slow, fast = judged([CALM, noisy, *twins], SLOW.at(0.5))[2:]
    assert not any(find.found and find.delay_s < 3.0 for find in slow.from_quiet)
    assert fast.from_quiet[0].delay_s < 3.0


def test_an_alarm_that_quiet_footage_raises_already_is_a_find_without_a_delay():
    always = judged([CALM, FIGHT], PLAIN.at(0.05))[1]
    assert [(find.found, find.delay_s) for find in always.from_quiet] == [(True, None)]


def test_figures_add_up():
    point = figures.point(judged([CALM, LOUD, FIGHT, SHORT, LONG, MISSED], PLAIN.at(0.5)))
    alarms, outside, found, late = (
        point[key] for key in ("false_alarms", "outside_incidents", "found", "found_from_quiet")
    )
    hours = (100.5 + 100.5) / 3600
    assert (alarms["alarms"], alarms["hours"], alarms["cameras"]) == (3, pytest.approx(hours), 2)
    assert alarms["per_hour"] == pytest.approx(3 / hours)
    assert alarms["interval_95"] == pytest.approx([bound / hours for bound in poisson_interval(3)])
    # One camera has all alarms: of two draws, none, one or both are it.
    assert alarms["interval_95_by_camera"] == pytest.approx((0.0, 3 / (hours / 2)))
    assert alarms["share_of_time"] == pytest.approx(69.5 / 201)
    # 60.5 s but the incident and its borders, 27 to 44 s.
    assert (outside["alarms"], outside["hours"]) == (0, pytest.approx((60.5 - 17.0) / 3600))
    assert (found["incidents"], found["found"], found["rang_before"]) == (4, 3, 0)
    assert found["delay_s"] == {"median": 1.0, "p90": pytest.approx(1.0)}
    # The short one is not judged from quiet.
    assert (late["incidents"], late["found"]) == (3, 2)
    json.dumps(point)


def test_seeds_watch_the_same_hours():
    one = figures.point(judged([LOUD, FIGHT], PLAIN.at(0.5)), seeds=1)["false_alarms"]
    again = [Viewing(view.recording, view.watched, run, EVERY_S) for view in (LOUD, FIGHT) for run in ("a", "b")]
    two = figures.point(judged(again, PLAIN.at(0.5)), seeds=2)["false_alarms"]
    assert two["alarms"] == 2 * one["alarms"]
    assert (two["per_hour"], two["recordings"]) == (pytest.approx(one["per_hour"]), 1)
    assert two["interval_95"] == pytest.approx(one["interval_95"])


def test_cameras_hold_their_ordinary_time_and_their_incidents():
    rows = {row["camera"]: row for row in figures.per_camera(judged([CALM, LOUD, LONG, MISSED], PLAIN.at(0.5)))}
    square = rows["square"]
    assert (square["recordings"], square["false_alarms"], square["incidents"], square["found"]) == (2, 3, 1, 1)
    assert square["minutes"] == pytest.approx((100.5 + 43.5) / 60)
    assert next(iter(rows)) == "square"


def test_the_loudest_alarms_and_the_misses_are_listed():
    all_judged = judged([CALM, LOUD, FIGHT, MISSED], PLAIN.at(0.5))
    (loud,) = figures.loudest(all_judged, PLAIN)
    assert (loud["recording"], loud["start_s"], loud["score"]) == ("loud", 11.0, 0.9)
    (miss,) = figures.missed(all_judged, PLAIN)
    assert (miss["recording"], miss["score"]) == ("missed", 0.2)


def test_nothing_to_measure_is_none():
    point = figures.point(judged([CALM], PLAIN.at(0.5)))
    assert (point["outside_incidents"], point["found"], point["found_from_quiet"]) == (None, None, None)
    assert figures.point(judged([FIGHT], PLAIN.at(0.5)))["false_alarms"] is None
