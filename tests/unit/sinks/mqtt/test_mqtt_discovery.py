"""The discovery payload beside the records it is about, and the commands it offers."""

import dataclasses
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
from edgehar.sinks.mqtt.discovery import PublishedStream, discovery_messages
from edgehar.sinks.mqtt.options import MqttOptions, read_broker

BROKER = read_broker(MqttOptions(url="mqtt://host/edgehar/Hall"))
HALL = PublishedStream(
    source="camera:0", labels=("fight", "noFight"), actions=("fight",), model="m", answer_every_s=20, status_every_s=1
)


# Keys that are abbreviated, as in Home Assistant's components/mqtt/abbreviations.py.
ABBREVIATIONS = {
    "avty": "availability", "cmd_t": "command_topic", "cmps": "components", "def_ent_id": "default_entity_id",
    "dev": "device", "dev_cla": "device_class", "ent_cat": "entity_category", "evt_typ": "event_types",
    "exp_aft": "expire_after", "ids": "identifiers", "img_t": "image_topic", "json_attr_t": "json_attributes_topic",
    "mdl": "model", "mf": "manufacturer", "o": "origin", "obj_id": "object_id", "ops": "options", "p": "platform",
    "pl_off": "payload_off",
    "pl_on": "payload_on", "stat_cla": "state_class", "stat_t": "state_topic", "sw": "sw_version", "t": "topic",
    "uniq_id": "unique_id", "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template",
}  # fmt: skip
FULL = {*ABBREVIATIONS.values(), "name", "qos", "min", "max", "step"}


