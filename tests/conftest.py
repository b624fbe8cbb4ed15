"""Fixtures for all tests."""

import os
import shutil
import socket
import subprocess
import time

import pytest

# Tests import what is installed, and so must the Pythons that they start: not what lies in the folder they run in.
os.environ["PYTHONSAFEPATH"] = "1"

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """Path of a bundle that tells bright from dark frames: 10 Hz, window 4, hop 2."""
    from tiny_bundle import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.edgehar")


class Broker:
    """A real mosquitto on a free loopback port, with a password file; it can be stopped and started again."""

    USER, PASSWORD = "edge", "s3cret/#@"

    def __init__(self, folder, extra=()):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        passwords, self._config = folder / "passwords", folder / "mosquitto.conf"
        passwords.touch(mode=0o600)
        tool = shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin:/opt/homebrew/bin")
        subprocess.run([tool, "-b", passwords, self.USER, self.PASSWORD], check=True, capture_output=True)
        settings = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {passwords}",
            "user root",
            "log_dest stderr",
            *extra,
        ]
        self._config.write_text("\n".join(settings) + "\n")
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self._process.poll() is None, f"mosquitto ended: see {self._config}"
                assert time.monotonic() < deadline_s, "mosquitto does not listen"
                time.sleep(0.02)

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def make_broker(tmp_path):
    """Makes brokers that are not started yet; they are stopped at the end of the test."""
    if MOSQUITTO is None:
        pytest.skip("needs the mosquitto broker: apt-get install mosquitto")
    brokers = []

    def make(*extra):
        brokers.append(Broker(tmp_path, extra))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(make_broker):
    """A running broker."""
    return make_broker().start()
