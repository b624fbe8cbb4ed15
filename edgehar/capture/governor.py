"""Looks at fewer frames when the device is hot or slow, and at all of them again when it is neither.

The rate is halved, so that the time grid of the lower rate is a part of that of the model, and doubled again. Pure:
what it knows of the world is told to it, and time comes from the clock it is given.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Callable

# What a faster rate may be expected to take of `busy_share`: with less room it would soon be lowered again.
_ROOM_SHARE = 0.8


class GovernorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When fewer frames are looked at."""

    min_rate_share: Annotated[
        float,
        Meta(
            ge=0.01, le=1, description="The rate is never lowered under this share of the model's; 1 never lowers it."
        ),
    ] = 0.25
    hot_c: Annotated[
        float,
        Meta(ge=0, le=120, description="At this temperature of the processor, in degrees Celsius, it is lowered."),
    ] = 80.0
    cool_c: Annotated[
        float,
        Meta(ge=0, le=120, description="After heat it is raised again only once the temperature is down to this."),
    ] = 70.0
    settle_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="So long a lower rate has to cool the device before it is lowered again."),
    ] = 30.0
    busy_share: Annotated[
        float, Meta(ge=0.05, le=1, description="It is lowered when looking at frames takes more of the time than this.")
    ] = 0.9
    slow_after_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="Over so long the share of the time that is busy is measured.")
    ] = 5.0
    raise_after_s: Annotated[
        float, Meta(ge=0, le=86_400, description="It is raised again after so long without a reason against it.")
    ] = 60.0

    def __post_init__(self) -> None:
        """Check what no field can say alone."""
        if self.cool_c >= self.hot_c:
            raise ValueError(f"cool_c is {self.cool_c:g}, it must be under hot_c, which is {self.hot_c:g}")


class Governor:
    """Says how many frames a second to look at. For one thread at a time; streams that share a thread share one."""

    def __init__(self, rate_hz: float, options: GovernorOptions, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at the full rate.

        Args:
            rate_hz: the model's rate, in frames a second.
            options: when to lower it.
            clock: seconds, never decreasing.
        """
        self._full_hz, self._options, self._clock = rate_hz, options, clock
        # The rate is the model's by this power of two.
        self._divisor = 1
        self._largest_divisor = 2 ** int(math.log2(1 / options.min_rate_share) + 1e-9)
        self._changed_s = -math.inf
        self._calm_since_s: float | None = None
        self._hot = False
        # Share of the time that the full rate would keep the thread busy, as last measured.
        self._full_load: float | None = None
        self._measured_from_s: float | None = None
        self._busy_s = self._periods_s = 0.0

    @property
    def rate_hz(self) -> float:
        """Frames a second to look at now: the model's rate, or a half, a quarter, ... of it."""
        return self._full_hz / self._divisor

    def observe(self, busy_s: float, frame_period_s: float) -> str | None:
        """Take note of a frame.

        Args:
            busy_s: how long it kept the thread.
            frame_period_s: how long after the one before it came.

        Returns:
            What has changed and why, for the log; None when nothing has.
        """
        now_s = self._clock()
        if self._measured_from_s is None:
            # The work on the first frame was before the clock is read first.
            self._measured_from_s = now_s
            return self._raise(now_s)
        self._busy_s += busy_s
        self._periods_s += frame_period_s
        if now_s - self._measured_from_s < self._options.slow_after_s:
            return self._raise(now_s)
        # Frames of a live source that wait behind others come late, not more often: the shorter of both is the truth.
        share = self._busy_s / max(min(now_s - self._measured_from_s, self._periods_s), 1e-9)
        self._full_load = share * self._divisor
        self._measure_from(now_s)
        if share > self._options.busy_share:
            return self._lower(now_s, f"too slow (busy {share:.0%} of the time)")
        return self._raise(now_s)

    def observe_temperature(self, celsius: float | None, throttled: bool | None) -> str | None:
        """Take note of the processor's temperature, and of whether it is slowed down; None where that is not known.

        Returns:
            What has changed and why, for the log; None when nothing has.
        """
        now_s = self._clock()
        too_hot = celsius is not None and celsius >= self._options.hot_c
        if too_hot or throttled:
            self._hot = True
            if now_s - self._changed_s >= self._options.settle_s:
                return self._lower(now_s, f"too hot ({celsius:.0f} °C)" if too_hot else "the processor is throttled")
        elif celsius is None or celsius <= self._options.cool_c:
            self._hot = False
        return self._raise(now_s)

    def _lower(self, now_s: float, why: str) -> str | None:
        self._calm_since_s = None
        if self._divisor == self._largest_divisor:
            return None
        return self._change(self._divisor * 2, now_s, why)

    def _raise(self, now_s: float) -> str | None:
        """Raise the rate when nothing has spoken against it for long enough."""
        faster = self._divisor // 2
        room = self._options.busy_share * _ROOM_SHARE
        if not faster or self._hot or (self._full_load is not None and self._full_load / faster > room):
            self._calm_since_s = None
            return None
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        if now_s - self._calm_since_s < self._options.raise_after_s:
            return None
        self._calm_since_s = None
        return self._change(faster, now_s, "cool and fast enough again")

    def _change(self, divisor: int, now_s: float, why: str) -> str:
        self._divisor, self._changed_s = divisor, now_s
        if self._measured_from_s is not None:
            self._measure_from(now_s)
        return f"{why}: looking at {self.rate_hz:g} of the model's {self._full_hz:g} frames a second"

    def _measure_from(self, now_s: float) -> None:
        self._measured_from_s = now_s
        self._busy_s = self._periods_s = 0.0
