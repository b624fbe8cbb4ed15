"""Options of the capture: when to reopen a source, and when to lower the frame rate."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ReconnectOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When and how often a lost camera or stream is reopened."""

    first_delay_s: Annotated[
        float, Meta(ge=0.01, le=3600, description="Longest wait before the first try to reopen it, in seconds.")
    ] = 1.0
    max_delay_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3600,
            description="Longest wait before any try, in seconds. The bound doubles from first_delay_s up to this "
            "value, and each wait is a random share of it, so that many devices do not reconnect at once.",
        ),
    ] = 3.0
    frozen_s: Annotated[
        float, Meta(ge=0.2, le=3600, description="Reopen it after this many seconds without a new frame.")
    ] = 10.0
    stale_after_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Drop frames that arrive more than this many seconds late, for example after a network stall.",
        ),
    ] = 2.0
    repeats_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Reopen it after this many seconds of exactly the same picture, because a sensor always has "
            "noise; 0 never does.",
        ),
    ] = 60.0
    at_start: Annotated[
        bool,
        Meta(description="Keep trying if it cannot be opened at the start, instead of ending with exit code 1."),
    ] = False


class GovernorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to classify fewer frames a second."""

    min_rate_share: Annotated[
        float,
        Meta(
            ge=0.01,
            le=1,
            description="Lowest frame rate, as a share of the model's rate; 1 never lowers the rate.",
        ),
    ] = 0.25
    hot_c: Annotated[
        float,
        Meta(ge=0, le=120, description="Lower the rate at this processor temperature, in degrees Celsius."),
    ] = 80.0
    cool_c: Annotated[
        float,
        Meta(ge=0, le=120, description="After heat, raise the rate only at or below this temperature."),
    ] = 70.0
    settle_s: Annotated[
        float,
        Meta(ge=0, le=3600, description="Seconds to let a lower rate cool the device before lowering it again."),
    ] = 30.0
    busy_share: Annotated[
        float, Meta(ge=0.05, le=1, description="Lower the rate if classifying takes more than this share of the time.")
    ] = 0.9
    slow_after_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="Seconds over which the busy share is measured.")
    ] = 5.0
    raise_after_s: Annotated[
        float, Meta(ge=0, le=86_400, description="Raise the rate after this many seconds without heat or overload.")
    ] = 60.0

    def __post_init__(self) -> None:
        """Check limits that depend on each other."""
        if self.cool_c >= self.hot_c:
            raise ValueError(f"cool_c is {self.cool_c:g}, it must be under hot_c, which is {self.hot_c:g}")
