"""Exact intervals of Poisson means."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.events import poisson


# Garwood, 1936, and every table since.
@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        *((0, 0.0, 3.6889), (1, 0.0253, 5.5716), (2, 0.2422, 7.2247), (5, 1.6235, 11.6683)),
        *((10, 4.7954, 18.3904), (50, 37.1110, 65.9188), (100, 81.3640, 121.6272)),
    ],
)
def test_the_poisson_interval_is_that_of_the_tables(count, low, high):
    assert poisson.poisson_interval(count) == pytest.approx((low, high), abs=6e-4)


def test_the_ends_of_the_poisson_interval_leave_their_tails():
    low, high = poisson.poisson_interval(7, confidence=0.9)

    def at_most(count, mean):
        return sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(count + 1))

    assert at_most(7, high) == pytest.approx(0.05, abs=1e-9)
    assert 1 - at_most(6, low) == pytest.approx(0.05, abs=1e-9)


def test_more_seeds_are_no_more_hours():
    one, three = poisson.rate(2, 0.5), poisson.rate(6, 1.5, seeds=3)
    assert (three.events, three.hours) == (6, 1.5)
    assert one.per_hour == three.per_hour == 4
    assert one.interval_95 == pytest.approx((2 * 0.2422, 2 * 7.2247), abs=2e-4)
    assert one.interval_95 == pytest.approx(three.interval_95)
    low, high = poisson.rate(1, 1.0, seeds=2).interval_95
    assert low < 1 < high
    assert poisson.rate(0, 1.0, seeds=2).interval_95[1] < high < poisson.rate(2, 1.0, seeds=2).interval_95[1]


@given(st.one_of(st.integers(0, 5000), st.floats(0.1, 500)))
def test_the_interval_is_that_of_the_incomplete_gamma_function(count):
    special = pytest.importorskip("scipy.special", reason="scipy comes with the train extra")
    low, high = poisson.poisson_interval(count)
    assert low == pytest.approx(special.gammaincinv(count, 0.025) if count else 0.0, rel=1e-6)
    assert high == pytest.approx(special.gammaincinv(count + 1, 0.975), rel=1e-6)
