"""Results on an MQTT broker (MQTT 3.1.1 or 5, OASIS standards), in topics that Home Assistant and the like understand.

Under the base topic, with QoS 1: `availability` (retained; `online` or, also as last will, `offline`), `prediction`
(retained, the latest prediction), `status` (retained, the latest status record) and `event` (every event, in order).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import EdgeharError
from edgehar.records import Event, Prediction
from edgehar.sinks.base import Sink
from edgehar.sinks.mqtt.commands import COMMAND_TOPICS, Command, SetEnabled, SetThreshold, read_command
from edgehar.sinks.mqtt.options import MqttOptions, read_broker
from edgehar.sinks.mqtt.session import Session
from edgehar.sinks.spool.queue import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgehar.records import Record
    from edgehar.sinks.mqtt.discovery import PublishedStream

_log = logging.getLogger(__name__)

# Home Assistant has just started and wants to know everything: not all devices shall answer at once.
_ANNOUNCE_WITHIN_S = 5.0
# How often commands that cannot be obeyed are spoken of.
_REFUSALS_EVERY_S = 60.0


class _Origin(msgspec.Struct):
    """Which stream an event that waits on disk is of."""

    source: str = ""


class MqttSink(Sink):
    """Publishes results; a broker that is away delays nothing.

    Events wait in the spool until the broker has acknowledged them, and are delivered in order, each at least once:
    `id` and `revision` tell one that came twice. Of `prediction` and `status` the newest is published when it is back.
    """

    name = "mqtt"
    essential = False

    def __init__(
        self,
        options: MqttOptions,
        *,
        spool: Spool | None = None,
        streams: Sequence[PublishedStream] = (),
        settings: Mapping[str, bool | float] | None = None,
        on_command: Callable[[Command], None] | None = None,
    ) -> None:
        """Begin to connect, in the background.

        Args:
            options: where and how to publish.
            spool: where events wait for the broker; `close` closes it. None: the last 1000, in memory.
            streams: what is watched. With several, each with a name, each has `<base>/<name>/prediction` and so on.
            settings: `enabled` and `threshold` as they are now, for `<base>/settings`; only used with commands.
            on_command: called with each valid command, on the thread of the connection, so it must return quickly.
                Only used if the options allow commands.

        Raises:
            ConfigError: the options cannot be used.
            SinkError: paho-mqtt is not installed.
        """
        self._broker = read_broker(options)
        self._options = options
        self._encoder = msgspec.json.Encoder()
        self._origin = msgspec.json.Decoder(_Origin)
        self._names = {stream.source: stream.name for stream in streams}
        self._on_command = on_command if options.commands else None
        self._settings = dict(settings or {})
        self._refused_at_s, self._refusals = -_REFUSALS_EVERY_S, 0
        self._on_disk = spool is not None
        self._spool = spool if spool is not None else Spool.in_memory(self.name)
        self._session = Session(
            self._broker,
            options,
            self._spool,
            event_topic=self._event_topic,
            retained=self._first_messages(streams),
            subscriptions=self._subscriptions(),
            on_message=self._on_message,
        )

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._session.connected

    @property
    def reconnects(self) -> int:
        """How often the broker came back."""
        return self._session.reconnects

    def write(self, record: Record) -> None:
        """Take a record to publish; never waits for the broker. An event is in the spool when this returns."""
        payload = self._encoder.encode(record)
        name = self._names.get(record.source, "")
        if isinstance(record, Event):
            self._spool.append(payload, f"{record.id}:{record.revision}")
            self._session.events_wait()
        elif isinstance(record, Prediction):
            self._session.hold(self._broker.topic(name, "prediction"), payload)
            if self._options.predictions:
                self._session.pass_on(self._broker.topic(name, "predictions"), payload)
        else:
            self._session.hold(self._broker.topic(name, "status"), payload)

    def send_picture(self, source: str, jpeg: bytes) -> None:
        """Publish a picture of a stream in `<base>/picture`, once and with QoS 0: lost while the broker is away."""
        self._session.pass_on(self._broker.topic(self._names.get(source, ""), "picture"), jpeg)

    def close(self) -> None:
        """Publish what is left and `offline`, as far as the broker is there to take it, and disconnect."""
        self._session.close()
        waiting, dropped = self._spool.depth, self._spool.dropped
        self._spool.close()
        if waiting and self._on_disk:
            _log.info("%s: %d events wait on disk for the next run", self._broker.where, waiting)
        lost = dropped + (0 if self._on_disk else waiting)
        if lost:
            _log.warning("%s: %d events could not be published", self._broker.where, lost)

    def _first_messages(self, streams: Sequence[PublishedStream]) -> dict[str, bytes]:
        messages = {}
        if self._options.discovery:
            from edgehar.sinks.mqtt.discovery import discovery_payload, discovery_topic

            topic = discovery_topic(self._options.discovery_prefix, self._broker)
            messages[topic] = discovery_payload(self._broker, streams, commands=self._on_command is not None)
        if self._on_command is not None:
            messages[self._broker.topic("settings")] = self._encoder.encode(self._settings)
        return messages

    def _subscriptions(self) -> list[str]:
        commands = COMMAND_TOPICS if self._on_command is not None else ()
        return [*map(self._broker.topic, commands), *([self._birth_topic] if self._options.discovery else [])]

    @property
    def _birth_topic(self) -> str:
        return f"{self._options.discovery_prefix}/status"

    def _event_topic(self, payload: bytes) -> str:
        # One from the spool may be of a stream that is no more, or of another version of this program.
        try:
            source = self._origin.decode(payload).source
        except msgspec.DecodeError:
            source = ""
        return self._broker.topic(self._names.get(source, ""), "event")

    def _on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        # A retained message is an old one: we have announced ourselves since, and a command is for its moment.
        if retained:
            return
        if self._options.discovery and topic == self._birth_topic:
            if payload == b"online":
                self._session.announce_soon(_ANNOUNCE_WITHIN_S)
            return
        name = topic.removeprefix(f"{self._broker.base_topic}/")
        if self._on_command is not None and name in COMMAND_TOPICS:
            self._obey(name, payload, self._on_command)

    def _obey(self, topic: str, payload: bytes, on_command: Callable[[Command], None]) -> None:
        try:
            command = read_command(topic, payload)
            on_command(command)
        except (ValueError, EdgeharError) as error:
            self._refuse(f"{topic}: the command {error}")
            return
        except Exception:
            _log.exception("%s: %s: the command failed", self._broker.where, topic)
            return
        _log.info("%s: command %s", self._broker.where, command)
        match command:
            case SetEnabled(enabled):
                self._settings["enabled"] = enabled
            case SetThreshold(threshold):
                self._settings["threshold"] = threshold
            case _:
                return
        self._session.hold(self._broker.topic("settings"), self._encoder.encode(self._settings))

    def _refuse(self, why: str) -> None:
        """Log a command that is not obeyed, but not each of a flood."""
        self._refusals += 1
        if time.monotonic() - self._refused_at_s >= _REFUSALS_EVERY_S:
            _log.warning("%s: %s; not obeyed (%d so far)", self._broker.where, why, self._refusals)
            self._refused_at_s = time.monotonic()
