"""The operator's side of the topics for orders: publishes files and orders, and lets one push at a time do so."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import logging
import platform
import time
import uuid
from typing import TYPE_CHECKING, TypeVar

import msgspec

from edgehar.errors import FleetError
from edgehar.fleet.client import Message, Outage
from edgehar.sinks.mqtt.orders import PART_BYTES, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paho.mqtt.client import MQTTMessageInfo

    from edgehar.fleet.client import FleetClient
    from edgehar.fleet.view import FleetView

_log = logging.getLogger(__name__)

# What the connection of a desk must subscribe to, below the root.
DESK_TOPICS = ("push", "orders/+", "files/+/info")
_POLL_S = 0.2
# How long a claim counts, and how often a push renews its own, in seconds.
_CLAIM_S, _RENEW_S = 60.0, 15.0
# How long to wait for another claim after ours has arrived, and for the broker to take messages, in seconds.
_SETTLE_S, _TIMEOUT_S = 1.0, 20.0

T = TypeVar("T")


class Claim(msgspec.Struct, frozen=True):
    """Says that a push is in progress.

    Attributes:
        id: of the push.
        who: user and machine.
        until: until when it counts (UTC, ISO 8601).
    """

    id: str
    who: str
    until: str


class FileInfo(msgspec.Struct, frozen=True):
    """The size of a file at the broker, in bytes."""

    size: int


class OrderDesk:
    """Publishes orders and files, retained, and again if the broker has forgotten them.

    Attributes:
        view: what is known of the fleet.
    """

    def __init__(self, client: FleetClient, view: FleetView) -> None:
        """Use a connection.

        Args:
            client: subscribed to the states of the devices, and to `DESK_TOPICS`.
            view: is kept up to date by `receive`.
        """
        self._client, self.view = client, view
        self._orders: dict[str, Order] = {}
        self._files: dict[str, FileInfo] = {}
        self._claim: Claim | None = None
        self._own: Claim | None = None
        self._renewed_s = 0.0
        # What this push has published, for a broker that forgets it in a restart.
        self._published: dict[str, bytes] = {}
        self._unsent: list[MQTTMessageInfo] = []

    def take(self, message: Message) -> None:
        """Learn from a message."""
        topic = message.topic.removeprefix(f"{self._client.root}/")
        if topic == message.topic:
            self.view.take(message)
            return
        kind, _, rest = topic.partition("/")
        with contextlib.suppress(msgspec.MsgspecError):
            if kind == "push":
                self._claim = msgspec.json.decode(message.payload, type=Claim) if message.payload else None
            elif kind == "orders":
                _keep(self._orders, rest, message.payload, Order)
            elif kind == "files":
                _keep(self._files, rest.partition("/")[0], message.payload, FileInfo)

    def receive(self) -> None:
        """Wait a moment for messages, and learn from them.

        Raises:
            FleetError: another push has begun, or the broker refuses something.
        """
        message = self._client.receive(_POLL_S)
        while message is not None:
            if isinstance(message, Message):
                self.take(message)
            else:
                self._reconnected(message)
            message = self._client.receive(0)
        if self._own is None:
            return
        if self._claim is not None and self._claim.id != self._own.id:
            raise FleetError(f"{self._claim.who} has begun another push; this one ends, and its orders stand")
        if time.monotonic() - self._renewed_s > _RENEW_S:
            self._renew(self._own)

    def order(self, device: str, order: Order) -> None:
        """Give a device an order."""
        # The broker's copy may arrive after it has taken the order, and `delete_unused_files` must know of it.
        self._orders[device] = order
        self._publish(f"orders/{device}", msgspec.json.encode(order))

    def publish_file(self, sha256: str, content: bytes) -> None:
        """Publish a file, and wait until the broker has taken it.

        Raises:
            FleetError: the broker does not take it.
        """
        self._publish(f"files/{sha256}/info", msgspec.json.encode(FileInfo(len(content))))
        for number, start in enumerate(range(0, len(content), PART_BYTES)):
            self._publish(f"files/{sha256}/{number}", content[start : start + PART_BYTES])
        self._flush()

    def delete_unused_files(self) -> None:
        """Delete files that no order needs, which the broker would keep for ever."""
        self._flush()
        needed = {order.sha256 for order in self._orders.values() if order.action == "model"}
        for sha256, info in list(self._files.items()):
            if sha256 not in needed:
                for part in ("info", *range(-(-info.size // PART_BYTES))):
                    self._publish(f"files/{sha256}/{part}", b"")
        self._flush()

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other pushes out meanwhile.

        Raises:
            FleetError: one is in progress, or this user may not publish here.
        """
        other = self._claim
        if other is not None and _after_now(other.until):
            raise FleetError(f"{other.who} is pushing; wait until that has ended, or one minute if it was killed")
        own = Claim(uuid.uuid4().hex, f"{getpass.getuser()}@{platform.node()}", "")
        self._renew(own)
        self._wait(lambda: self._claim is not None and self._claim.id == own.id, "push")
        settled_s = time.monotonic() + _SETTLE_S
        self._own = own
        while time.monotonic() < settled_s:
            self.receive()
        try:
            yield
            self._flush()
        finally:
            self._own = None
            if self._claim is not None and self._claim.id == own.id:
                self._client.publish("push", b"").wait_for_publish(1.0)

    def _renew(self, own: Claim) -> None:
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=_CLAIM_S)
        self._client.publish("push", msgspec.json.encode(msgspec.structs.replace(own, until=until.isoformat())))
        self._renewed_s = time.monotonic()

    def _publish(self, topic: str, payload: bytes) -> None:
        self._published[topic] = payload
        self._unsent.append(self._client.publish(topic, payload))

    def _flush(self) -> None:
        """Wait until the broker has taken everything."""
        self._wait(lambda: all(map(_is_taken, self._unsent)), "files")
        self._unsent.clear()

    def _wait(self, condition: Callable[[], bool], topic: str) -> None:
        end_s = time.monotonic() + _TIMEOUT_S
        while not condition():
            if time.monotonic() > end_s:
                where = f"{self._client.root}/{topic}"
                raise FleetError(
                    f"{self._client.where}: the broker does not take messages in {where}; see docs/fleet.md"
                )
            self.receive()

    def _reconnected(self, outage: Outage) -> None:
        if outage.reason:
            _log.warning("%s: connection lost: %s; trying again", self._client.where, outage.reason)
            return
        _log.warning("%s: connected again", self._client.where)
        self._unsent = [self._client.publish(topic, payload) for topic, payload in self._published.items()]
        if self._own is not None:
            self._renew(self._own)


def _keep(kept: dict[str, T], key: str, payload: bytes, kind: type[T]) -> None:
    if payload:
        kept[key] = msgspec.json.decode(payload, type=kind)
    else:
        kept.pop(key, None)


def _is_taken(info: MQTTMessageInfo) -> bool:
    """Whether the broker has acknowledged a message. One of an outage is published again after it."""
    try:
        return info.is_published()
    except (RuntimeError, ValueError):
        return False


def _after_now(time_utc: str) -> bool:
    try:
        return datetime.datetime.fromisoformat(time_utc) > datetime.datetime.now(datetime.UTC)
    except (ValueError, TypeError):
        return False
