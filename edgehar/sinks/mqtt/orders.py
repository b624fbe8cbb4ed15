"""Orders of an operator to a device, and its reports: the messages of `edgehar fleet push`.

Operators publish below `<prefix>-fleet`, where devices only read. All messages are retained, so a device that is off
gets its order when it returns:

- `orders/<device>`: the latest `Order` for a device; empty for none.
- `files/<sha256>/<number>`: a file in parts of `PART_BYTES`; `files/<sha256>/info`: its size.
- `push`: which push is in progress.

A device reports in `<prefix>/<device>/order`.
"""

from __future__ import annotations

import enum
import math
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.errors import ConfigError
from edgehar.model.bundle import MOST_BYTES
from edgehar.model.signature import Signature

# Small enough for brokers that allow messages of 64 kB.
PART_BYTES = 48_000
# Characters of pushed settings.
MOST_SETTINGS = 16_000
_DIGEST = r"^[0-9a-f]{64}$"


class Order(msgspec.Struct, frozen=True):
    """An order to a device.

    Attributes:
        id: identifies the order; a device follows each once.
        action: "model": run a bundle; "config": change settings; "rollback": leave that again, if it is in force.
        sha256: of the bundle's file, or of the settings.
        model: the configured model that it is about; empty for the only one.
        size: of the bundle's file, in bytes; 0 for a rollback.
        shadow_s: how long the bundle runs in shadow first, in seconds of watching.
        config: the settings, as a TOML file.
        signature: of the settings.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    action: Literal["model", "config", "rollback"]
    sha256: Annotated[str, Meta(pattern=_DIGEST)]
    model: Annotated[str, Meta(max_length=200)] = ""
    size: Annotated[int, Meta(ge=0, le=MOST_BYTES)] = 0
    shadow_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0.0
    config: Annotated[str, Meta(max_length=MOST_SETTINGS)] = ""
    signature: Signature | None = None

    @property
    def parts(self) -> int:
        """Number of parts of the file."""
        return math.ceil(self.size / PART_BYTES)


class OrderState(enum.StrEnum):
    """Progress of a device with an order.

    Attributes:
        FETCHING: it receives the file.
        SHADOW: the bundle runs in shadow.
        ACTIVE: the bundle runs, or the settings are in force.
        REFUSED: the device did not follow the order, or dropped the bundle while it ran in shadow.
        RETURNED: the device left the bundle again after it had run.
        ROLLED_BACK: the device left the bundle as the order said, or did not run it.
    """

    FETCHING = "fetching"
    SHADOW = "shadow"
    ACTIVE = "active"
    REFUSED = "refused"
    RETURNED = "returned"
    ROLLED_BACK = "rolled back"


class OrderReport(msgspec.Struct, frozen=True, tag_field="type", tag="order"):
    """Report of a device about its latest order, in `<base>/order`.

    Attributes:
        time: time of the report (UTC, ISO 8601).
        id: of the order.
        sha256: of the bundle that the order is about.
        state: how far it is.
        reason: why, if it did not follow the order.
    """

    time: str
    id: str
    sha256: str
    state: OrderState
    reason: str = ""


class FleetTopics:
    """The topics of a fleet for one device.

    Attributes:
        orders: orders to this device.
        files: start of the topics of files.
    """

    def __init__(self, base_topic: str) -> None:
        """Find the topics.

        Args:
            base_topic: of the device; its last level is the device's name.

        Raises:
            ConfigError: the topic has only one level.
        """
        prefix, _, device = base_topic.rpartition("/")
        if not prefix:
            raise ConfigError(f"mqtt: fleet needs a topic of two levels in the address, such as edgehar/{device}")
        self.orders, self.files = f"{fleet_root(prefix)}/orders/{device}", f"{fleet_root(prefix)}/files"

    def parts_of(self, sha256: str) -> str:
        """Return the subscription to all parts of a file."""
        return f"{self.files}/{sha256}/+"

    def part_number(self, topic: str, sha256: str) -> int | None:
        """Return the number of a part of this file; None if the topic is another."""
        found = re.fullmatch(r"([0-9]{1,6})", topic.removeprefix(f"{self.files}/{sha256}/"))
        return None if found is None else int(found[1])


def fleet_root(prefix: str) -> str:
    """Return where operators publish, from the prefix of the devices."""
    return f"{prefix}-fleet"
