"""Delays between tries: random below a bound that doubles up to a cap."""

import random

from hypothesis import given
from hypothesis import strategies as st

from edgehar.backoff import Backoff


def highest(_low, high):
    return high


def test_the_bound_doubles_up_to_the_cap_and_reset_starts_over():
    backoff = Backoff(1.0, 10.0, jitter=highest)
    assert [backoff.next_delay_s() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.next_delay_s() == 1


def test_the_cap_holds_for_the_first_delay_too():
    assert Backoff(5.0, 2.0, jitter=highest).next_delay_s() == 2


@given(st.integers(), st.floats(0.01, 3600), st.floats(0.01, 3600), st.integers(1, 2000))
def test_every_delay_is_between_zero_and_the_cap(seed, first_s, max_s, tries):
    backoff = Backoff(first_s, max_s, jitter=random.Random(seed).uniform)
    assert all(0 <= backoff.next_delay_s() <= max_s for _ in range(tries))


def test_two_devices_do_not_wait_equally_long():
    delays = {tuple(Backoff(1.0, 60.0).next_delay_s() for _ in range(5)) for _ in range(20)}
    assert len(delays) == 20
