"""What Home Assistant and people see and do over MQTT: discovery, several streams, commands."""

import dataclasses
import json
import time

import msgspec
import pytest
from support.brokers import BASE, event, mqtt_options, prediction
from support.helpers import wait_until

from edgehar import SinkError
from edgehar.sinks.mqtt.commands import SetEnabled, SetThreshold, TakeSnapshot
from edgehar.sinks.mqtt.discovery import PublishedStream
from edgehar.sinks.mqtt.options import MqttTiming
from edgehar.sinks.mqtt.sink import MqttSink

pytestmark = pytest.mark.broker
DEVICE = "homeassistant/device/edgehar-test"
CONFIG = f"{DEVICE}/config"
EVERYTHING = ("homeassistant/#", f"{BASE}/#")
HALL = PublishedStream(
    source="camera:0", labels=("bright", "dark"), model="tiny", answer_every_s=0.5, status_every_s=20
)


@pytest.fixture
def sink_of(broker):
    sinks = []

    def sink_of(*, streams=(HALL,), settings=None, on_command=None, timing=None, clock=time.monotonic, **more):
        options = mqtt_options(broker, **more)
        timing = timing or MqttTiming()
        given = {"settings": settings, "on_command": on_command, "clock": clock}
        sinks.append(MqttSink(options, streams=streams, timing=timing, **given))
        return sinks[-1]

    yield sink_of
    for sink in sinks:
        sink.close()


def test_the_device_is_announced_and_the_announcement_stays(broker, listen, sink_of):
    sink_of(discovery=True).close()
    late = listen(broker, EVERYTHING)
    late.wait(lambda: late.of(CONFIG))
    assert (CONFIG, late.of(CONFIG)[0], True) in late.messages
    assert json.loads(late.of(CONFIG)[0])["dev"]["mdl"] == "tiny"
    late.wait(lambda: late.of(f"{DEVICE}/stream/config"))


def test_it_is_announced_again_when_home_assistant_starts(broker, listen, sink_of):
    listener = listen(broker, EVERYTHING)
    sink = sink_of(discovery=True, timing=MqttTiming(announce_within_s=0.2))
    sink.write(prediction(0))
    listener.wait(lambda: len(listener.of(CONFIG)) == 1 and listener.of("prediction"))
    listener.publish("homeassistant/status", "offline")
    listener.publish("homeassistant/status", "online")
    listener.wait(lambda: len(listener.of(CONFIG)) == 2 and len(listener.of("prediction")) == 2)
    assert listener.of("availability") == ["online", "online"]


def test_it_is_announced_again_to_a_broker_that_comes_back(make_broker, listen):
    broker = make_broker().start()
    sink = MqttSink(mqtt_options(broker, discovery=True), streams=[HALL])
    wait_until(lambda: sink.connected)
    broker.stop()
    broker.start()
    listener = listen(broker, EVERYTHING)
    listener.wait(lambda: listener.of(CONFIG))
    sink.close()


def test_nothing_is_announced_unless_asked_to(broker, listen, sink_of):
    listener = listen(broker, EVERYTHING)
    sink_of().close()
    listener.wait(lambda: listener.of("availability") == ["online", "offline"])
    assert {topic for topic, _, _ in listener.messages} == {"availability", "active"}


def test_several_streams_have_topics_of_their_own(broker, listen, sink_of):
    listener = listen(broker, EVERYTHING)
    porch = PublishedStream(source="camera:1", labels=("bright", "dark"), name="porch")
    sink = sink_of(streams=[PublishedStream(source="camera:0", labels=("bright",), name="hall"), porch], discovery=True)
    sink.write(prediction(3))
    sink.write(event(5))
    listener.wait(lambda: listener.of("hall/prediction") and listener.of("hall/event"))
    hall, porch = (json.loads(listener.of(f"{DEVICE}/{name}/config")[0])["cmps"] for name in ("hall", "porch"))
    assert porch["action"]["stat_t"] == f"{BASE}/porch/prediction"
    assert porch["event"]["stat_t"] == f"{BASE}/porch/event"
    assert hall["action"]["ops"] == ["bright", "unknown"]
    assert "exp_aft" not in hall["action"]


