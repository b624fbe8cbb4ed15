"""Fixtures for all tests."""

import os
import shutil
import signal

import pytest
from hypothesis import HealthCheck, settings
from support.brokers import MOSQUITTO, Broker, Certificates, Listener

# Tests import what is installed, and so must the Pythons that they start: not what lies in the folder they run in.
os.environ["PYTHONSAFEPATH"] = "1"

# What a shell starts in the background ignores Ctrl-C, and so would every command that a test starts to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The same examples in every run, and no bound on their time: a busy machine must not fail a test.
# `pytest --hypothesis-profile=search` tries many others.
_ON_ANY_MACHINE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("edgehar", derandomize=True, **_ON_ANY_MACHINE)
settings.register_profile("search", max_examples=2000, **_ON_ANY_MACHINE)
settings.load_profile("edgehar")


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path_factory, monkeypatch):
    """What a command leaves for its next run is nobody else's, and goes with the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(autouse=True)
def _same_scheduling():
    """A test leaves the thread's scheduling as it was: a real-time process and its children starve all others."""
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """Path of a bundle that tells bright from dark frames: 10 Hz, window 4, hop 2."""
    from support.tiny_bundle import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.edgehar")


@pytest.fixture
def make_broker(tmp_path):
    """Makes brokers that are not started yet; they are stopped at the end of the test."""
    if MOSQUITTO is None:
        pytest.skip("needs the mosquitto broker: apt-get install mosquitto")
    brokers = []

    def make(*extra, certificates=None):
        brokers.append(Broker(tmp_path, extra, certificates))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(make_broker):
    """A running broker."""
    return make_broker().start()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """An authority, and what it has signed: a server on localhost, and a client."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command: apt-get install openssl")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def listen():
    """Makes listeners; they are closed at the end of the test."""
    listeners = []

    def listen(broker, *arguments, **options):
        listeners.append(Listener(broker, *arguments, **options))
        return listeners[-1]

    yield listen
    for listener in listeners:
        listener.close()
