"""One connection to an MQTT broker, from CONNECT to its end, driven by one thread.

A connection is never repaired: the next one is a new `Link`. So nothing that paho-mqtt still holds of a lost one is
sent again behind our back, before or among what is older, and the order of events is kept.
"""

from __future__ import annotations

import select
import ssl
import time
from typing import TYPE_CHECKING

from edgehar.errors import SinkError
from edgehar.sinks.mqtt.options import broker_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from edgehar.sinks.mqtt.options import Broker, MqttOptions

# For TCP and TLS each, and for the broker's answer to CONNECT.
CONNECT_TIMEOUT_S = 5.0
# Messages given to the broker but not yet acknowledged; brokers often allow 20.
WINDOW = 20
# Of MQTT 5: how long the broker keeps our session while we are away, and the largest packet it may send us.
_SESSION_EXPIRY_S = 24 * 3600
_LARGEST_PACKET = 64 * 1024

# What a message stands for: an event by its number in the spool, anything else by its topic.
Tag = int | str


class Link:
    """A connection. All methods belong to one thread, on which the callbacks are called, too.

    Attributes:
        ready: the broker has accepted us.
        gone: why the connection has ended; None until then.
    """

    def __init__(
        self,
        broker: Broker,
        options: MqttOptions,
        *,
        on_acknowledged: Callable[[Tag], None],
        on_message: Callable[[str, bytes, bool], None],
        on_refused: Callable[[str], None],
    ) -> None:
        """Prepare a connection; `connect` makes it.

        Args:
            broker: where to.
            options: how.
            on_acknowledged: called with the tag of a message that the broker has taken.
            on_message: called with topic, payload and whether the broker had retained it.
            on_refused: called with what the broker does not let us do, though the connection goes on.

        Raises:
            SinkError: paho-mqtt is not installed.
            ConfigError: a file of TLS can no longer be used.
        """
        self.ready = False
        self.gone: str | None = None
        self._broker, self._options = broker, options
        self._on_acknowledged, self._on_message, self._on_refused = on_acknowledged, on_message, on_refused
        self._in_flight: dict[int, Tag] = {}
        self._window = WINDOW
        self._answer_due_s = 0.0
        self._client = self._make_client()

    def _make_client(self) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        except ImportError as error:
            raise SinkError("MQTT needs paho-mqtt; run: pip install 'paho-mqtt>=2.1,<3'") from error
        five = self._options.protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._broker.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            clean_session=None if five else False,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(self._broker.topic("availability"), "offline", qos=1, retain=True)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            # Made anew for every connection: certificates are renewed while we run.
            client.tls_set_context(broker_context(self._options))
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_paho_message
        return client

    def connect(self) -> None:
        """Open the connection and greet the broker; `ready` tells when it has answered. OSError: it is not there."""
        where = (self._broker.host, self._broker.port, self._options.keepalive_s)
        if self._options.protocol == "5":
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties

            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
            properties.MaximumPacketSize = _LARGEST_PACKET
            self._client.connect(*where, clean_start=False, properties=properties)
        else:
            self._client.connect(*where)
        self._answer_due_s = time.monotonic() + CONNECT_TIMEOUT_S

    @property
    def room(self) -> int:
        """How many more messages may be given to the broker now."""
        return max(self._window - len(self._in_flight), 0) if self.ready and self.gone is None else 0

    @property
    def unacknowledged(self) -> int:
        """How many messages the broker has not acknowledged yet."""
        return len(self._in_flight)

    def holds(self, tag: Tag) -> bool:
        """Whether a message with this tag is not acknowledged yet."""
        return tag in self._in_flight.values()

    def publish(self, topic: str, payload: bytes, tag: Tag, *, retain: bool = False) -> None:
        """Send a message with QoS 1."""
        # paho only numbers it here; its acknowledgement is read by `step`, so it cannot come before the tag is noted.
        self._in_flight[self._client.publish(topic, payload, qos=1, retain=retain).mid] = tag

    def publish_unless_busy(self, topic: str, payload: bytes) -> None:
        """Send a message with QoS 0, or drop it when the connection is not ready or still has something to send."""
        if self.room and not self._client.want_write():
            self._client.publish(topic, payload, qos=0)

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for messages to these topics."""
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])

    def step(self, timeout_s: float, wake: socket.socket) -> None:
        """Wait for the network or for `wake`, and read and write what can be without waiting."""
        connection = self._client.socket()
        if connection is None:
            self._end("connection lost")
            return
        # What TLS has decrypted already is not seen by `select`.
        decrypted = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        writing = [connection] if self._client.want_write() else []
        readable, writable, _ = select.select([connection, wake], writing, [], 0 if decrypted else timeout_s)
        if decrypted or connection in readable:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()
        if not self.ready and time.monotonic() > self._answer_due_s:
            self._end("does not answer")

    def disconnect(self, deadline_s: float, wake: socket.socket) -> None:
        """Take leave of the broker, which then keeps our will to itself."""
        self._client.disconnect()
        while self.gone is None and time.monotonic() < deadline_s:
            self.step(0.05, wake)

    def abandon(self) -> None:
        """Let go of the connection without a word."""
        self._end("given up")
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _end(self, why: str) -> None:
        # The first reason is the one to tell; others follow from it.
        self.gone = self.gone or why

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            hint = "; check user and password" if str(code) in ("Not authorized", "Bad user name or password") else ""
            self._end(f"refuses the connection: {code}{hint}")
            return
        self._window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self.ready = True

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        hint = "; another client has the same client_id" if str(code) == "Session taken over" else ""
        self._end(f"connection lost: {code}{hint}")

    def _on_publish(
        self, _client: Client, _data: object, number: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        tag = self._in_flight.pop(number, None)
        if tag is None:
            return
        if not code.is_failure:
            self._on_acknowledged(tag)
        elif isinstance(tag, int):
            # It is tried again on the next connection, for it must not be lost and none may overtake it.
            self._end(f"refuses an event: {code}")
        else:
            self._on_refused(f"refuses {tag}: {code}")

    def _on_subscribe(
        self, _client: Client, _data: object, _number: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if refused := [str(code) for code in codes if code.is_failure]:
            self._on_refused(f"refuses a subscription, so some commands will not arrive: {refused[0]}")

    def _on_paho_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self._on_message(topic, bytes(message.payload), message.retain)
