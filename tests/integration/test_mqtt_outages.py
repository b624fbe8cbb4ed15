"""No event is lost, whatever happens to the broker or to us, and the order is kept."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import msgspec
import pytest
from support.brokers import BASE, event, mqtt_options, prediction
from support.helpers import wait_until

from edgehar.sinks.mqtt.connection import WINDOW
from edgehar.sinks.mqtt.discovery import PublishedStream
from edgehar.sinks.mqtt.options import MqttOptions, MqttTiming
from edgehar.sinks.mqtt.sink import MqttSink
from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.spool.queue import Spool

pytestmark = pytest.mark.broker


def open_spool(tmp_path):
    return Spool.open("mqtt", SpoolOptions(directory=str(tmp_path / "state")))


@pytest.fixture
def make_sink(tmp_path):
    sinks = []

    def make_sink(broker, **more):
        sinks.append(MqttSink(mqtt_options(broker, **more), spool=open_spool(tmp_path)))
        return sinks[-1]

    yield make_sink
    for sink in sinks:
        sink.close()


def numbers(listener):
    """The numbers of the events that came, and how often each record did."""
    return [int(json.loads(payload)["id"]) for payload in listener.of("event")]


def assert_all_in_order(listener, count):
    """Each of `count` events came, in order; what came again was the same record."""
    listener.wait(lambda: len(set(numbers(listener))) >= count, 30)
    came = numbers(listener)
    assert list(dict.fromkeys(came)) == list(range(count))
    assert len(set(listener.of("event"))) == count
    # Only what was unacknowledged when a connection was lost is sent again.
    assert len(came) - count <= 5 * WINDOW


def bring_back(broker, listener, connections):
    """Start the broker, and let the sink in only when the listener is there again: it would miss events otherwise."""
    broker.keep_out(broker.USER)
    broker.start()
    listener.wait_subscribed(connections)
    broker.let_in(broker.USER)
    broker.reload()


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_2000_events_while_the_broker_is_ended_killed_and_frozen(
    make_broker, certificates, listen, make_sink, protocol, caplog
):
    broker = make_broker(certificates=certificates).start()
    listener = listen(broker, [f"{BASE}/event"], qos=0, user=broker.LISTENER)
    sink = make_sink(broker, protocol=protocol, keepalive_s=1)
    faults = {
        300: lambda: broker.stop(signal.SIGTERM),
        600: lambda: bring_back(broker, listener, 2),
        900: lambda: broker.stop(signal.SIGKILL),
        1200: lambda: bring_back(broker, listener, 3),
        1500: broker.freeze,
        1800: broker.thaw,
    }
    wait_until(lambda: sink.connected)
    for number in range(2000):
        faults.get(number, lambda: None)()
        sink.write(event(number))
        # As often as a camera never has them, but not all at once.
        time.sleep(0.001)
    assert_all_in_order(listener, 2000)
    assert sink.reconnects >= 1
    wait_until(lambda: sink._spool.depth == 0)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_broker_that_is_frozen_for_long_is_left_and_found_again(make_broker, listen, make_sink, caplog):
    broker = make_broker().start()
    listener = listen(broker, [f"{BASE}/event"], qos=0, user=broker.LISTENER)
    sink = make_sink(broker, keepalive_s=1)
    wait_until(lambda: sink.connected)
    broker.freeze()
    for number in range(100):
        sink.write(event(number))
    wait_until(lambda: not sink.connected)
    broker.thaw()
    assert_all_in_order(listener, 100)
    assert "connection lost: Keep alive timeout" in caplog.text


def test_events_of_an_outage_take_no_memory(make_broker, listen, make_sink):
    broker = make_broker()
    sink = make_sink(broker)
    for number in range(500):
        sink.write(event(number))
    before_mb = resident_mb()
    for number in range(500, 10_000):
        sink.write(event(number))
    assert resident_mb() - before_mb < 3
    broker.start()
    listener = listen(broker, [f"{BASE}/event"], qos=0, user=broker.LISTENER)
    listener.wait(lambda: len(listener.messages) > 100)
    assert resident_mb() - before_mb < 6


def test_a_frozen_broker_takes_no_memory(make_broker, make_sink):
    broker = make_broker().start()
    sink = make_sink(broker, predictions=True)
    wait_until(lambda: sink.connected)
    for number in range(500):
        sink.write(prediction(number))
    broker.freeze()
    before_mb = resident_mb()
    for number in range(20_000):
        sink.write(prediction(number))
    assert resident_mb() - before_mb < 3
    broker.thaw()


def test_what_a_broker_that_lost_its_memory_held_is_published_again(make_broker, listen, make_sink):
    broker = make_broker().start()
    sink = make_sink(broker)
    sink.write(prediction(7))
    first = listen(broker)
    first.wait(lambda: first.of("prediction"))
    first.close()
    broker.stop()
    broker.start()
    second = listen(broker)
    second.wait(lambda: second.of("prediction") and second.of("availability") == ["online"])
    assert json.loads(second.of("prediction")[0])["seq"] == 7


def test_a_user_who_is_refused_for_a_while_loses_nothing(make_broker, listen, make_sink, caplog):
    broker = make_broker()
    broker.keep_out(broker.USER)
    broker.start()
    listener = listen(broker, [f"{BASE}/event"], qos=0, user=broker.LISTENER)
    sink = make_sink(broker)
    for number in range(50):
        sink.write(event(number))
    wait_until(lambda: "Not authorized; check user and password" in caplog.text)
    broker.let_in(broker.USER)
    broker.reload()
    assert_all_in_order(listener, 50)
    assert caplog.text.count("Not authorized") == 1
    assert broker.PASSWORD not in caplog.text


@pytest.fixture
def rights(tmp_path):
    """The broker's access rules, and a function that writes them."""
    path = tmp_path / "rights"

    def allow(*topics):
        allowed = "\n".join(f"topic readwrite {topic}" for topic in topics)
        path.write_text(f"user edge\n{allowed}\nuser listener\ntopic read #\n")
        return path

    return allow


