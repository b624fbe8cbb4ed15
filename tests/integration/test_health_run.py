"""What systemd and Prometheus see of a real run, from its start to its end."""

import os
import signal
import socket
import time
import urllib.request

import pytest
from support.helpers import environment, start_command, wait_until
from support.service_manager import ServiceManager

WIDTH, HEIGHT, RATE_HZ = 64, 48, 20
# Fed at most four times in this span.
WATCHDOG_S = 1.2


@pytest.fixture
def systemd(tmp_path):
    systemd = ServiceManager(str(tmp_path / "notify"))
    yield systemd
    systemd.close()


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(systemd, tmp_path, tiny_bundle, port, source):
    config = tmp_path / "config.toml"
    config.write_text(
        f'model = "{tiny_bundle}"\noutput = "none"\n[health]\nprometheus_port = {port}\n'
        f'[[camera]]\nname = "hall"\nsource = "{source}"\n'
    )
    env = environment(NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)), WATCHDOG_PID=None)
    return start_command("edgehar-run", "--config", config, env=env, stdin=-1)


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def push(process, seconds):
    """Give the run frames at a camera's pace."""
    for _ in range(int(seconds * RATE_HZ)):
        os.write(process.stdin.fileno(), bytes(WIDTH * HEIGHT * 3))
        time.sleep(1 / RATE_HZ)


def test_a_run_from_start_to_end(systemd, tmp_path, tiny_bundle, port):
    with run(systemd, tmp_path, tiny_bundle, port, "synthetic:walking?realtime=1&rate_hz=20&duration_s=60") as process:
        assert systemd.wait_for("READY=1")[-1].startswith("READY=1\nSTATUS=")
        systemd.wait_for("WATCHDOG=1")
        systemd.wait_for("WATCHDOG=1")
        first = scrape(port)
        assert first['edgehar_camera_up{camera="hall"}'] == "1"
        for name in ('edgehar_frames_captured_total{camera="hall"}', 'edgehar_frame_age_seconds_count{camera="hall"}'):
            assert float(first[name]) > 0, name
            wait_until(lambda name=name: float(scrape(port)[name]) > float(first[name]))

        process.send_signal(signal.SIGHUP)
        heard = systemd.wait_for("RELOADING=1") + systemd.wait_for("READY=1")
        assert any("\nMONOTONIC_USEC=" in message for message in heard)

        process.send_signal(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        assert process.wait(300) == 0
        assert "WATCHDOG=1" not in systemd.heard()


def test_a_source_that_stands_still_starves_the_watchdog(systemd, tmp_path, tiny_bundle, port):
    source = f"stdin:?width={WIDTH}&height={HEIGHT}&format=bgr24&rate_hz={RATE_HZ}"
    with run(systemd, tmp_path, tiny_bundle, port, source) as process:
        # Nothing is watched before there is a frame.
        push(process, 2)
        systemd.wait_for("READY=1")
        systemd.wait_for("WATCHDOG=1")
        wait_until(lambda: float(scrape(port)['edgehar_frames_captured_total{camera="hall"}']) == 2 * RATE_HZ)
        time.sleep(WATCHDOG_S)
        systemd.heard()
        time.sleep(2 * WATCHDOG_S)
        assert "WATCHDOG=1" not in systemd.heard()
        push(process, 2)
        systemd.wait_for("WATCHDOG=1")
        process.kill()


def test_a_program_that_hangs_starves_the_watchdog(systemd, tmp_path, tiny_bundle, port):
    with run(systemd, tmp_path, tiny_bundle, port, "synthetic:walking?realtime=1&duration_s=60") as process:
        systemd.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        systemd.heard()
        time.sleep(2 * WATCHDOG_S)
        assert systemd.heard() == []
        process.kill()


def test_a_port_that_is_taken_ends_the_start_with_one_line(systemd, tmp_path, tiny_bundle):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with run(systemd, tmp_path, tiny_bundle, port, "synthetic:walking?realtime=1") as process:
            _, said = process.communicate(timeout=300)
    lines = [line for line in said.splitlines() if line.startswith("edgehar-run:")]
    assert process.returncode == 1
    (line,) = lines
    assert f"127.0.0.1:{port}: Address already in use" in line
