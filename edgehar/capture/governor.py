"""Decode less of the video and lower the frame rate while the device is hot or slow, and undo both afterwards.

The cheaper way to decode comes first, because it costs less accuracy. The rate is halved and doubled, so that the time
grid of a lower rate is part of the model's grid. The governor has no side effects: it is given measurements and a
clock.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.capture.options import GovernorOptions
    from edgehar.sources.options import DecodeMode

# Share of `busy_share` that a higher rate may need. With less margin the rate would soon be lowered again.
_ROOM_SHARE = 0.8
# Decoding in the cheaper mode takes about this share of the time of the other mode.
_SAVED_SHARE = 0.75


class Governor:
    """Decide how to decode, and how many frames a second to classify.

    Use it from one thread; streams on one thread share one governor.
    """

    def __init__(
        self,
        rate_hz: float,
        options: GovernorOptions,
        clock: Callable[[], float] = time.monotonic,
        *,
        decode_modes: tuple[DecodeMode, DecodeMode] | None = None,
    ) -> None:
        """Start at the full rate.

        Args:
            rate_hz: the model's rate, in frames a second.
            options: when to save.
            clock: seconds, never decreasing.
            decode_modes: the usual mode of decoding and the cheaper one; None if no stream leaves it to the governor.
        """
        self._full_hz, self._options, self._clock = rate_hz, options, clock
        # The rate is the model's rate divided by this power of two.
        self._divisor = 1
        self._largest_divisor = 2 ** int(math.log2(1 / options.min_rate_share) + 1e-9)
        self._changed_s = -math.inf
        self._calm_since_s: float | None = None
        self._hot = False
        self._modes = decode_modes
        self._saves = False
        # By stream: share of the time that its decoder was busy, and the time and busy seconds of its last measurement.
        self._decoding: dict[str, float] = {}
        self._decoders: dict[str, tuple[float, float]] = {}
        # Share of the time that the full rate would keep the thread busy, from the last measurement.
        self._full_load: float | None = None
        self._measured_from_s: float | None = None
        self._busy_s = self._periods_s = 0.0

    @property
    def rate_hz(self) -> float:
        """Frames a second to classify now: the model's rate, or a half, a quarter, ... of it."""
        return self._full_hz / self._divisor

    @property
    def decode_mode(self) -> DecodeMode | None:
        """How to decode now; None if the governor does not decide that."""
        return None if self._modes is None else self._modes[self._saves]

    def observe_decoding(self, stream: str, busy_s: float) -> str | None:
        """Record for how long the decoder of a stream was busy. A lower rate is no help, because it decodes all frames.

        Args:
            stream: name of the stream.
            busy_s: seconds that decoding has taken since its source was opened.

        Returns:
            The change and its reason, for the log; None if nothing changed.
        """
        now_s = self._clock()
        since_s, before_s = self._decoders.get(stream, (now_s, math.inf))
        if busy_s < before_s:
            self._decoders[stream] = now_s, busy_s
        elif now_s - since_s >= self._options.slow_after_s:
            self._decoders[stream] = now_s, busy_s
            share = self._decoding[stream] = (busy_s - before_s) / max(now_s - since_s, 1e-9)
            if share > self._options.busy_share and self._modes is not None and not self._saves:
                return self._save(now_s, f"decoding is too slow (busy {share:.0%} of the time)")
        return None

    def observe(self, busy_s: float, frame_period_s: float) -> str | None:
        """Record a frame.

        Args:
            busy_s: seconds that it kept the thread busy.
            frame_period_s: seconds since the frame before it.

        Returns:
            The change and its reason, for the log; None if nothing changed.
        """
        now_s = self._clock()
        if self._measured_from_s is None:
            # The work on the first frame happened before the first reading of the clock.
            self._measured_from_s = now_s
            return self._raise(now_s)
        self._busy_s += busy_s
        self._periods_s += frame_period_s
        if now_s - self._measured_from_s < self._options.slow_after_s:
            return self._raise(now_s)
        # Queued frames of a live source arrive late, not more often, so the shorter of both times counts.
        share = self._busy_s / max(min(now_s - self._measured_from_s, self._periods_s), 1e-9)
        self._full_load = share * self._divisor
        self._measure_from(now_s)
        if share > self._options.busy_share:
            return self._lower(now_s, f"too slow (busy {share:.0%} of the time)")
        return self._raise(now_s)

    def observe_temperature(self, celsius: float | None, throttled: bool | None) -> str | None:
        """Record the processor's temperature and whether it is throttled; None if unknown.

        Returns:
            The change and its reason, for the log; None if nothing changed.
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
        if self._modes is not None and not self._saves:
            return self._save(now_s, why)
        if self._divisor == self._largest_divisor:
            return None
        return self._change(self._divisor * 2, now_s, why)

    def _raise(self, now_s: float) -> str | None:
        """Undo the last step if there was no reason against it for long enough."""
        if self._hot or not self._has_room():
            self._calm_since_s = None
            return None
        if self._calm_since_s is None:
            self._calm_since_s = now_s
        if now_s - self._calm_since_s < self._options.raise_after_s:
            return None
        self._calm_since_s = None
        why = "cool and fast enough again"
        return self._save(now_s, why) if self._divisor == 1 else self._change(self._divisor // 2, now_s, why)

    def _has_room(self) -> bool:
        """Return whether there is a step to undo, and the device would be fast enough for it."""
        room = self._options.busy_share * _ROOM_SHARE
        load = 0.0 if self._full_load is None else self._full_load
        if self._divisor > 1:
            return load / (self._divisor // 2) <= room
        return self._saves and max(load, *(share / _SAVED_SHARE for share in self._decoding.values()), 0.0) <= room

    def _save(self, now_s: float, why: str) -> str:
        """Change to the other mode of decoding."""
        assert self._modes is not None
        self._saves = not self._saves
        self._changed_s, self._calm_since_s = now_s, None
        if self._measured_from_s is not None:
            self._measure_from(now_s)
        return f"{why}: decoding in mode {self._modes[self._saves]}"

    def _change(self, divisor: int, now_s: float, why: str) -> str:
        self._divisor, self._changed_s = divisor, now_s
        if self._measured_from_s is not None:
            self._measure_from(now_s)
        return f"{why}: classifying {self.rate_hz:g} of the model's {self._full_hz:g} frames a second"

    def _measure_from(self, now_s: float) -> None:
        self._measured_from_s = now_s
        self._busy_s = self._periods_s = 0.0