QUICK = MqttTiming(retry_first_s=0.02, reconnect_first_s=0.1, reconnect_max_s=0.2)


def many_cameras(broker, tmp_path, count, timing=QUICK, **more):
    streams = [
        PublishedStream(source=f"camera:{number}", labels=("bright",), name=f"c{number}") for number in range(count)
    ]
    return MqttSink(mqtt_options(broker, **more), spool=open_spool(tmp_path), streams=streams, timing=timing)


def of_camera(number, camera):
    return msgspec.structs.replace(event(number), source=f"camera:{camera}")


def test_an_event_that_is_refused_does_not_block_the_others(make_broker, listen, rights, tmp_path, caplog):
    broker = make_broker(f"acl_file {rights(f'{BASE}/c0/#', f'{BASE}/c2/#')}").start()
    listener = listen(broker, [f"{BASE}/+/event"], qos=0, user=broker.LISTENER)
    # With 3.1.1 a broker cannot say so.
    sink = many_cameras(broker, tmp_path, 3, protocol="5")
    wait_until(lambda: sink.connected)
    for number in range(30):
        sink.write(of_camera(number, number % 3))
    wait_until(lambda: sink._spool.depth == 0)
    listener.wait(lambda: len(listener.messages) >= 20)
    came = [int(json.loads(payload)["id"]) for _, payload, _ in listener.messages]
    assert came == [number for number in range(30) if number % 3 != 1]
    assert (sink._spool.refused, sink._spool.dropped, sink.reconnects) == (10, 0, 0)
    assert caplog.text.count("refuses an event: Not authorized; sending it again later, after others") == 1
    assert "an event is set aside in the spool's refused file, 1 so far: edgehar/test/c1/event: refused" in caplog.text
    sink.close()
    lines = [json.loads(line) for line in (tmp_path / "state/mqtt.refused").read_text().splitlines()]
    assert sorted(int(line["event"]["id"]) for line in lines) == list(range(1, 30, 3))


def test_an_event_that_is_refused_for_a_moment_is_delivered(make_broker, listen, rights, tmp_path, caplog):
    broker = make_broker(f"acl_file {rights(f'{BASE}/prediction')}").start()
    listener = listen(broker, [f"{BASE}/event"], qos=0, user=broker.LISTENER)
    timing = MqttTiming(retry_first_s=3600.0)
    sink = MqttSink(mqtt_options(broker, protocol="5"), spool=open_spool(tmp_path), timing=timing)
    for number in range(5):
        sink.write(event(number))
    wait_until(lambda: "refuses an event: Not authorized; sending it again later" in caplog.text)
    rights(f"{BASE}/#")
    broker.reload()
    sink.close()
    MqttSink(mqtt_options(broker), spool=open_spool(tmp_path)).close()
    listener.wait(lambda: set(numbers(listener)) == set(range(5)))


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("limit", ["max_packet_size 3000", "message_size_limit 3000"])
def test_what_is_above_the_brokers_limit_is_left_out_and_the_rest_goes_on(
    make_broker, listen, tmp_path, caplog, protocol, limit
):
    broker = make_broker(limit).start()
    listener = listen(broker, [f"{BASE}/#", "homeassistant/#"], qos=0, user=broker.LISTENER)
    labels = tuple(f"a label of some length {number}" for number in range(200))
    streams = [
        PublishedStream(source="camera:0", labels=labels, name="wordy"),
        PublishedStream(source="camera:1", labels=("bright",), name="plain"),
    ]
    options = mqtt_options(broker, protocol=protocol, discovery=True)
    sink = MqttSink(options, spool=open_spool(tmp_path), streams=streams, timing=QUICK)
    large = msgspec.structs.replace(of_camera(2, 1), label="x" * 5000)
    for record in (of_camera(0, 1), of_camera(1, 1), large, of_camera(3, 1), of_camera(4, 1)):
        sink.write(record)
    listener.wait(lambda: any(event(4).id in payload for payload in listener.of("plain/event")), 40)
    wait_until(lambda: sink._spool.depth == 0)
    came = [json.loads(payload)["id"] for payload in listener.of("plain/event")]
    assert list(dict.fromkeys(map(int, came))) == [0, 1, 3, 4]
    device = "homeassistant/device/edgehar-test"
    listener.wait(lambda: listener.of(f"{device}/plain/config") and listener.of(f"{device}/config"))
    assert not listener.of(f"{device}/wordy/config")
    if not (protocol == "3.1.1" and "message" in limit):
        # There mosquitto acknowledges what it drops, and nobody can know.
        assert (sink._spool.refused, sink._spool.dropped) == (1, 0)
        assert caplog.text.count(f"{device}/wordy/config") == 1
    reconnects = sink.reconnects
    for number in range(5, 50):
        sink.write(of_camera(number, 1))
    wait_until(lambda: sink._spool.depth == 0)
    assert sink.reconnects == reconnects
    sink.close()


