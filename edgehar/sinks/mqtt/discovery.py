"""Home Assistant discovery: the messages that make it show the device without any configuration there.

One message would be 73 kB for 16 cameras, more than many brokers take. So each camera has a message of its own, all
keys are abbreviated (Home Assistant's `components/mqtt/abbreviations.py`), and readings of the device come once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from edgehar._version import __version__
from edgehar.records import UNKNOWN, StreamState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgehar.sinks.mqtt.options import Broker

# Readings become unavailable if three in a row are missing, but not sooner than this.
_MIN_EXPIRY_S = 30
_STATES = [state.value for state in StreamState]


@dataclass(frozen=True, kw_only=True)
class PublishedStream:
    """One camera, stream or file whose records are published.

    Attributes:
        source: `source` of its records.
        labels: labels of its model, without "unknown".
        model: name of the bundle.
        name: its level in the topics; empty if it is the only stream.
        answer_every_s: seconds between two predictions; None if unknown.
        status_every_s: seconds between two status records; None if they only follow changes.
    """

    source: str
    labels: Sequence[str]
    model: str = ""
    name: str = ""
    answer_every_s: float | None = None
    status_every_s: float | None = None


def discovery_messages(
    prefix: str, broker: Broker, streams: Sequence[PublishedStream], *, commands: bool
) -> dict[str, bytes]:
    """Return topics and payloads: one for the device, and one for each stream.

    Args:
        prefix: the topic under which Home Assistant looks for devices.
        broker: base topic and device id.
        streams: the streams whose records are published.
        commands: whether the device accepts commands.
    """
    messages = {}
    for stream in streams:
        topic = f"{prefix}/device/{broker.device_id}/{stream.name or 'stream'}/config"
        entities = (*_answers(broker, stream), *_readings(stream, _STREAM_READINGS))
        messages[topic] = _message(broker, stream, streams, entities)
    if streams:
        entities = (*_readings(streams[0], _DEVICE_READINGS), *(_controls(broker) if commands else ()))
        topic = f"{prefix}/device/{broker.device_id}/config"
        messages[topic] = _message(broker, streams[0], streams, entities, of_device=True)
    return messages


def _message(
    broker: Broker,
    stream: PublishedStream,
    streams: Sequence[PublishedStream],
    entities: Iterable[tuple[str, dict[str, Any]]],
    *,
    of_device: bool = False,
) -> bytes:
    """Return a discovery message as JSON. Its entities read the stream's status unless they name another topic."""
    name = "" if of_device else stream.name
    device = broker.device_id
    components = {}
    for key, entity in entities:
        full = f"{name}_{key}" if name else key
        entity_id = re.sub("[^a-z0-9]+", "_", f"{device}_{full}".lower())
        components[key] = {
            **entity,
            "name": f"{name} {entity['name']}" if name else entity["name"],
            "uniq_id": f"edgehar_{device}_{full}",
            "def_ent_id": f"{entity['p']}.{entity_id}",
        }
    models = ", ".join(sorted({stream.model for stream in streams if stream.model}))
    return msgspec.json.encode(
        {
            "dev": {
                "ids": [f"edgehar_{device}"],
                "name": broker.base_topic.removeprefix("edgehar/"),
                "mf": "edgehar",
                "sw": __version__,
                **({"mdl": models} if models else {}),
            },
            "o": {"name": "edgehar", "sw": __version__},
            "avty": [{"t": broker.topic("availability")}],
            "stat_t": broker.topic(stream.name, "status"),
            "qos": 1,
            "cmps": components,
        }
    )


def _expiry(every_s: float | None) -> dict[str, int]:
    return {} if every_s is None else {"exp_aft": max(math.ceil(3 * every_s), _MIN_EXPIRY_S)}


def _answers(broker: Broker, stream: PublishedStream) -> Iterable[tuple[str, dict[str, Any]]]:
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
            "evt_typ": ["start", "update", "end"],
            # All fields become attributes of the event; its type is the phase.
            "val_tpl": "{{ dict(value_json, event_type=value_json.phase) | to_json }}",
        },
    )


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


def _readings(stream: PublishedStream, readings: Iterable[_Reading]) -> Iterable[tuple[str, dict[str, Any]]]:
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


def _controls(broker: Broker) -> Iterable[tuple[str, dict[str, Any]]]:
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