def test_a_prediction_is_published_when_its_label_changes_and_else_twice_a_minute(broker, listen, sink_of):
    listener = listen(broker)
    now_s = [100.0]
    sink = sink_of(clock=lambda: now_s[0])
    wait_until(lambda: sink.connected)

    def seen():
        return [json.loads(payload)["seq"] for payload in listener.of("prediction")]

    for number in range(200):
        now_s[0] = 100 + number
        label = "bright" if 55 <= number < 60 else "dark"
        sink.write(msgspec.structs.replace(prediction(number), label=label))
        # One at a time, because only the newest waits.
        if number in (0, 30, 55, 60, 90, 120, 150, 180):
            listener.wait(lambda number=number: number in seen())
    sink.close()
    # At the end the newest one is left at the broker.
    listener.wait(lambda: 199 in seen())
    assert seen() == [0, 30, 55, 60, 90, 120, 150, 180, 199]


def test_the_newest_prediction_is_published_after_an_outage(make_broker, listen):
    broker = make_broker().start()
    sink = MqttSink(mqtt_options(broker), streams=[HALL])
    sink.write(prediction(0))
    wait_until(lambda: sink.connected)
    broker.stop()
    wait_until(lambda: not sink.connected)
    sink.write(prediction(1))
    broker.start()
    listener = listen(broker)
    listener.wait(lambda: listener.of("prediction"))
    assert json.loads(listener.of("prediction")[0])["seq"] == 1
    sink.close()


def test_the_open_event_and_its_picture_stay_at_the_broker(broker, listen, sink_of):
    asked = []

    def picture_of(event):
        asked.append(event.phase)
        return b"JPEG of " + event.phase.encode()

    sink = sink_of(streams=[dataclasses.replace(HALL, picture_of=picture_of)])
    listener = listen(broker)
    listener.wait(lambda: listener.of("active"))
    assert json.loads(listener.of("active")[0])["active"] is None
    sink.write(of_phase("start"))
    listener.wait(lambda: len(listener.of("active")) == 2 and listener.of("event_picture"))
    assert json.loads(listener.of("active")[1]) == {"active": "bright", "id": "e", "since": event(0).time}
    sink.write(of_phase("update"))
    sink.write(of_phase("end", clip="hall/a.mp4"))
    sink.write(of_phase("uploaded", clip="hall/a.mp4"))
    listener.wait(lambda: len(listener.of("event")) == 4)
    late = listen(broker)
    late.wait(lambda: late.of("active") and late.of("event_picture"))
    assert json.loads(late.of("active")[0])["active"] is None
    assert late.of("event_picture") == ["JPEG of end"]
    assert asked == ["start", "end"]


def test_without_a_recording_the_picture_is_that_of_the_start(broker, listen, sink_of):
    listener = listen(broker)
    sink = sink_of(streams=[dataclasses.replace(HALL, picture_of=lambda event: event.phase.encode())])
    sink.write(of_phase("start"))
    sink.write(of_phase("end"))
    sink.close()
    listener.wait(lambda: listener.of("availability") == ["online", "offline"])
    assert listener.of("event_picture") == ["start"]


def of_phase(phase, **more):
    return msgspec.structs.replace(event(0), id="e", phase=phase, label="bright", **more)


def test_every_prediction_is_published_when_asked_to(broker, listen, sink_of):
    listener = listen(broker)
    sink = sink_of(predictions=True)
    wait_until(lambda: sink.connected)
    for number in range(5):
        sink.write(prediction(number))
        listener.wait(lambda number=number: len(listener.of("predictions")) == number + 1)
    assert [json.loads(payload)["seq"] for payload in listener.of("predictions")] == list(range(5))


def test_commands_are_obeyed_and_shown(broker, listen, sink_of):
    listener = listen(broker)
    obeyed = []
    sink_of(commands=True, settings={"enabled": True, "threshold": 0.5}, on_command=obeyed.append)
    listener.wait(lambda: listener.of("settings"))
    listener.publish(f"{BASE}/set/enabled", "OFF")
    listener.publish(f"{BASE}/set/threshold", "0.75")
    listener.publish(f"{BASE}/snapshot", "PRESS")
    wait_until(lambda: len(obeyed) == 3)
    assert obeyed == [SetEnabled(False), SetThreshold(0.75), TakeSnapshot()]
    listener.wait(lambda: json.loads(listener.of("settings")[-1]) == {"enabled": False, "threshold": 0.75})


