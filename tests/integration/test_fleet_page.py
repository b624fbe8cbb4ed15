"""`edgehar fleet page`: what devices publish, in a browser."""

import contextlib
import signal

import msgspec
import paho.mqtt.publish as publish
import pytest
from support.chromium import PHONE, chromium, window
from support.helpers import assert_one_line_error, environment, run_command, start_command, wait_until
from support.web_site import Browser, free_port, password_hash

from edgehar.records import Status, StreamState, utc_now
from edgehar.sinks.mqtt.device import Device, ModelInUse

pytestmark = pytest.mark.broker


def send(broker, topic, payload):
    login = {"username": broker.USER, "password": broker.PASSWORD}
    publish.single(topic, payload, qos=1, retain=True, hostname="127.0.0.1", port=broker.port, auth=login)


def send_device(broker, name, online=True, **status):
    record = Device(utc_now(), "0.1.0", utc_now(), [ModelInUse("tiny", "ab" * 32)], 6, 43_200.0)
    counts = {"frames": 1, "predictions": 1, "dropped": 0, "fps": 12.5}
    full = Status(time=utc_now(), source="camera:0", state=StreamState.RUNNING, **counts, **status)
    send(broker, f"edgehar/{name}/device", msgspec.json.encode(record))
    send(broker, f"edgehar/{name}/status", msgspec.json.encode(full))
    send(broker, f"edgehar/{name}/availability", "online" if online else "offline")


@contextlib.contextmanager
def page(broker, *arguments):
    """A page that runs until the end of the block; gives its visitor."""
    port = free_port()
    command = ["edgehar", "fleet", "page", "--listen", port, *arguments]
    url = f"mqtt://{broker.USER}@127.0.0.1:{broker.port}/edgehar"
    env = environment(EDGEHAR_MQTT_PASSWORD=broker.PASSWORD, EDGEHAR_FLEET_URL=url)
    with start_command(*command, env=env) as process:
        try:
            assert "web: " in process.stderr.readline()
            yield Browser(port)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    assert process.returncode == 130


def devices(visitor):
    return {device["name"]: device for device in visitor.json("/api/v1/fleet")["devices"]}


def test_devices_are_shown_and_the_broker_may_go(broker):
    send_device(broker, "hall", throttled=True, temperature_c=81.0)
    send_device(broker, "yard", online=False)
    with page(broker) as visitor, chromium() as browser:
        wait_until(lambda: len(devices(visitor)) == 2 and devices(visitor)["hall"]["online"])
        assert devices(visitor)["hall"] == {
            "name": "hall",
            "online": True,
            "problems": ["throttled"],
            "fps": 12.5,
            "temperature_c": 81.0,
            "alarms_per_day": 12.0,
            "edgehar": "0.1.0",
            "models": "tiny@abababab",
        }
        with window(browser, visitor.port, viewport=PHONE) as opened:
            opened.open()
            opened.until("document.querySelectorAll('#devices tr').length === 2")
            assert "throttled" in opened.page.inner_text("#devices")
            assert opened.page.inner_text("#summary") == "2 devices: 1 online, 2 need attention"
            assert (opened.overflow(), opened.violations()) == (0, [])
            opened.page.select_option("select[name=state]", "offline")
            assert opened.page.inner_text("#devices th") == "yard"
        broker.stop()
        wait_until(lambda: not visitor.json("/api/v1/fleet")["connected"])
        assert devices(visitor)["hall"]["online"]


def test_the_page_has_the_rules_of_the_other_pages(broker, tmp_path):
    file = tmp_path / "password"
    file.write_text(password_hash().reveal())
    with page(broker, "--web-password-file", file) as visitor:
        status, headers, _ = visitor.ask("GET", "/")
        assert (status, headers["Location"]) == (303, "./login?next=")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert visitor.get("/api/v1/fleet")[0] == 401
        assert visitor.log_in() == 200
        assert visitor.json("/api/v1/fleet") == {"connected": True, "devices": []}
        assert visitor.get("/settings")[0] == 404
        paths = visitor.json("/api/v1/openapi.json")["paths"]
        assert {path: sorted(methods) for path, methods in paths.items()} == {
            "/fleet": ["get"],
            "/session": ["delete", "get", "post"],
        }


def test_other_machines_need_a_password(broker):
    url = f"mqtt://{broker.USER}@127.0.0.1:{broker.port}/edgehar"
    done = run_command("edgehar", "fleet", "page", "--mqtt", url, "--listen", "0.0.0.0:8089")
    assert_one_line_error(done, 2, "--listen 0.0.0.0:8089", "needs a password")
