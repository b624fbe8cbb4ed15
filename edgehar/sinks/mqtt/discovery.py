"""Home Assistant discovery: the messages that make it show the device without any configuration there.

One message would be over 100 kB for 16 cameras, more than many brokers take. So each camera has messages of its own,
all keys are abbreviated (Home Assistant's `components/mqtt/abbreviations.py`), and readings of the device come once.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar._version import __version__
from edgehar.records import UNKNOWN, StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgehar.records import Event
    from edgehar.sinks.mqtt.options import Broker

# Readings become unavailable if three in a row are missing, but not sooner than this.
_MIN_EXPIRY_S = 30
# Size of a discovery message in bytes. A camera with many actions has several.
_MESSAGE_BYTES = 2900
# Longest part of a label in a name or an identity.
_NAME_LENGTH = 60
# Entities as they are in a message, each with its key there.
Entities = Iterable[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class PublishedStream:
    """One camera, stream or file whose records are published.

    Attributes:
        source: `source` of its records.
        labels: labels of its model, without "unknown".
        actions: the labels that open events.
        model: name of the bundle.
        name: its level in the topics; empty if it is the only stream.
        answer_every_s: seconds between two published predictions; None if unknown.
        status_every_s: seconds between two published status records; None if they only follow changes.
        snapshots: whether pictures of the stream may be published when asked for.
        picture_of: returns the picture of an event as JPEG, None if there is none; None to publish no such pictures.
    """

    source: str
    labels: Sequence[str]
    actions: Sequence[str] = ()
    model: str = ""
    name: str = ""
    answer_every_s: float | None = None
    status_every_s: float | None = None
    snapshots: bool = True
    picture_of: Callable[[Event], bytes | None] | None = None


def discovery_messages(
    prefix: str, broker: Broker, streams: Sequence[PublishedStream], *, commands: bool
) -> dict[str, bytes]:
    """Return topics and payloads: one for the device, and some for each stream.

    Args:
        prefix: the topic under which Home Assistant looks for devices.
        broker: base topic and device id.
        streams: the streams whose records are published.
        commands: whether the device accepts commands.
    """
    messages = {}
    node = f"{prefix}/device/{broker.device_id}"
    models = ", ".join(sorted({stream.model for stream in streams if stream.model}))
    for stream in streams:
        frame = _Frame(broker, stream, models)
        name = stream.name or "stream"
        messages[f"{node}/{name}/config"] = frame.message(
            (*_answers(broker, stream), *_readings(stream, _STREAM_READINGS))
        )
        if shown := list(_images(broker, stream, commands=commands)):
            messages[f"{node}/_{name}_pictures/config"] = frame.message(shown)
        # The name of a camera never begins with "_".
        for number, message in enumerate(frame.split(_actions(broker, stream)), 1):
            messages[f"{node}/_{name}_actions_{number}/config"] = message
    if streams:
        frame = _Frame(broker, streams[0], models, of_device=True)
        entities = (*_readings(streams[0], _DEVICE_READINGS), *(_controls(broker) if commands else ()))
        messages[f"{node}/config"] = frame.message(entities)
    return messages


class _Frame:
    """The fields that the messages of one stream, or of the device, have in common."""

    def __init__(self, broker: Broker, stream: PublishedStream, models: str, *, of_device: bool = False) -> None:
        self._device, self._name = broker.device_id, "" if of_device else stream.name
        self._shared: dict[str, Any] = {
            "dev": {
                "ids": [f"edgehar_{broker.device_id}"],
                "name": broker.base_topic.removeprefix("edgehar/"),
                "mf": "edgehar",
                "sw": __version__,
                **({"mdl": models} if models else {}),
            },
            "o": {"name": "edgehar", "sw": __version__},
            "avty": [{"t": broker.topic("availability")}],
            "stat_t": broker.topic(stream.name, "status"),
            "qos": 1,
        }

    def message(self, entities: Entities) -> bytes:
        """Return a message as JSON. Its entities read the stream's status unless they name another topic."""
        components = {key: self._identified(key, entity) for key, entity in entities}
        return msgspec.json.encode({**self._shared, "cmps": components})

    def split(self, entities: Entities) -> list[bytes]:
        """Return messages of a limited size, each with as many of the entities as fit."""
        messages: list[bytes] = []
        waiting: list[tuple[str, dict[str, Any]]] = []
        for entity in entities:
            if waiting and len(self.message([*waiting, entity])) > _MESSAGE_BYTES:
                messages.append(self.message(waiting))
                waiting = []
            waiting.append(entity)
        return [*messages, self.message(waiting)] if waiting else messages

    def _identified(self, key: str, entity: dict[str, Any]) -> dict[str, Any]:
        """Return an entity with its name and its identities."""
        full = f"{self._name}_{key}" if self._name else key
        name = f"{self._name} {entity['name']}" if self._name else entity["name"]
        words = f"{self._shared['dev']['name']} {name}"
        object_id = re.sub("[^a-z0-9]+", "_", words.lower()).strip("_")
        # Versions from 2025.10 on read the entity id. Earlier ones make it of the two names, and each spells other
        # letters in its own way.
        plain = re.fullmatch("[A-Za-z0-9_ /-]+", words)
        return {
            **entity,
            "name": name,
            "uniq_id": f"edgehar_{self._device}_{full}",
            "def_ent_id": f"{entity['p']}.{object_id}",
            **({} if plain else {"obj_id": object_id}),
        }


