"""What Prometheus reads, parsed strictly and fetched over real HTTP."""

import http.client
import logging
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from support.answers import answer
from support.paths import ROOT

import edgehar
from edgehar.errors import SinkError
from edgehar.health.metrics_server import MOST_CONNECTIONS, MetricsServer
from edgehar.health.monitor import INFERENCE_BOUNDS_S, Monitor
from edgehar.health.options import HealthOptions
from edgehar.health.prometheus import exposition
from edgehar.sources.base import Decoding

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
_SUFFIXES = {
    "counter": ("",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}


def parse(text):
    """A strict reader of the text format 0.0.4: {family: (type, {(name, frozenset of labels): value})}."""
    assert text.endswith("\n")
    assert "\r" not in text
    families, current = {}, None
    helped = None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert line.split(" ", 3)[3]
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            assert current == helped, "TYPE follows its HELP"
            assert current not in families, "one family, one place"
            assert _NAME.fullmatch(current)
            families[current] = (kind, {})
        else:
            name, labels, value = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? (\S+)", line).groups()
            kind, samples = families[current]
            assert name in [current + suffix for suffix in _SUFFIXES[kind]]
            pairs = _LABEL.findall(labels or "")
            assert ",".join(f'{key}="{text}"' for key, text in pairs) == (labels or "")
            assert len(dict(pairs)) == len(pairs)
            key = (name, frozenset(pairs))
            assert key not in samples
            samples[key] = float(value)
    assert all(samples for _, samples in families.values())
    return families


def busy_monitor():
    monitor = Monitor()
    hall = monitor.add_stream("hall", lambda: 4, lambda: 3)
    hall.state = "running"
    hall.decoding = Decoding("key", None, 1.0)
    for _ in range(10):
        hall.frame()
    for encode_ms in (0.1, 1.0, 1.0, 4000.0):
        hall.prediction(answer(age_ms=20, encode_ms=encode_ms))
    hall.prediction(answer("noFight", age_ms=80))
    monitor.add_stream('back "yard"\\\n')
    monitor.add_gauge("connected", lambda: True, "mqtt")
    monitor.add_gauge("spool_depth", lambda: 7, "mqtt")
    monitor.add_gauge("queue_depth", lambda: 2)
    monitor.add_gauge("queue_dropped", lambda: 5)
    return monitor


def value(families, family, name=None, **labels):
    return families[family][1][name or family, frozenset(labels.items())]


def test_the_exposition_has_the_names_and_units_prometheus_expects():
    families = parse(exposition(busy_monitor()))
    assert value(families, "edgehar_frames_captured_total", camera="hall") == 14
    assert value(families, "edgehar_frames_dropped_total", camera="hall", reason="late") == 1
    assert value(families, "edgehar_frames_dropped_total", camera="hall", reason="damaged") == 3
    assert value(families, "edgehar_decode_info", camera="hall", mode="key", hardware="") == 1
    assert value(families, "edgehar_windows_total", camera="hall", label="fight") == 4
    assert value(families, "edgehar_windows_total", camera="hall", label="noFight") == 1
    assert value(families, "edgehar_camera_up", camera="hall") == 1
    assert value(families, "edgehar_camera_up", camera='back \\"yard\\"\\\\\\n') == 0
    assert value(families, "edgehar_frame_age_seconds", camera="hall", quantile="0.5") == 0.02
    assert value(families, "edgehar_frame_age_seconds", camera="hall", quantile="0.95") == 0.08
    assert value(families, "edgehar_frame_age_seconds", "edgehar_frame_age_seconds_sum", camera="hall") == 0.16
    assert value(families, "edgehar_mqtt_connected") == 1
    assert value(families, "edgehar_mqtt_spool_messages") == 7
    assert value(families, "edgehar_queue_messages") == 2
    assert value(families, "edgehar_queue_dropped_total") == 5
    assert value(families, "edgehar_build_info", version=edgehar.__version__, model="m") == 1
    assert 5e6 < value(families, "process_resident_memory_bytes") < 2e10
    for family, (kind, _) in families.items():
        assert family.endswith("_total") == (kind == "counter"), family


def test_the_histogram_adds_up():
    families = parse(exposition(busy_monitor()))
    name = "edgehar_inference_duration_seconds"
    buckets = [value(families, name, f"{name}_bucket", camera="hall", le=str(bound)) for bound in INFERENCE_BOUNDS_S]
    # 0.6 ms, three of 1.5 ms, and one of 4 s beyond every bound.
    assert buckets == [0, 1, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    assert value(families, name, f"{name}_bucket", camera="hall", le="+Inf") == 5
    assert value(families, name, f"{name}_count", camera="hall") == 5
    assert value(families, name, f"{name}_sum", camera="hall") == pytest.approx(4.0056)


def test_every_metric_is_explained():
    page = (ROOT / "docs" / "service.md").read_text()
    assert [family for family in parse(exposition(busy_monitor())) if f"`{family}`" not in page] == []


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        return listener.getsockname()[1]


@pytest.fixture
def server():
    server = MetricsServer(busy_monitor(), HealthOptions(prometheus_port=free_port()))
    yield server
    server.close()


def get(server, path="/metrics", method="GET"):
    port = port_of(server)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_it_is_scraped_over_http(server):
    answer, text = get(server)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert "edgehar_windows_total" in parse(text)
    answer, text = get(server, method="HEAD")
    assert (answer.status, text) == (200, "")
    assert int(answer.getheader("Content-Length")) > 1000


def test_there_is_nothing_else_to_be_had(server):
    for path in ("/", "/metrics/", "/../etc/passwd", "/metricsx"):
        answer, text = get(server, path)
        assert (answer.status, text) == (404, "404 only /metrics is served\n")
    answer, _ = get(server, method="POST")
    assert answer.status == 501
    assert "Python" not in answer.getheader("Server")


def port_of(server):
    return int(server.url.rsplit(":", 1)[1].split("/")[0])


def test_a_silent_client_does_not_delay_others_and_is_cut_off():
    server = MetricsServer(busy_monitor(), HealthOptions(prometheus_port=free_port()), request_s=1.0)
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as silent:
        silent.sendall(b"GET /metr")
        assert get(server)[0].status == 200
        # The end of the connection, after the deadline.
        assert silent.recv(1) == b""
    server.close()


def test_many_silent_clients_do_not_lock_prometheus_out():
    server = MetricsServer(busy_monitor(), HealthOptions(prometheus_port=free_port()), request_s=3600)
    silent = [socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) for _ in range(MOST_CONNECTIONS)]
    assert get(server)[0].status == 200
    # Room was made by ending the oldest.
    assert silent[0].recv(1) == b""
    for connection in silent:
        connection.close()
    server.close()


def held():
    return threading.active_count() + len(list(Path("/proc/self/fd").iterdir()))


def test_many_scrapes_leave_no_thread_and_no_descriptor(server):
    get(server)
    before = held()
    for _ in range(200):
        get(server)
    # The last one's end is after its answer.
    deadline_s = time.monotonic() + 60
    while held() > before and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert held() <= before


def test_a_port_that_is_taken_is_an_error_that_says_so(server):
    port = port_of(server)
    with pytest.raises(SinkError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use; set another"):
        MetricsServer(Monitor(), HealthOptions(prometheus_port=port))
    with pytest.raises(SinkError, match=r"cannot listen on no\.such\.host\.invalid:9000"):
        MetricsServer(Monitor(), HealthOptions(prometheus_port=9000, prometheus_address="no.such.host.invalid"))


@pytest.mark.parametrize(("address", "told"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_listening_to_other_machines_is_said(caplog, address, told):
    with caplog.at_level(logging.INFO):
        MetricsServer(Monitor(), HealthOptions(prometheus_port=free_port(), prometheus_address=address)).close()
    assert ("open to every machine" in caplog.text) == told
