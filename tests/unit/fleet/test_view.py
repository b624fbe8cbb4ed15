"""What is known of a fleet, from good, odd and hostile messages."""

import datetime
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.fleet.client import Message
from edgehar.fleet.view import FleetView
from edgehar.records import Event, Status, StreamState
from edgehar.sinks.mqtt.device import Device, DeviceReport, ModelInUse

NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
TIME = "2026-11-30T11:59:30.000Z"


def view():
    return FleetView(lambda: NOW)


def take(fleet, topic, payload):
    data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    change = fleet.take(Message(topic, data, True))
    return None if change is None else f"{change.device}: {change.what}"


def status(state=StreamState.RUNNING, **changes):
    return Status(TIME, "camera:0", state, 100, 10, 0, 12.5, **changes)


def device(alarms=0, alarms_s=86_400.0, sha256="ab" * 32, version="0.1.0"):
    return Device(TIME, version, TIME, [ModelInUse("fight", sha256)], alarms, alarms_s)


def problems(fleet, name="hall"):
    return fleet.devices[name].problems(NOW)


def test_a_healthy_device():
    fleet = view()
    assert take(fleet, "hall/availability", b"online") == "hall: online"
    assert problems(fleet) == ["no status"]
    assert take(fleet, "hall/status", status()) is None
    assert take(fleet, "hall/device", device()) is None
    assert problems(fleet) == []
    assert fleet.devices["hall"].statuses[""].fps == 12.5


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (status(StreamState.RECONNECTING), "reconnecting"),
        (status(StreamState.FAILED), "failed"),
        (status(throttled=True), "throttled"),
        (status(under_voltage=True), "under-voltage"),
        (status(inference_errors=2), "2 inference errors"),
        (status(spool_dropped=1, spool_refused=2), "3 events lost or refused"),
        (msgspec.structs.replace(status(), time="2026-11-30T02:00:00Z"), "last status 10 h ago"),
    ],
)
def test_each_problem_is_named_with_its_camera_and_so_is_its_end(record, words):
    fleet = view()
    take(fleet, "hall/availability", b"online")
    take(fleet, "hall/porch/status", status())
    assert take(fleet, "hall/porch/status", record) == f"hall: porch: {words}"
    assert problems(fleet) == [f"porch: {words}"]
    assert take(fleet, "hall/porch/status", record) is None
    assert take(fleet, "hall/porch/status", status()) == "hall: porch: recovered"


def test_offline_is_the_problem_whatever_the_last_status_said():
    fleet = view()
    take(fleet, "hall/status", status())
    take(fleet, "hall/availability", b"online")
    assert take(fleet, "hall/availability", b"offline") == "hall: offline"
    assert problems(fleet) == ["offline"]


def test_changes_of_models_and_versions():
    fleet = view()
    take(fleet, "hall/device", device())
    assert take(fleet, "hall/device", device(alarms=3)) is None
    assert take(fleet, "hall/device", device(sha256="cd" * 32)) == "hall: now runs fight@cdcdcdcd"
    assert take(fleet, "hall/device", device(sha256="cd" * 32, version="0.2.0")) == "hall: now has edgehar 0.2.0"


def test_alarms_a_day():
    fleet = view()
    take(fleet, "hall/device", device(alarms=3, alarms_s=43_200.0))
    assert fleet.devices["hall"].alarms_per_day() == 6.0
    take(fleet, "hall/device", device(alarms=3, alarms_s=60.0))
    assert fleet.devices["hall"].alarms_per_day() is None


def test_events_are_changes():
    event = Event("start", "1", 0, TIME, "camera:0", "fight", "fight", 0.9, 1.5)
    assert take(view(), "hall/event", event) == "hall: start of fight, 0.90"
    assert take(view(), "hall/event", msgspec.structs.replace(event, phase="update")) is None


def test_a_device_whose_topics_were_deleted_is_forgotten():
    fleet = view()
    take(fleet, "hall/availability", b"offline")
    assert take(fleet, "hall/availability", b"") == "hall: removed"
    assert fleet.devices == {}


def test_newer_devices_may_send_more_fields():
    fleet = view()
    more = json.loads(msgspec.json.encode(device())) | {"fans": 2}
    take(fleet, "hall/device", json.dumps(more).encode())
    assert fleet.devices["hall"].device == device()


def test_a_name_cannot_control_the_terminal():
    assert take(view(), "ha\x1b[2Jll/availability", b"online") == "ha\\x1b[2Jll: online"


@given(st.text(alphabet="/abcdefghilnoprstuvy\x00\x1b", max_size=30), st.binary(max_size=60))
def test_nothing_that_arrives_is_an_error(topic, payload):
    fleet = view()
    fleet.take(Message(topic, payload, False))
    for kind in ("status", "device", "event", "availability"):
        fleet.take(Message(f"hall/{kind}", payload, False))
    for one in fleet.devices.values():
        one.problems(NOW)


def test_an_odd_time_does_not_hide_the_device():
    fleet = view()
    take(fleet, "hall/availability", b"online")
    take(fleet, "hall/status", msgspec.structs.replace(status(), time="soon"))
    assert "hall" in fleet.devices
    problems(fleet)


def test_the_report_counts_the_last_day():
    now_s = [1000.0]
    report = DeviceReport(lambda: [ModelInUse("fight", "ab")], clock=lambda: now_s[0])
    report.alarm()
    now_s[0] += 50_000
    report.alarm()
    assert (report.record().alarms, report.record().alarms_s) == (2, 50_000)
    now_s[0] += 40_000
    assert (report.record().alarms, report.record().alarms_s) == (1, 86_400)
    assert report.record().models == [ModelInUse("fight", "ab")]
