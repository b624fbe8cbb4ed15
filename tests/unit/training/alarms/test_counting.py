"""Counting alarms: moments, finds, false alarms and the time they are counted over."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar_training.alarms.counting import REPEAT_S, Find, Incident, alarms_of, moments, tally
from edgehar_training.alarms.figures import envelope

# Times in quarters of a second are exact as floats.
quarters = st.integers(0, 800).map(lambda number: number / 4)


@st.composite
def span_lists(draw):
    """Alarms as a decider gives them: in order, and never two at a time."""
    times = sorted(draw(st.lists(quarters, max_size=12, unique=True)))
    return list(zip(times[::2], times[1::2], strict=False))


@st.composite
def incident_lists(draw):
    times = sorted(draw(st.lists(quarters, max_size=8, unique=True)))
    return [Incident(start_s, end_s) for start_s, end_s in zip(times[::2], times[1::2], strict=False)]


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.0, 1), (1.0, 1), (30.0, 1), (30.25, 2), (60.0, 2), (61.0, 3), (3600.0, 120)]
)
def test_an_alarm_that_lasts_counts_again(seconds, count):
    assert alarms_of((5.0, 5.0 + seconds)) == count
    assert alarms_of((5.0, 5.0 + seconds)) == max(1, math.ceil(seconds / REPEAT_S))


@given(span_lists())
def test_moments_are_within_their_alarm(spans):
    for start_s, end_s in spans:
        own = moments((start_s, end_s))
        assert len(own) == alarms_of((start_s, end_s))
        assert own[0] == start_s
        assert all(moment < end_s or moment == start_s for moment in own)


@given(span_lists(), quarters)
def test_without_incidents_every_moment_is_false_and_all_time_ordinary(spans, length_s):
    found = tally(spans, [], length_s, 3.0)
    assert found.false_alarms == sum(map(alarms_of, spans))
    assert (found.seconds, found.finds) == (length_s, [])


@given(span_lists(), incident_lists(), st.sampled_from([0.0, 0.5, 3.0]))
def test_time_and_moments_are_ordinary_border_or_incident(spans, incidents, tolerance_s):
    """Against a grid of eighths: the middle of each cell is in one of them."""
    length_s = 220.0
    found = tally(spans, incidents, length_s, tolerance_s)
    cells = [number / 8 + 1 / 16 for number in range(int(8 * length_s))]
    kept = [(one.start_s - tolerance_s, one.end_s + tolerance_s) for one in incidents]
    ordinary = [cell for cell in cells if not any(low <= cell <= high for low, high in kept)]
    assert found.seconds == pytest.approx(len(ordinary) / 8)
    ringing = [cell for cell in ordinary if any(low <= cell <= high for low, high in spans)]
    assert found.ringing_s == pytest.approx(len(ringing) / 8)
    every = [moment for span in spans for moment in moments(span)]
    assert found.false_alarms == sum(all(not low <= moment <= high for low, high in kept) for moment in every)


@given(span_lists(), incident_lists(), st.sampled_from([0.0, 0.5, 3.0]))
def test_an_incident_is_found_by_an_alarm_that_rings_in_it(spans, incidents, tolerance_s):
    for incident, find in zip(incidents, tally(spans, incidents, 220.0, tolerance_s).finds, strict=True):
        starts = [low for low, _ in spans if incident.start_s <= low <= incident.end_s + tolerance_s]
        rang = any(low < incident.start_s <= high for low, high in spans)
        assert find.found == (bool(starts) or rang)
        assert find.delay_s == (min(starts) - incident.start_s if starts else None)


@pytest.mark.parametrize(
    ("span", "find", "false_alarms"),
    [
        ((12.0, 14.0), Find(True, 2.0), 0),
        ((22.0, 23.0), Find(True, 12.0), 0),
        ((23.5, 24.0), Find(False, None), 1),
        ((8.0, 9.0), Find(False, None), 0),
        ((6.0, 9.0), Find(False, None), 1),
        ((6.0, 11.0), Find(True, None), 1),
        # It lasts: its moments are at 12, 42 and 72 s.
        ((12.0, 80.0), Find(True, 2.0), 2),
    ],
)
def test_where_an_alarm_is_makes_what_it_is(span, find, false_alarms):
    """An incident from 10 to 20 s, with borders of 3 s."""
    found = tally([span], [Incident(10.0, 20.0)], 100.0, 3.0)
    assert (found.finds, found.false_alarms, found.seconds) == ([find], false_alarms, 84.0)


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_curve_never_folds_back(rows):
    points = envelope(rows)
    assert points == sorted(points)
    for per_hour, share in rows:
        assert any(x >= per_hour and y >= share for x, y in points)
    assert points[-1] == (max(x for x, _ in rows), max(y for _, y in rows))