def _expiry(every_s: float | None) -> dict[str, int]:
    return {} if every_s is None else {"exp_aft": max(math.ceil(3 * every_s), _MIN_EXPIRY_S)}


def _answers(broker: Broker, stream: PublishedStream) -> Entities:
    topic = broker.topic(stream.name, "prediction")
    latest = {"stat_t": topic, **_expiry(stream.answer_every_s)}
    yield (
        "action",
        {
            "p": "sensor",
            "name": "Action",
            "dev_cla": "enum",
            "ops": [*dict.fromkeys((*stream.labels, UNKNOWN))],
            "val_tpl": "{{ value_json.label }}",
            "json_attr_t": topic,
            **latest,
        },
    )
    yield (
        "confidence",
        {
            "p": "sensor",
            "name": "Confidence",
            "unit_of_meas": "%",
            "stat_cla": "measurement",
            "val_tpl": "{{ (value_json.score * 100) | round(0) }}",
            **latest,
        },
    )
    yield (
        "event",
        {
            "p": "event",
            "name": "Event",
            "stat_t": broker.topic(stream.name, "event"),
            "evt_typ": ["start", "update", "end", "uploaded"],
            # All fields become attributes of the event; its type is the phase.
            "val_tpl": "{{ dict(value_json, event_type=value_json.phase) | to_json }}",
        },
    )


def _images(broker: Broker, stream: PublishedStream, *, commands: bool) -> Entities:
    """Yield the pictures of a stream."""
    if stream.picture_of is not None:
        yield "event_picture", {"p": "image", "name": "Event", "img_t": broker.topic(stream.name, "event_picture")}
    if stream.snapshots and commands:
        yield "snapshot_picture", {"p": "image", "name": "Snapshot", "img_t": broker.topic(stream.name, "picture")}


def _actions(broker: Broker, stream: PublishedStream) -> Entities:
    """Yield for each action whether an event of it is open."""
    used: set[str] = set()
    for label in stream.actions:
        name = label[:_NAME_LENGTH]
        key = f"is_{re.sub('[^a-z0-9]+', '_', name.lower())}"
        if key in used or name != label:
            # Labels that differ in other characters only.
            key, name = f"{key}_{_digest(label)}", f"{name} {_digest(label)}"
        used.add(key)
        # Escapes of JSON mean the same in Jinja.
        text = json.dumps(label, ensure_ascii=False)
        yield (
            key,
            {
                "p": "binary_sensor",
                "name": name,
                "stat_t": broker.topic(stream.name, "active"),
                "val_tpl": f"{{{{ 'ON' if value_json.active == {text} else 'OFF' }}}}",
            },
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


_MEASURED, _COUNTED = {"stat_cla": "measurement"}, {"stat_cla": "total_increasing"}
# Fields of the status: platform, name and the rest of the entity.
_Reading = tuple[str, str, str, dict[str, Any]]
_STREAM_READINGS: tuple[_Reading, ...] = (
    ("state", "sensor", "State", {"dev_cla": "enum", "ops": [state.value for state in StreamState]}),
    ("fps", "sensor", "Frame rate", {"unit_of_meas": "fps", **_MEASURED}),
    ("frame_age_ms_p95", "sensor", "Frame age", {"dev_cla": "duration", "unit_of_meas": "ms"}),
    ("dropped", "sensor", "Frames dropped", _COUNTED),
    ("reconnects", "sensor", "Reconnections", _COUNTED),
)
_DEVICE_READINGS: tuple[_Reading, ...] = (
    ("spool_depth", "sensor", "Events waiting", _MEASURED),
    ("spool_dropped", "sensor", "Events lost", _COUNTED),
    ("spool_refused", "sensor", "Events refused", _COUNTED),
    (
        "temperature_c",
        "sensor",
        "Processor temperature",
        {"dev_cla": "temperature", "unit_of_meas": "°C", **_MEASURED},
    ),
    ("throttled", "binary_sensor", "Throttled", {"dev_cla": "problem"}),
    ("under_voltage", "binary_sensor", "Under-voltage", {"dev_cla": "problem"}),
)


def _readings(stream: PublishedStream, readings: Iterable[_Reading]) -> Entities:
    """Yield diagnostic entities, one for each of some fields of the status."""
    for field, platform, name, more in readings:
        switch = {"pl_on": "True", "pl_off": "False"} if platform == "binary_sensor" else {}
        yield (
            field,
            {
                "p": platform,
                "name": name,
                "ent_cat": "diagnostic",
                "val_tpl": f"{{{{ value_json.{field} }}}}",
                **_expiry(stream.status_every_s),
                **switch,
                **more,
            },
        )


def _controls(broker: Broker) -> Entities:
    settings = {"stat_t": broker.topic("settings")}
    yield (
        "enabled",
        {
            "p": "switch",
            "name": "Watching",
            "cmd_t": broker.topic("set/enabled"),
            "val_tpl": "{{ 'ON' if value_json.enabled else 'OFF' }}",
            **settings,
        },
    )
    yield (
        "threshold",
        {
            "p": "number",
            "name": "Threshold",
            "ent_cat": "config",
            "cmd_t": broker.topic("set/threshold"),
            "val_tpl": "{{ value_json.threshold | default('None') }}",
            "min": 0,
            "max": 1,
            "step": 0.01,
            **settings,
        },
    )
    yield "snapshot", {"p": "button", "name": "Snapshot", "cmd_t": broker.topic("snapshot")}
