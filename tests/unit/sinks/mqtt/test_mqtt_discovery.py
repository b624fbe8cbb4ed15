"""The discovery payload beside the records it is about, and the commands it offers."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.records import Status
from edgehar.sinks.mqtt.commands import (
    COMMAND_TOPICS,
    MAX_PAYLOAD,
    SetEnabled,
    SetThreshold,
    TakeSnapshot,
    read_command,
)
from edgehar.sinks.mqtt.discovery import PublishedStream, discovery_payload, discovery_topic
from edgehar.sinks.mqtt.options import MqttOptions, read_broker

BROKER = read_broker(MqttOptions(url="mqtt://host/edgehar/Hall"))
HALL = PublishedStream(source="camera:0", labels=("fight", "noFight"), model="m", answer_every_s=20, status_every_s=1)


def device(*streams, commands=False):
    return json.loads(discovery_payload(BROKER, streams or (HALL,), commands=commands))


def test_the_topic():
    assert discovery_topic("homeassistant", BROKER) == "homeassistant/device/edgehar-Hall/config"


def test_the_device_and_what_all_its_entities_share():
    whole = device()
    assert whole["device"]["identifiers"] == ["edgehar_edgehar-Hall"]
    assert whole["origin"]["name"] == "edgehar"
    assert whole["availability"] == [{"topic": "edgehar/Hall/availability"}]


def test_every_entity_has_an_identity_in_the_present_form():
    two = [PublishedStream(source=f"camera:{name}", labels=("a", "b"), name=name) for name in ("hall", "porch-2")]
    components = device(*two, commands=True)["components"]
    assert len({entity["unique_id"] for entity in components.values()}) == len(components)
    for entity in components.values():
        assert re.fullmatch(rf"{entity['platform']}\.[a-z0-9_]+", entity["default_entity_id"])
        assert "object_id" not in entity
        assert entity["name"]


def test_the_action_is_one_of_the_labels_and_expires():
    action = device()["components"]["action"]
    assert (action["platform"], action["device_class"]) == ("sensor", "enum")
    assert action["options"] == ["fight", "noFight", "unknown"]
    assert "state_class" not in action
    assert action["expire_after"] == 60


def test_an_event_entity_knows_all_phases():
    entity = device()["components"]["event"]
    assert entity["platform"] == "event"
    assert entity["event_types"] == ["start", "update", "end"]
    assert entity["state_topic"] == "edgehar/Hall/event"


def test_diagnostics_are_fields_of_the_status():
    fields = {field.name for field in msgspec.structs.fields(Status)}
    diagnostics = [e for e in device()["components"].values() if e.get("entity_category") == "diagnostic"]
    assert len(diagnostics) >= 10
    for entity in diagnostics:
        assert re.fullmatch(r"{{ value_json\.(\w+) }}", entity["value_template"])[1] in fields
        assert entity["expire_after"] == 30


def test_controls_only_where_there_are_commands():
    controls = {"enabled": "switch", "threshold": "number"}
    assert not controls.keys() & device()["components"].keys()
    offered = device(commands=True)["components"]
    assert {name: offered[name]["platform"] for name in controls} == controls
    topics = {offered[name]["command_topic"].removeprefix("edgehar/Hall/") for name in controls}
    assert topics < set(COMMAND_TOPICS)


@pytest.mark.parametrize(
    ("topic", "payload", "command"),
    [
        ("set/enabled", b"ON", SetEnabled(True)),
        ("set/enabled", b"off", SetEnabled(False)),
        ("set/enabled", b"true", SetEnabled(True)),
        ("set/threshold", b"0.75", SetThreshold(0.75)),
        ("set/threshold", b" 1 ", SetThreshold(1.0)),
        ("set/threshold", b"0", SetThreshold(0.0)),
        ("snapshot", b"PRESS", TakeSnapshot()),
        ("snapshot", b"", TakeSnapshot()),
    ],
)
def test_commands(topic, payload, command):
    assert read_command(topic, payload) == command


@given(topic=st.sampled_from(COMMAND_TOPICS), payload=st.binary(max_size=2 * MAX_PAYLOAD) | st.text().map(str.encode))
def test_any_payload_is_a_command_or_refused(topic, payload):
    said = "refused"
    try:
        command = read_command(topic, payload)
        kinds = {"set/enabled": SetEnabled, "set/threshold": SetThreshold, "snapshot": TakeSnapshot}
        assert type(command) is kinds[topic]
        assert not isinstance(command, SetThreshold) or 0 <= command.threshold <= 1
    except ValueError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 60
