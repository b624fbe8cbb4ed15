"""What the monitor counts, and what the machine says."""

import os
import threading
import time

import pytest
from support.answers import answer
from support.clock import Clock

from edgehar.health.machine import Machine, temperature_c, throttled_bits
from edgehar.health.monitor import Monitor, StreamHealth


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


# ---- streams


def test_a_stream_alone_counts_and_makes_its_status():
    clock = Clock()
    health = StreamHealth("hall", count_dropped=lambda: 10, count_damaged=lambda: 4, clock=clock)
    assert health.status().frame_age_ms_p50 is None
    health.state = "running"
    for _ in range(101):
        health.frame()
        clock.now_s += 0.04
    for age_ms in range(1, 101):
        health.prediction(answer(age_ms=age_ms))
    health.reconnect()
    health.inference_error()
    status = health.status()
    assert (status.source, status.state, status.frames, status.predictions) == ("hall", "running", 101, 100)
    assert (status.dropped, status.damaged, status.reconnects, status.inference_errors) == (10, 4, 1, 1)
    assert (status.frame_age_ms_p50, status.frame_age_ms_p95) == (50, 95)
    assert status.fps == pytest.approx(100 / (101 * 0.04), abs=0.01)
    assert (status.rss_mb, status.temperature_c, status.queue_depth) == (None, None, 0)


def test_frame_ages_are_those_of_the_last_answers_and_memory_is_bounded():
    health = StreamHealth("hall")
    for _ in range(1000):
        health.prediction(answer(age_ms=1000))
    for _ in range(512):
        health.prediction(answer(age_ms=1))
    assert health.frame_age_ms(1.0) == 1


def test_a_monitor_joins_streams_queues_and_machine(tmp_path):
    root = write(tmp_path, {"proc/self/statm": "1000 250 30\n", "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
                            "sys/class/thermal/thermal_zone0/temp": "61234\n"})  # fmt: skip
    monitor = Monitor(Machine(root))
    assert monitor.line() == "starting"
    monitor.add_gauge("queue_depth", lambda: 3)
    monitor.add_gauge("queue_dropped", lambda: 9)
    monitor.add_gauge("spool_depth", lambda: 40, "mqtt")
    monitor.add_gauge("spool_depth", lambda: 2, "webhook")
    monitor.add_gauge("spool_dropped", lambda: 1 / 0, "mqtt")
    monitor.add_stream("hall").frame()
    status = monitor.status("hall")
    assert status.queue_dropped == 9
    assert (status.queue_depth, status.spool_depth, status.spool_dropped) == (3, 42, 0)
    assert status.rss_mb == round(250 * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    assert (status.temperature_c, status.throttled, status.under_voltage) == (61.2, None, None)
    assert monitor.line() == "hall: opening, 0.0 frames/s, 0 answers; 42 events wait to be delivered"
    monitor.remove_gauges("mqtt")
    assert monitor.status("hall").spool_depth == 2


def test_a_queue_whose_disk_is_stalled_delays_no_status(tmp_path):
    stalled, asked = threading.Event(), threading.Event()

    def depth():
        if threading.current_thread() is not threading.main_thread():
            asked.set()
            stalled.wait()
        return 7

    monitor = Monitor(Machine(tmp_path))
    monitor.add_gauge("spool_depth", depth, "mqtt")
    hall = monitor.add_stream("hall")
    monitor.start()
    assert asked.wait(30)
    # The thread that measures is stuck now; everyone else reads the values it measured last.
    assert hall.status().spool_depth == 7
    assert "7 events wait" in monitor.line()
    monitor.close()
    stalled.set()


# ---- the machine


def test_this_machine_is_read():
    clock = Clock()
    machine = Machine(clock=clock)
    assert 5 < machine.read().rss_mb < 20_000
    assert machine.read().cpu_share is None
    started_s = time.process_time()
    while time.process_time() - started_s < 0.05:
        pass
    clock.now_s += 0.5
    assert machine.read().cpu_share is None
    clock.now_s += 0.5
    assert 0.04 < machine.read().cpu_share < 5


@pytest.mark.parametrize(
    ("bits", "throttled", "under_voltage"),
    [("0", False, False), ("50005", True, True), ("50000", False, False), ("8", True, False), ("2", True, False)],
)
def test_a_raspberry_pi_says_why_it_is_slow(tmp_path, bits, throttled, under_voltage):
    root = write(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": f"{bits}\n"})
    readings = Machine(root).read()
    assert (readings.throttled, readings.under_voltage) == (throttled, under_voltage)


def test_a_kernel_without_it_may_have_the_sensor_of_the_supply(tmp_path):
    root = write(
        tmp_path,
        {
            "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
            "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
            "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
        },
    )
    readings = Machine(root).read()
    assert (readings.throttled, readings.under_voltage) == (None, True)


def test_vcgencmd_is_asked_where_the_kernel_does_not_say(tmp_path, monkeypatch):
    command = tmp_path / "vcgencmd"
    monkeypatch.setenv("PATH", str(tmp_path))
    for script, bits in [
        ('echo "throttled=0x50005"', 0x50005),
        ("echo VCHI initialization failed; exit 1", None),
        # The end of a command that hangs is not waited for.
        (f"echo asked >> {tmp_path}/asked; /bin/sleep 3600", None),
    ]:
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        assert throttled_bits() == bits
    clock = Clock()
    machine = Machine(clock=clock)
    for _ in range(5):
        assert machine.read().throttled is None
        clock.now_s += 2
    # Once above, and by the machine once only.
    assert (tmp_path / "asked").read_text().split() == ["asked"] * 2


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ({"cpu-thermal": "48312"}, 48.312),
        ({"acpitz": "27800", "x86_pkg_temp": "51000"}, 51.0),
        ({"bigcore0-thermal": "70000", "soc-thermal": "65000", "battery": "90000"}, 70.0),
        ({"acpitz": "27800"}, None),
        ({"cpu-thermal": "nonsense"}, None),
        ({"cpu-thermal": "-274000"}, None),
        ({}, None),
    ],
)
def test_the_hottest_processor_sensor_counts(tmp_path, zones, expected):
    for number, (kind, value) in enumerate(zones.items()):
        folder = f"sys/class/thermal/thermal_zone{number}"
        write(tmp_path, {f"{folder}/type": f"{kind}\n", f"{folder}/temp": f"{value}\n"})
    assert temperature_c(tmp_path) == expected
