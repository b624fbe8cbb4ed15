"""Settings of statuses and metrics."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class HealthOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a status is published, and whether Prometheus may read metrics."""

    status_every_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="Seconds between statuses of a camera, besides those of each change."),
    ] = 10.0
    prometheus_port: Annotated[
        int, Meta(ge=0, le=65_535, description="TCP port for Prometheus to read /metrics; 0 turns it off.")
    ] = 0
    prometheus_address: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address to listen on. The default is this machine only; 0.0.0.0 is every network. "
            "There is no password.",
        ),
    ] = "127.0.0.1"
