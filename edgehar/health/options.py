"""Who is told how the program is doing."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class HealthOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the status is told, and whether Prometheus may ask for it."""

    status_every_s: Annotated[
        float, Meta(ge=1, le=86_400, description="How often the status of each camera is told between its changes.")
    ] = 10.0
    prometheus_port: Annotated[
        int, Meta(ge=0, le=65_535, description="TCP port on which Prometheus may read /metrics; 0 listens nowhere.")
    ] = 0
    prometheus_address: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address to listen on; the default is this machine only, 0.0.0.0 is every network, "
            "without a password.",
        ),
    ] = "127.0.0.1"