def test_commands_are_off_unless_asked_for(broker, listen, sink_of):
    listener = listen(broker)
    obeyed = []
    sink = sink_of(on_command=obeyed.append)
    wait_until(lambda: sink.connected)
    listener.publish(f"{BASE}/set/enabled", "OFF")
    # What the sink publishes afterwards comes after any answer to the command.
    sink.write(prediction(1))
    listener.wait(lambda: listener.of("prediction"))
    assert obeyed == []
    assert listener.of("settings") == []


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_commands_that_make_no_sense_do_nothing(broker, listen, sink_of, caplog, protocol):
    listener = listen(broker)
    obeyed = []
    sink = sink_of(commands=True, protocol=protocol, on_command=obeyed.append)
    wait_until(lambda: sink.connected)
    for payload in ("", "nan", "1e-3", "2", "-1", "0.5\n0.6", "\0", b"\xff\xfe", "9" * 100_000, "{}", "½"):
        listener.publish(f"{BASE}/set/threshold", payload)
    listener.publish(f"{BASE}/set/enabled", "maybe")
    listener.publish(f"{BASE}/snapshot", "now!")
    listener.publish(f"{BASE}/set/enabled", "ON")
    wait_until(lambda: SetEnabled(True) in obeyed)
    assert obeyed == [SetEnabled(True)]
    assert caplog.text.count("; ignored (") == 1
    assert sink.connected
    assert sink.reconnects == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_commands_arrive_after_many_that_are_too_large(broker, listen, sink_of, protocol):
    listener = listen(broker)
    obeyed = []
    sink = sink_of(commands=True, protocol=protocol, on_command=obeyed.append)
    wait_until(lambda: sink.connected)
    for _ in range(50):
        listener.publish(f"{BASE}/set/threshold", "9" * 100_000)
    listener.publish(f"{BASE}/set/enabled", "ON")
    wait_until(lambda: obeyed == [SetEnabled(True)])
    assert sink.reconnects == 0
    # One that would fill the memory ends the connection, and is not sent again.
    listener.publish(f"{BASE}/set/threshold", "9" * 20_000_000)
    wait_until(lambda: sink.reconnects == 1, 30)
    listener.publish(f"{BASE}/set/enabled", "OFF")
    wait_until(lambda: obeyed == [SetEnabled(True), SetEnabled(False)])
    assert sink.reconnects == 1


def test_a_retained_command_is_too_old_to_be_obeyed(broker, listen, sink_of):
    listener = listen(broker)
    listener.publish(f"{BASE}/set/enabled", "OFF", retain=True)
    obeyed = []
    sink = sink_of(commands=True, on_command=obeyed.append)
    wait_until(lambda: sink.connected)
    listener.publish(f"{BASE}/set/threshold", "0.5")
    wait_until(lambda: obeyed)
    assert obeyed == [SetThreshold(0.5)]


def test_a_command_that_fails_is_said_and_changes_nothing(broker, listen, sink_of, caplog):
    listener = listen(broker)

    def on_command(command):
        raise SinkError("snapshots need --record") if command == TakeSnapshot() else RuntimeError("a mistake")

    sink = sink_of(commands=True, settings={"threshold": 0.5}, on_command=on_command)
    wait_until(lambda: sink.connected)
    listener.publish(f"{BASE}/snapshot", "")
    listener.publish(f"{BASE}/set/threshold", "0.7")
    wait_until(lambda: "a mistake" in caplog.text)
    assert "snapshots need --record" in caplog.text
    assert json.loads(listener.of("settings")[-1]) == {"threshold": 0.5}
    assert sink.connected


def test_a_client_certificate_can_stand_for_a_user(make_broker, certificates):
    broker = make_broker(
        f"cafile {certificates.authority}", "require_certificate true", certificates=certificates
    ).start()
    files = {"cert_file": str(certificates.client), "key_file": str(certificates.client_key)}
    sink = MqttSink(mqtt_options(broker, **files))
    wait_until(lambda: sink.connected)
    sink.close()


def test_a_broker_of_an_unknown_authority_is_not_believed(make_broker, certificates, caplog):
    broker = make_broker(certificates=certificates).start()
    chosen = mqtt_options(broker)
    sink = MqttSink(type(chosen)(url=chosen.url, password=chosen.password))
    wait_until(lambda: "its certificate is not accepted: unable to get local issuer certificate" in caplog.text)
    assert not sink.connected
    sink.close()
