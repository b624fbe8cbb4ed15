"""What Home Assistant needs to know to show the device without being configured (its MQTT device discovery)."""

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

# Readings are called unavailable when three in a row did not come, but not for a hiccup.
_SHORTEST_EXPIRY_S = 30
_STATES = [state.value for state in StreamState]


@dataclass(frozen=True, kw_only=True)
class PublishedStream:
    """One camera, stream or file whose results are published.

    Attributes:
        source: how its records name it.
        labels: what its model can answer, without "unknown".
        model: name of the bundle.
        name: a level of its own in the topics; empty for the only stream.
        answer_every_s: time between two predictions; None when it is not known.
        status_every_s: time between two status records; None when they only come with a change.
    """

    source: str
    labels: Sequence[str]
    model: str = ""
    name: str = ""
    answer_every_s: float | None = None
    status_every_s: float | None = None


def discovery_topic(prefix: str, broker: Broker) -> str:
    """Where Home Assistant looks for this device."""
    return f"{prefix}/device/{broker.device_id}/config"


def discovery_payload(broker: Broker, streams: Sequence[PublishedStream], *, commands: bool) -> bytes:
    """The device with all its entities, as JSON."""
    components: dict[str, dict[str, Any]] = {}
    for stream in streams:
        for key, entity in (*_answers(broker, stream), *_readings(broker, stream)):
            components[f"{stream.name}_{key}" if stream.name else key] = _of(stream, entity)
    if commands:
        components |= dict(_controls(broker))
    device = broker.device_id
    for key, entity in components.items():
        entity["unique_id"] = f"edgehar_{device}_{key}"
        # Entity ids know small letters, digits and the underscore.
        entity["default_entity_id"] = f"{entity['platform']}.{re.sub('[^a-z0-9]+', '_', f'{device}_{key}'.lower())}"
    models = ", ".join(sorted({stream.model for stream in streams if stream.model}))
    return msgspec.json.encode(
        {
            "device": {
                "identifiers": [f"edgehar_{device}"],
                "name": broker.base_topic.removeprefix("edgehar/"),
                "manufacturer": "edgehar",
                "sw_version": __version__,
                **({"model": models} if models else {}),
            },
            "origin": {"name": "edgehar", "sw_version": __version__},
            "availability": [{"topic": broker.topic("availability")}],
            "qos": 1,
            "components": components,
        }
    )


def _of(stream: PublishedStream, entity: dict[str, Any]) -> dict[str, Any]:
    return {**entity, "name": f"{stream.name} {entity['name']}"} if stream.name else entity


def _expiry(every_s: float | None) -> dict[str, int]:
    return {} if every_s is None else {"expire_after": max(math.ceil(3 * every_s), _SHORTEST_EXPIRY_S)}


def _answers(broker: Broker, stream: PublishedStream) -> Iterable[tuple[str, dict[str, Any]]]:
    state = {"state_topic": broker.topic(stream.name, "prediction"), **_expiry(stream.answer_every_s)}
    yield (
        "action",
        {
            "platform": "sensor",
            "name": "Action",
            "device_class": "enum",
            "options": [*dict.fromkeys((*stream.labels, UNKNOWN))],
            "value_template": "{{ value_json.label }}",
            "json_attributes_topic": state["state_topic"],
            **state,
        },
    )
    yield (
        "confidence",
        {
            "platform": "sensor",
            "name": "Confidence",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": "{{ (value_json.score * 100) | round(0) }}",
            **state,
        },
    )
    yield (
        "event",
        {
            "platform": "event",
            "name": "Event",
            "state_topic": broker.topic(stream.name, "event"),
            "event_types": ["start", "update", "end"],
            # All fields become attributes of the event; its type is the phase.
            "value_template": "{{ dict(value_json, event_type=value_json.phase) | to_json }}",
        },
    )


def _readings(broker: Broker, stream: PublishedStream) -> Iterable[tuple[str, dict[str, Any]]]:
    """Diagnostic entities, one for each field of the status that says how the device is."""
    rows: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("state", "sensor", "State", {"device_class": "enum", "options": _STATES}),
        ("fps", "sensor", "Frame rate", {"unit_of_measurement": "fps", "state_class": "measurement"}),
        ("frame_age_ms_p95", "sensor", "Frame age", {"device_class": "duration", "unit_of_measurement": "ms"}),
        ("dropped", "sensor", "Frames dropped", {"state_class": "total_increasing"}),
        ("reconnects", "sensor", "Reconnections", {"state_class": "total_increasing"}),
        ("spool_depth", "sensor", "Events waiting", {"state_class": "measurement"}),
        ("spool_dropped", "sensor", "Events lost", {"state_class": "total_increasing"}),
        (
            "temperature_c",
            "sensor",
            "Processor temperature",
            {"device_class": "temperature", "unit_of_measurement": "°C", "state_class": "measurement"},
        ),
        ("throttled", "binary_sensor", "Throttled", {"device_class": "problem"}),
        ("under_voltage", "binary_sensor", "Under-voltage", {"device_class": "problem"}),
    )
    for field, platform, name, more in rows:
        switch = {"payload_on": "True", "payload_off": "False"} if platform == "binary_sensor" else {}
        yield (
            field,
            {
                "platform": platform,
                "name": name,
                "entity_category": "diagnostic",
                "state_topic": broker.topic(stream.name, "status"),
                "value_template": f"{{{{ value_json.{field} }}}}",
                **_expiry(stream.status_every_s),
                **switch,
                **more,
            },
        )


def _controls(broker: Broker) -> Iterable[tuple[str, dict[str, Any]]]:
    settings = {"state_topic": broker.topic("settings")}
    yield (
        "enabled",
        {
            "platform": "switch",
            "name": "Watching",
            "command_topic": broker.topic("set/enabled"),
            "value_template": "{{ 'ON' if value_json.enabled else 'OFF' }}",
            **settings,
        },
    )
    yield (
        "threshold",
        {
            "platform": "number",
            "name": "Threshold",
            "entity_category": "config",
            "command_topic": broker.topic("set/threshold"),
            "value_template": "{{ value_json.threshold | default('None') }}",
            "min": 0,
            "max": 1,
            "step": 0.01,
            **settings,
        },
    )
