"""Interleaved timing of several contenders, so that whatever slows the machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # Does its work once. The number differs for every call, so that it can choose its data by it.
    Contender: TypeAlias = Callable[[int], object]
    Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """Time of one call of a contender: medians over the rounds.

    Attributes:
        wall_s: wall-clock seconds.
        cpu_s: seconds of processor time, over all threads of the process.
    """

    wall_s: float
    cpu_s: float

    @property
    def us(self) -> float:
        """Wall-clock microseconds."""
        return self.wall_s * 1e6


@dataclass(frozen=True)
class Protocol:
    """The number of rounds and calls of a measurement.

    Attributes:
        rounds: turns of each contender; at least 1.
        turn_s: length of a turn, in seconds; a turn has at least one call.
    """

    rounds: int = 9
    turn_s: float = 0.02


def interleaved(
    contenders: Mapping[str, Contender],
    protocol: Protocol,
    *,
    calls: Mapping[str, int] | None = None,
    wall: Clock = time.perf_counter,
    cpu: Clock = time.process_time,
) -> dict[str, Timing]:
    """Time each contender in turns of many calls, one turn per round.

    The numbers continue across turns and contenders. So a contender that picks its input from a pool by number finds
    input that the previous contender has not touched.

    Args:
        contenders: what to time, by name.
        protocol: rounds, and the length of a turn.
        calls: calls per turn, by name; by default measured to give turns of the protocol's length.
        wall: clock in seconds, for tests.
        cpu: clock of processor time in seconds, for tests.
    """
    number = 0
    if calls is None:
        # The first call also pays for one-time setup.
        for contender in contenders.values():
            contender(number)
        calls = {}
        for name, contender in contenders.items():
            calls[name], number = _calls_in_a_turn(contender, number, protocol.turn_s, wall)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(protocol.rounds):
        for name, contender in contenders.items():
            end = number + calls[name]
            wall_before, cpu_before = wall(), cpu()
            for n in range(number, end):
                contender(n)
            cpu_after, wall_after = cpu(), wall()
            number = end
            times[name].append(((wall_after - wall_before) / calls[name], (cpu_after - cpu_before) / calls[name]))
    return {name: Timing(*map(statistics.median, zip(*turns, strict=True))) for name, turns in times.items()}


def _calls_in_a_turn(contender: Contender, number: int, turn_s: float, wall: Clock) -> tuple[int, int]:
    """Return the calls per turn, and the next number. Calls are doubled until they take a tenth of a turn."""
    calls = 1
    while True:
        before = wall()
        for offset in range(calls):
            contender(number + offset)
        took_s = wall() - before
        number += calls
        if took_s >= turn_s / 10:
            return max(1, round(calls * turn_s / took_s)), number
        calls *= 2