def test_one_device_too_many_with_one_identity_is_said(make_broker, tmp_path, caplog):
    broker = make_broker().start()
    timing = MqttTiming(reconnect_first_s=0.05, reconnect_max_s=0.1)
    sinks = [MqttSink(mqtt_options(broker, client_id="twin"), timing=timing) for _ in range(2)]
    wait_until(lambda: "check that no other client uses the client_id twin" in caplog.text)
    for sink in sinks:
        sink.close()


def test_events_left_at_the_end_come_with_the_next_run(make_broker, listen, tmp_path, caplog):
    caplog.set_level("INFO")
    broker = make_broker()
    sink = MqttSink(mqtt_options(broker), spool=open_spool(tmp_path))
    for number in range(30):
        sink.write(event(number))
    sink.close()
    assert "30 events wait on disk for the next run" in caplog.text
    broker.start()
    listener = listen(broker, [f"{BASE}/event"], qos=0)
    MqttSink(mqtt_options(broker), spool=open_spool(tmp_path)).close()
    assert_all_in_order(listener, 30)


KILLED = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from support.brokers import event
    from edgehar.credentials import Secret
    from edgehar.sinks.mqtt.sink import MqttSink
    from edgehar.sinks.mqtt.options import MqttOptions
    from edgehar.sinks.spool.queue import Spool
    from edgehar.sinks.spool.options import SpoolOptions

    options = MqttOptions(url={url!r}, password=Secret({password!r}), ca_file={ca!r})
    sink = MqttSink(options, spool=Spool.open("mqtt", SpoolOptions(directory={folder!r})))
    for number in range(100_000):
        sink.write(event(number))
        print(number, flush=True)
        time.sleep(0.001)
"""


def test_a_process_killed_in_an_outage_loses_nothing_it_had_accepted(
    make_broker, certificates, listen, make_sink, tmp_path, request
):
    broker = make_broker(certificates=certificates).start()
    listener = listen(broker, [f"{BASE}/event"], qos=0, user=broker.LISTENER)
    chosen = mqtt_options(broker)
    words = {"url": chosen.url, "password": broker.PASSWORD, "ca": chosen.ca_file, "folder": str(tmp_path / "state")}
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED).format(tests=str(request.path.parents[1]), **words))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        accepted = 0
        for line in process.stdout:
            accepted = int(line) + 1
            if accepted == 300:
                broker.stop()
            if accepted == 600:
                process.kill()
    assert accepted >= 600
    assert listener.messages
    bring_back(broker, listener, 2)
    make_sink(broker)
    listener.wait(lambda: len(set(numbers(listener))) >= accepted)
    came = list(dict.fromkeys(numbers(listener)))
    # The last one may be in the spool without having been said to be.
    assert came[:accepted] == list(range(accepted))
    assert len(came) <= accepted + 1


def test_the_last_word_is_offline_and_the_log_names_no_secret(make_broker, listen, make_sink, caplog):
    caplog.set_level("DEBUG")
    broker = make_broker().start()
    listener = listen(broker)
    sink = make_sink(broker)
    sink.write(event(0))
    listener.wait(lambda: listener.of("event"))
    sink.close()
    listener.wait(lambda: listener.of("availability") == ["online", "offline"])
    assert re.search(r"connected as edgehar/test", caplog.text)
    assert broker.PASSWORD not in caplog.text


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02\x00\x00" + b"\xff" * 50,  # accepted, and then nonsense
        b"\x20\x02\x00\x00\x40\x01\x00",  # an acknowledgement that is cut short
        b"\x20\xff\xff\xff\xff\xff",  # a length that never ends
    ],
    ids=["web server", "nonsense", "cut short", "endless"],
)
def test_a_server_that_is_not_a_broker_breaks_nothing(answer, caplog):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)
                        connection.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        options = MqttOptions(url=f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        sink = MqttSink(options, timing=MqttTiming(connect_timeout_s=0.5))
        sink.write(event(0))
        wait_until(lambda: "retrying, classification continues" in caplog.text)
        assert sink._spool.depth == 1
        server.shutdown(socket.SHUT_RDWR)
        sink.close()
