"""The timing loop: turns, numbers and medians, on a clock that the test moves."""

import pytest
from support.clock import Clock

from edgehar.bench.timing import Protocol, interleaved


class Spender:
    """Takes its time on the wall clock and half of it on the processor's, and keeps the numbers it was given."""

    def __init__(self, log, name, wall, cpu, seconds):
        self.log, self.name, self.wall, self.cpu, self.seconds = log, name, wall, cpu, seconds

    def __call__(self, n):
        self.log.append((self.name, n))
        self.wall.now_s += self.seconds
        self.cpu.now_s += self.seconds / 2


@pytest.fixture
def clocks():
    return Clock(0.0), Clock(0.0)


def test_contenders_take_turns_and_never_share_a_number(clocks):
    log = []
    contenders = {name: Spender(log, name, *clocks, 1.0) for name in "ab"}
    interleaved(contenders, Protocol(rounds=2), calls={"a": 2, "b": 1}, wall=clocks[0], cpu=clocks[1])
    assert [name for name, _ in log] == ["a", "a", "b"] * 2
    assert [n for _, n in log] == list(range(6))


def test_the_median_of_the_rounds_counts_a_call_on_both_clocks(clocks):
    wall, cpu = clocks
    costs = iter((4.0, 4.0, 100.0, 100.0, 2.0, 2.0))

    def uneven(_):
        cost = next(costs)
        wall.now_s += cost
        cpu.now_s += cost / 4

    timing = interleaved({"uneven": uneven}, Protocol(rounds=3), calls={"uneven": 2}, wall=wall, cpu=cpu)["uneven"]
    assert (timing.wall_s, timing.cpu_s, timing.us) == (4.0, 1.0, 4e6)


def test_turns_are_made_as_long_as_asked(clocks):
    log = []
    contenders = {
        "quick": Spender(log, "quick", *clocks, 0.001),
        "slow": Spender(log, "slow", *clocks, 5.0),
    }
    times = interleaved(contenders, Protocol(rounds=3, turn_s=0.1), wall=clocks[0], cpu=clocks[1])
    assert times["quick"].wall_s == pytest.approx(0.001)
    assert times["slow"].wall_s == pytest.approx(5.0)
    calls = [name for name, _ in log]
    measured = calls[-3 * 101 :]
    assert measured == (["quick"] * 100 + ["slow"]) * 3


def test_a_contender_that_takes_no_time_on_the_clock_is_called_more_until_it_does(clocks):
    wall, cpu = clocks
    calls = 0

    def free(_):
        nonlocal calls
        calls += 1
        wall.now_s += 1e-9

    times = interleaved({"free": free}, Protocol(rounds=1, turn_s=1e-6), wall=wall, cpu=cpu)
    assert times["free"].wall_s == pytest.approx(1e-9)
    assert calls > 1000