def expanded(value):
    """As Home Assistant sees it; a component key is a name of ours."""
    if isinstance(value, list):
        return [expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {ABBREVIATIONS.get(key, key): expanded(item) for key, item in value.items()}


def messages(*streams, commands=False):
    found = discovery_messages("homeassistant", BROKER, streams or (HALL,), commands=commands)
    return {topic: expanded(json.loads(payload)) for topic, payload in found.items()}


def components(*streams, commands=False):
    """All entities, each with the topic that it shares with others."""
    return {
        entity["unique_id"].removeprefix("edgehar_edgehar-Hall_"): {"state_topic": message["state_topic"], **entity}
        for message in messages(*streams, commands=commands).values()
        for entity in message["components"].values()
    }


def test_the_topics():
    porch = PublishedStream(source="camera:1", labels=("a", "b"), name="porch-2")
    device = "homeassistant/device/edgehar-Hall"
    actions = f"{device}/_stream_actions_1/config"
    assert set(messages()) == {f"{device}/stream/config", actions, f"{device}/config"}
    pictures = f"{device}/_stream_pictures/config"
    assert set(messages(commands=True)) == {f"{device}/stream/config", actions, pictures, f"{device}/config"}
    assert set(messages(porch)) == {f"{device}/porch-2/config", f"{device}/config"}
    # As Home Assistant reads them.
    pattern = r"homeassistant/device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config"
    assert all(re.fullmatch(pattern, topic) for topic in messages(porch))


def test_the_device_and_what_all_its_entities_share():
    for message in messages().values():
        assert message["device"]["identifiers"] == ["edgehar_edgehar-Hall"]
        assert message["origin"]["name"] == "edgehar"
        assert message["availability"] == [{"topic": "edgehar/Hall/availability"}]


def test_every_key_is_one_of_home_assistants():
    for message in messages(commands=True).values():
        assert set(message) <= FULL
        assert all(set(entity) <= FULL for entity in message["components"].values())


def test_16_cameras_fit_common_limits_of_brokers():
    labels = ("standing", "walking", "running", "falling", "fighting", "pushing", "waving", "sitting", "lying", "none")
    streams = [
        PublishedStream(
            source=f"rtsp://camera-{number}.example/stream", labels=labels, actions=labels[:9], model="interactions",
            name=f"parking-garage-{number}", answer_every_s=30, status_every_s=30, picture_of=lambda _: b"",
        )
        for number in range(16)
    ]  # fmt: skip
    found = discovery_messages("homeassistant", BROKER, streams, commands=True)
    assert max(map(len, found.values())) < 3000
    # Records, pictures, and the actions in two parts; and the device.
    assert len(found) == 16 * 4 + 1
    assert len(components(*streams, commands=True)) == 16 * (8 + 2 + 9) + 6 + 3


LABELS = ("fight", "Fight", "hand shake", "hand_shake", "pelea", "драка", "<b>&'\"\\{{ 1 }}%}", "a/b", "x" * 200)


def test_each_action_has_a_sensor_whatever_its_label():
    jinja2 = pytest.importorskip("jinja2", reason="needs the web extra")
    stream = PublishedStream(source="camera:0", labels=LABELS, actions=LABELS)
    found = components(stream)
    sensors = [entity for key, entity in found.items() if key.startswith("is_")]
    assert len(sensors) == len({e["default_entity_id"] for e in sensors}) == len(LABELS)
    for label, sensor in zip(LABELS, sensors, strict=True):
        assert sensor["state_topic"] == "edgehar/Hall/active"
        template = jinja2.Template(sensor["value_template"])
        shown = [template.render(value_json={"active": active}) for active in (*LABELS, None)]
        assert shown == ["ON" if active == label else "OFF" for active in (*LABELS, None)]


def test_background_has_no_sensor():
    assert [key for key in components() if key.startswith("is_")] == ["is_fight"]


def test_pictures_are_shown_only_where_they_are_published():
    with_events = dataclasses.replace(HALL, picture_of=lambda _: b"")
    assert not {"event_picture", "snapshot_picture"} & components().keys()
    assert components(with_events)["event_picture"]["image_topic"] == "edgehar/Hall/event_picture"
    assert components(commands=True)["snapshot_picture"]["image_topic"] == "edgehar/Hall/picture"
    assert "snapshot_picture" not in components(dataclasses.replace(HALL, snapshots=False), commands=True)


def test_every_entity_has_an_identity_in_the_present_form():
    two = [PublishedStream(source=f"camera:{name}", labels=("a", "b"), name=name) for name in ("hall", "porch-2")]
    entities = components(*two, commands=True)
    assert len({entity["unique_id"] for entity in entities.values()}) == len(entities)
    for entity in entities.values():
        assert re.fullmatch(rf"{entity['platform']}\.[a-z0-9_]+", entity["default_entity_id"])
        # As earlier versions make it of the names of device and entity.
        made = re.sub("[^a-z0-9]+", "_", f"Hall {entity['name']}".lower())
        assert entity["default_entity_id"] == f"{entity['platform']}.{made}"
        assert "object_id" not in entity
        assert entity["name"]


def test_the_action_is_one_of_the_labels_and_expires():
    action = components()["action"]
    assert (action["platform"], action["device_class"]) == ("sensor", "enum")
    assert action["options"] == ["fight", "noFight", "unknown"]
    assert "state_class" not in action
    assert action["expire_after"] == 60
    assert action["state_topic"] == action["json_attributes_topic"] == "edgehar/Hall/prediction"


def test_an_event_entity_knows_all_phases():
    entity = components()["event"]
    assert entity["platform"] == "event"
    assert entity["event_types"] == ["start", "update", "end", "uploaded"]
    assert entity["state_topic"] == "edgehar/Hall/event"


def test_diagnostics_are_fields_of_the_status():
    fields = {field.name for field in msgspec.structs.fields(Status)}
    diagnostics = [e for e in components().values() if e.get("entity_category") == "diagnostic"]
    assert len(diagnostics) >= 11
    for entity in diagnostics:
        assert re.fullmatch(r"{{ value_json\.(\w+) }}", entity["value_template"])[1] in fields
        assert entity["expire_after"] == 30
        assert entity["state_topic"] == "edgehar/Hall/status"


def test_controls_only_where_there_are_commands():
    controls = {"enabled": "switch", "threshold": "number", "snapshot": "button"}
    assert not controls.keys() & components().keys()
    offered = components(commands=True)
    assert {name: offered[name]["platform"] for name in controls} == controls
    topics = {offered[name]["command_topic"].removeprefix("edgehar/Hall/") for name in controls}
    assert topics == set(COMMAND_TOPICS)


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
