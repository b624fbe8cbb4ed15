"""Records published to an MQTT broker (MQTT 3.1.1 or 5, OASIS standards), each in the topic of its name.

Under the base topic, with QoS 1: `availability` (retained; `online` or, also as last will, `offline`), `prediction`
(retained, the latest prediction), `status` (retained, the latest status record), `active` (retained, the action of the
open event) and `event` (every event, in order).
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import EdgeharError
from edgehar.records import Event, Prediction
from edgehar.sinks.base import Sink
from edgehar.sinks.mqtt.commands import COMMAND_TOPICS, Command, SetEnabled, SetThreshold, read_command
from edgehar.sinks.mqtt.options import MqttOptions, MqttTiming, read_broker
from edgehar.sinks.mqtt.session import MqttSession, MqttTopics
from edgehar.sinks.spool.queue import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgehar.records import Record
    from edgehar.sinks.mqtt.agent import AgentLinks, FleetAgent
    from edgehar.sinks.mqtt.device import DeviceReport
    from edgehar.sinks.mqtt.discovery import PublishedStream

_log = logging.getLogger(__name__)

# Interval of log lines about invalid commands, in seconds.
_REFUSALS_EVERY_S = 60.0
# Interval of the `device` record while nothing changes, in seconds.
_DEVICE_EVERY_S = 600.0


class _Origin(msgspec.Struct):
    """The source of an event that waits on disk."""

    source: str = ""


class _Active(msgspec.Struct):
    """Payload of `active`: the action of the open event of a stream; all are None if there is none."""

    active: str | None = None
    id: str | None = None
    since: str | None = None


class MqttSink(Sink):
    """Publishes records. An outage of the broker delays nothing.

    Events wait in the spool until the broker has acknowledged them. They are delivered in order, each at least once:
    `id` and `revision` identify duplicates. After an outage, the newest `prediction` and `status` are published.
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
        device: DeviceReport | None = None,
        make_agent: Callable[[str, AgentLinks], FleetAgent] | None = None,
        timing: MqttTiming = MqttTiming(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start to connect, in the background.

        Args:
            options: address, log-in, and what to publish.
            spool: where events wait for the broker; `close` closes it. If None, the last 1000 wait in memory.
            streams: the streams whose records are published. If they have names, each has `<base>/<name>/prediction`
                and so on.
            settings: current values of `enabled` and `threshold`, for `<base>/settings`. Only used with commands.
            on_command: called with each valid command, on the thread of the connection, so it must return quickly.
                Only used if the options allow commands.
            device: makes the record for `<base>/device`; None to publish none.
            make_agent: makes what follows orders of an operator, from the base topic and the links to the broker; None
                to follow none.
            timing: timeouts and delays, for tests.
            clock: monotonic seconds.

        Raises:
            ConfigError: an option is not valid.
            SinkError: paho-mqtt is not installed.
        """
        self._broker = read_broker(options)
        self._options = options
        self._encoder = msgspec.json.Encoder()
        self._origin = msgspec.json.Decoder(_Origin)
        self._streams = {stream.source: stream for stream in streams}
        self._clock = clock
        # By topic, what was published last of `prediction` and `status`, and when.
        self._shown: dict[str, tuple[str, float]] = {}
        # Newer records that were not published, because nothing had changed.
        self._unshown: dict[str, bytes] = {}
        self._on_command = on_command if options.commands else None
        self._settings, self._device = dict(settings or {}), device
        self._refused_at_s, self._refusals = -_REFUSALS_EVERY_S, 0
        self._agent = None if make_agent is None else make_agent(self._broker.base_topic, self._agent_links())
        self._spool = spool if spool is not None else Spool.in_memory(self.name)
        self._session = MqttSession(
            self._broker,
            options,
            self._spool,
            topics=MqttTopics(
                event=self._event_topic,
                retained=self._first_messages(streams),
                subscriptions=self._subscriptions(),
                on_message=self._on_message,
            ),
            timing=timing,
        )
        if self._agent is not None:
            self._agent.start()

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self._session.connected

    @property
    def reconnects(self) -> int:
        """The number of connections that followed an earlier one."""
        return self._session.reconnects

    def write(self, record: Record) -> None:
        """Publish a record, without waiting for the broker. An event is in the spool when this returns."""
        payload = self._encoder.encode(record)
        if isinstance(record, Event):
            self._spool.append(payload, f"{record.id}:{record.revision}")
            if record.phase == "start" and self._device is not None:
                self._device.alarm()
                self._show_device(self._device)
            # Before the event, so that whoever acts on it finds its picture.
            self._show_event(record)
            self._session.events_wait()
        elif isinstance(record, Prediction):
            self._show(self._topic(record.source, "prediction"), payload, record.label)
            if self._options.predictions:
                self._session.pass_on(self._topic(record.source, "predictions"), payload)
        else:
            self._show(self._topic(record.source, "status"), payload, record.state)
            if self._device is not None:
                self._show_device(self._device)

    def send_picture(self, source: str, jpeg: bytes) -> None:
        """Publish a picture of a stream in `<base>/picture`, once and with QoS 0. It is lost during an outage."""
        self._session.pass_on(self._topic(source, "picture"), jpeg)

    def show_settings(self, settings: Mapping[str, bool | float]) -> None:
        """Publish the values of `enabled` and `threshold`, if commands are allowed."""
        self._settings = dict(settings)
        if self._on_command is not None:
            self._session.hold(self._broker.topic("settings"), self._encoder.encode(self._settings))

    def close(self) -> None:
        """Publish what is left and `offline`, as far as the broker takes it in time, and disconnect."""
        if self._agent is not None:
            self._agent.close()
        for topic, payload in self._unshown.items():
            self._session.hold(topic, payload)
        self._session.close()
        self._spool.close()
        if self._spool.on_disk:
            _log.info("%s: %d events wait on disk for the next run", self._broker.where, self._spool.on_disk)
        lost = self._spool.dropped + self._spool.depth - self._spool.on_disk
        if lost:
            _log.warning("%s: %d events could not be published", self._broker.where, lost)

    def _agent_links(self) -> AgentLinks:
        from edgehar.sinks.mqtt.agent import AgentLinks

        return AgentLinks(
            subscribe=lambda topic: self._session.subscribe(topic),
            unsubscribe=lambda topic: self._session.unsubscribe(topic),
            report=lambda report: self._session.hold(self._broker.topic("order"), self._encoder.encode(report)),
        )

    def _topic(self, source: str, kind: str) -> str:
        stream = self._streams.get(source)
        return self._broker.topic("" if stream is None else stream.name, kind)

    def _show(self, topic: str, payload: bytes, value: str, every_s: float | None = None) -> None:
        """Publish a retained record if its value has changed or the last one is old; keep it for later if not."""
        now_s, every_s = self._clock(), self._options.update_every_s if every_s is None else every_s
        shown, shown_s = self._shown.get(topic, (None, -math.inf))
        now = value != shown or now_s - shown_s >= every_s
        if now:
            self._shown[topic] = (value, now_s)
            self._unshown.pop(topic, None)
        else:
            self._unshown[topic] = payload
        self._session.hold(topic, payload, now=now)

    def _show_device(self, report: DeviceReport) -> None:
        record = report.record()
        self._show(
            self._broker.topic("device"),
            self._encoder.encode(record),
            f"{record.alarms} {record.models}",
            _DEVICE_EVERY_S,
        )

    def _show_event(self, event: Event) -> None:
        """Publish which event is open, and the picture of an event at its start and, if recorded, of its peak."""
        if event.phase not in ("start", "end"):
            return
        active = _Active() if event.phase == "end" else _Active(event.label, event.id, event.time)
        self._session.hold(self._topic(event.source, "active"), self._encoder.encode(active))
        stream = self._streams.get(event.source)
        if stream is None or stream.picture_of is None or not (event.phase == "start" or event.clip):
            return
        # Without a recording there is no frame of the peak, and the latest one may be from after the event.
        jpeg = stream.picture_of(event)
        if jpeg is not None:
            self._session.hold(self._topic(event.source, "event_picture"), jpeg)

    def _first_messages(self, streams: Sequence[PublishedStream]) -> dict[str, bytes]:
        idle = self._encoder.encode(_Active())
        messages = {self._broker.topic(stream.name, "active"): idle for stream in streams}
        if self._device is not None:
            messages[self._broker.topic("device")] = self._encoder.encode(self._device.record())
        if self._agent is not None and (report := self._agent.report) is not None:
            messages[self._broker.topic("order")] = self._encoder.encode(report)
        if self._options.discovery:
            from edgehar.sinks.mqtt.discovery import discovery_messages

            prefix, commands = self._options.discovery_prefix, self._on_command is not None
            messages |= discovery_messages(prefix, self._broker, streams, commands=commands)
        if self._on_command is not None:
            messages[self._broker.topic("settings")] = self._encoder.encode(self._settings)
        return messages

    def _subscriptions(self) -> list[str]:
        commands = COMMAND_TOPICS if self._on_command is not None else ()
        topics = [*map(self._broker.topic, commands), *([self._birth_topic] if self._options.discovery else [])]
        return topics if self._agent is None else [*topics, self._agent.topics.orders]

    @property
    def _birth_topic(self) -> str:
        return f"{self._options.discovery_prefix}/status"

    def _event_topic(self, payload: bytes) -> str:
        # An event in the spool may be of a stream or a version of this program that no longer exists.
        try:
            source = self._origin.decode(payload).source
        except msgspec.DecodeError:
            source = ""
        return self._topic(source, "event")

    def _on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if self._agent is not None and self._agent.takes(topic):
            self._agent.message(topic, payload)
            return
        # A retained message is old: we have announced ourselves since then, and a command is for its moment.
        if retained:
            return
        if self._options.discovery and topic == self._birth_topic:
            if payload == b"online":
                self._session.announce_soon()
            return
        name = topic.removeprefix(f"{self._broker.base_topic}/")
        if self._on_command is not None and name in COMMAND_TOPICS:
            self._execute(name, payload, self._on_command)

    def _execute(self, topic: str, payload: bytes, on_command: Callable[[Command], None]) -> None:
        try:
            command = read_command(topic, payload)
            on_command(command)
        except (ValueError, EdgeharError) as error:
            self._reject(f"{topic}: the command {error}")
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
        self.show_settings(self._settings)

    def _reject(self, why: str) -> None:
        """Log an invalid command, at most once a minute."""
        self._refusals += 1
        if time.monotonic() - self._refused_at_s >= _REFUSALS_EVERY_S:
            _log.warning("%s: %s; ignored (%d so far)", self._broker.where, why, self._refusals)
            self._refused_at_s = time.monotonic()
