"""Connection of an operator to the broker of a fleet."""

from __future__ import annotations

import contextlib
import queue
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from edgehar.errors import FleetError
from edgehar.sinks.mqtt.options import MqttOptions, broker_context, read_broker
from edgehar.sinks.mqtt.orders import fleet_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTMessageInfo
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

_TIMEOUT_S = 10.0
# Messages that wait for the program. A broker that sends more has to wait itself.
_MOST_WAITING = 10_000


@dataclass(frozen=True)
class Message:
    """A message from the broker.

    Attributes:
        topic: below the prefix of the fleet; whole if it is not below it.
        payload: its bytes.
        retained: whether the broker had kept it.
    """

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True)
class Outage:
    """The connection was lost, or is back; `reason` is empty then."""

    reason: str


class FleetClient:
    """Receives what a fleet publishes, and reconnects. Use it as a context manager.

    Attributes:
        where: the broker and the prefix of all devices, without credentials.
        prefix: start of the topics of all devices.
        root: start of the topics in which operators publish.
        subscribed: whether the broker has accepted the subscriptions.
    """

    def __init__(self, options: MqttOptions, topics: Sequence[str], orders: Sequence[str] = ()) -> None:
        """Connect and subscribe.

        Args:
            options: broker and log-in; the topic of the address is the prefix.
            topics: below the prefix.
            orders: topics below `root`.

        Raises:
            ConfigError: the address is invalid.
            FleetError: the broker cannot be reached, or refuses the log-in or a topic.
        """
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        broker = read_broker(options)
        self.prefix, self.where = broker.base_topic, f"{broker.where}/{broker.base_topic}"
        self.root = fleet_root(self.prefix)
        self._topics = [*(f"{self.prefix}/{topic}" for topic in topics), *(f"{self.root}/{topic}" for topic in orders)]
        self._messages: queue.Queue[Message | Outage | FleetError] = queue.Queue(_MOST_WAITING)
        self._connected = self.subscribed = False
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"edgehar-fleet-{secrets.token_hex(6)}")
        client.connect_timeout = _TIMEOUT_S
        client.reconnect_delay_set(1, 30)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            client.tls_set_context(broker_context(options))
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        self._client = client
        try:
            client.connect(broker.host, broker.port, options.keepalive_s)
        except OSError as error:
            reason = getattr(error, "verify_message", None) or error.strerror or error
            raise FleetError(f"{broker.where}: cannot be reached: {reason}") from None
        client.loop_start()

    def receive(self, timeout_s: float) -> Message | Outage | None:
        """Return the next message; None if none arrived in time.

        Raises:
            FleetError: the broker refuses the log-in or a topic.
        """
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(message, FleetError):
            raise message
        return message

    def publish(self, topic: str, payload: bytes) -> MQTTMessageInfo:
        """Publish a retained message below `root`, with QoS 1; returns what tells when the broker has taken it."""
        return self._client.publish(f"{self.root}/{topic}", payload, qos=1, retain=True)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        # The thread may wait for room in the queue.
        while self._client.is_connected():
            with contextlib.suppress(FleetError):
                self.receive(0.05)
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            text = f"{self.where}: the broker refuses the connection: {code}; check user and password"
            self._messages.put(FleetError(text))
            return
        if self._connected:
            self._messages.put(Outage(""))
        self._connected = True
        # QoS 0, because brokers limit how many messages of QoS 1 may wait, and a fleet has more retained ones.
        client.subscribe([(topic, 0) for topic in self._topics])

    def _on_subscribe(
        self, _client: Client, _data: object, _number: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self.subscribed = True
        refused = [topic for topic, code in zip(self._topics, codes, strict=False) if code.is_failure]
        if refused:
            self._messages.put(FleetError(f"{self.where}: this user may not read {refused[0]}; see docs/fleet.md"))

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure and self._connected:
            self._messages.put(Outage(str(code)))

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        name = topic.removeprefix(f"{self.prefix}/")
        self._messages.put(Message(name, bytes(message.payload), message.retain))
