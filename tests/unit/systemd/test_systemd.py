"""What systemd hears, at a real datagram socket."""

import logging
import os
import subprocess
import sys
import time
import uuid

import pytest
from support.clock import Clock
from support.service_manager import ServiceManager

from edgehar.systemd.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@edgehar-test-{uuid.uuid4()}"
    systemd = ServiceManager(address)
    yield systemd
    systemd.close()


def watched(systemd, clock, usec=8_000_000):
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": str(usec), "WATCHDOG_PID": str(os.getpid())}
    return Notifier(environ, clock)


def test_the_life_of_a_service(systemd):
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address})
    assert notifier.active
    notifier.ready("hall: running")
    notifier.status("hall: running")
    notifier.status("hall: reconnecting\nREADY=0")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.ready()
    notifier.stopping("writing what is left")
    notifier.stopping()
    heard = systemd.heard()
    assert heard[:2] == ["READY=1\nSTATUS=hall: running", "STATUS=hall: reconnecting READY=0"]
    reloading, microseconds = heard[2].split("\n")
    assert reloading == "RELOADING=1"
    assert before <= int(microseconds.removeprefix("MONOTONIC_USEC=")) <= after
    assert heard[3:] == ["READY=1", "STOPPING=1\nSTATUS=writing what is left"]


def test_the_watchdog_is_fed_by_frames_with_answers_only(systemd):
    clock = Clock()
    notifier = watched(systemd, clock)
    assert notifier.watchdog_s == 8
    for frames, predictions, fed in [
        (0, 0, False),
        (5, 0, False),  # frames without an answer: the network hangs
        (20, 1, True),
        (20, 1, False),
        (20, 2, False),  # an answer without a frame
        (25, 2, True),
        (26, 2, False),
        (27, 3, True),
    ]:
        clock.now_s += 2
        notifier.progress(frames, predictions)
        assert systemd.heard() == ["WATCHDOG=1"] * fed, (frames, predictions)


def test_progress_told_between_two_feeds_counts(systemd):
    clock = Clock()
    notifier = watched(systemd, clock)
    for step in range(1, 81):
        clock.now_s += 0.1
        notifier.progress(step, step // 5)
    # Four times in the eight seconds of its span, not at every call.
    assert systemd.heard() == ["WATCHDOG=1"] * 4


def test_frames_are_enough_while_no_answers_are_wanted(systemd):
    clock = Clock()
    notifier = watched(systemd, clock)
    notifier.progress(1, 0, answers_expected=False)
    clock.now_s += 2
    notifier.progress(1, 0, answers_expected=False)
    assert systemd.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    "changes", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "-5"}]
)
def test_a_watchdog_of_another_or_of_nobody_is_not_fed(systemd, changes):
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "8000000", **changes})
    notifier.progress(10, 10)
    assert (notifier.watchdog_s, systemd.heard()) == (None, [])


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_systemd_nothing_happens(environ):
    notifier = Notifier({**environ, "WATCHDOG_USEC": "8000000"})
    notifier.ready("x")
    notifier.progress(1, 1)
    notifier.stopping()
    assert not notifier.active
    assert notifier.watchdog_s is None


def test_a_socket_that_is_gone_is_spoken_of_once_and_used_when_it_is_back(tmp_path, caplog):
    address = str(tmp_path / "notify")
    notifier = Notifier({"NOTIFY_SOCKET": address})
    with caplog.at_level(logging.WARNING):
        notifier.ready("a")
        notifier.status("b")
    assert [record.message for record in caplog.records] == ["cannot report to systemd: No such file or directory"]
    systemd = ServiceManager(address)
    notifier.status("c")
    assert systemd.heard() == ["STATUS=c"]
    systemd.close()


def test_a_systemd_that_does_not_read_is_given_up_on(tmp_path, caplog):
    """A send that waits ends with its timeout, and says so once."""
    systemd = ServiceManager(str(tmp_path / "notify"))
    notifier = Notifier({"NOTIFY_SOCKET": systemd.address}, send_timeout_s=0.01)
    for number in range(20_000):
        notifier.status(f"status {number} " + "x" * 500)
        if caplog.messages:
            break
    assert caplog.messages == ["cannot report to systemd: timed out"]
    systemd.close()


def test_it_needs_no_numpy():
    code = "import sys, edgehar.systemd.notify; sys.exit('numpy' in sys.modules or 'msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
