"""The decisions of a push: which devices get it when, whether they are well, and when to stop."""

from __future__ import annotations

import enum
import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.sinks.mqtt.orders import OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgehar.fleet.view import DeviceView, FleetView
    from edgehar.sinks.mqtt.orders import Order


class Verdict(enum.Enum):
    """The verdict of a push on a device."""

    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True)
class RolloutOptions:
    """Limits of a push.

    Attributes:
        canary: devices that get the bundle first.
        growth: how many times larger each later wave is.
        watch_s: how long a device must be well with the bundle, in seconds.
        timeout_s: how long a device may take to run the bundle, beyond its time in shadow, in seconds.
        shadow_s: how long the bundle runs in shadow first, in seconds.
        max_failures: share of devices that may fail, of those that have the bundle.
    """

    canary: int = 1
    growth: float = 10.0
    watch_s: float = 600.0
    timeout_s: float = 300.0
    shadow_s: float = 0.0
    max_failures: float = 0.02


def make_waves(devices: Sequence[str], options: RolloutOptions, seed: int = 0) -> list[list[str]]:
    """Return the devices in waves: the canaries, and then waves that grow.

    They are shuffled, because neighbors have similar cameras and often the same fault.
    """
    left = random.Random(seed).sample(list(devices), len(devices))  # noqa: S311 - no secret
    waves: list[list[str]] = []
    size = float(options.canary)
    while left:
        wave, left = left[: math.ceil(size)], left[math.ceil(size) :]
        waves.append(wave)
        size *= options.growth
    return waves


@dataclass
class _Ordered:
    """A device that has got the order: when, and since when it is well with the bundle."""

    at_s: float
    earlier_problems: frozenset[str]
    well_since_s: float | None = None
    verdict: Verdict = Verdict.WAITING
    reason: str = ""


class Rollout:
    """Judges the devices that have got an order."""

    def __init__(
        self,
        view: FleetView,
        order: Order,
        options: RolloutOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without devices.

        Args:
            view: what is known of the fleet.
            order: the order.
            options: how careful to be.
            clock: monotonic seconds.
        """
        self._view, self._options, self._clock = view, options, clock
        self._id, self._sha256, self._action = order.id, order.sha256, order.action
        self._ordered: dict[str, _Ordered] = {}

    def ordered(self, device: str) -> None:
        """Note that a device has got the order."""
        self._ordered[device] = _Ordered(self._clock(), frozenset(self._problems(device)))

    def judge(self) -> dict[str, Verdict]:
        """Look at every device again; returns the verdicts."""
        for name, ordered in self._ordered.items():
            if ordered.verdict is Verdict.WAITING:
                ordered.verdict, ordered.reason = self._verdict(self._view.device(name), ordered)
        return {name: ordered.verdict for name, ordered in self._ordered.items()}

    @property
    def failed(self) -> dict[str, str]:
        """The reason of every device that failed."""
        return {name: ordered.reason for name, ordered in self._ordered.items() if ordered.verdict is Verdict.BAD}

    @property
    def too_many_failed(self) -> bool:
        """Whether so many devices failed that the push must stop."""
        return len(self.failed) > math.floor(self._options.max_failures * len(self._ordered))

    def _verdict(self, device: DeviceView, ordered: _Ordered) -> tuple[Verdict, str]:
        now_s, report = self._clock(), device.order
        if report is not None and report.id == self._id and report.state in (OrderState.REFUSED, OrderState.RETURNED):
            return Verdict.BAD, f"{report.state}: {report.reason}"
        problems = self._problems(device.name) - ordered.earlier_problems
        if self._runs_it(device) and not problems:
            if ordered.well_since_s is None:
                ordered.well_since_s = now_s
            if now_s - ordered.well_since_s >= self._options.watch_s:
                return Verdict.GOOD, ""
        else:
            ordered.well_since_s = None
        most_s = self._options.shadow_s + self._options.timeout_s
        if now_s - ordered.at_s > most_s + self._options.watch_s:
            state = "no answer" if report is None or report.id != self._id else report.state
            return Verdict.BAD, "; ".join(sorted(problems)) or f"{state} after {most_s + self._options.watch_s:.0f} s"
        return Verdict.WAITING, ""

    def _runs_it(self, device: DeviceView) -> bool:
        """Whether the device says that it runs the bundle, in its report and in its `device` record.

        Of settings it says so in its report alone.
        """
        report, about = device.order, device.device
        active = report is not None and report.id == self._id and report.state is OrderState.ACTIVE
        if self._action == "config":
            return active
        return active and about is not None and any(model.sha256 == self._sha256 for model in about.models)

    def _problems(self, name: str) -> frozenset[str]:
        device = self._view.device(name)
        return frozenset(text for text in device.problems(self._view.now()) if not text.startswith("order "))
