"""The first and last moment of a command: signals before the slow imports, and an exit that unloads nothing in use."""

import signal
import subprocess
import sys

import pytest
from support.clock import Clock

from edgehar.cli.signals import SAME_REQUEST_S, Signals


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)


def test_a_second_signal_within_a_second_belongs_to_the_first():
    stopped, clock = [], Clock(0.0)
    with Signals(clock) as signals:
        signals.attach(lambda: stopped.append(clock.now_s), lambda: None)
        for clock.now_s in (0.0, 0.2, SAME_REQUEST_S):
            signal.raise_signal(signal.SIGTERM)
    assert stopped == [0.0]
    assert not signals.interrupted


def test_a_later_signal_ends_the_process():
    code = (
        "import signal\nfrom edgehar.cli.signals import Signals\nnow = [0.0]\nsignals = Signals(lambda: now[0])\n"
        "signals.install()\nsignals.attach(lambda: None, lambda: None)\nsignal.raise_signal(signal.SIGTERM)\n"
        "now[0] = 1.5\nsignal.raise_signal(signal.SIGTERM)\nprint('alive')"
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")


def test_signals_before_the_run_has_started():
    with Signals() as signals:
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGTERM)
        assert ended.value.code == 0
        # A hangup is made up for once there is something to reload.
        reloads = []
        signals.attach(lambda: None, lambda: reloads.append(1))
        assert reloads == [1]
        signal.raise_signal(signal.SIGHUP)
        assert reloads == [1, 1]


def test_handlers_are_restored_and_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("hangs", "unloaded"), [(True, ""), (False, "unloaded\n")])
def test_nothing_is_unloaded_while_a_thread_hangs(hangs, unloaded):
    thread = "threading.Thread(target=threading.Event().wait, daemon=True).start()\n" if hangs else ""
    code = (
        "import atexit, threading\nfrom edgehar.cli.entry import leave\natexit.register(print, 'unloaded')\n"
        f"{thread}print('last words')\nleave(3)"
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (3, f"last words\n{unloaded}")


def test_signals_are_handled_before_anything_slow_is_imported():
    code = (
        "import sys\nfrom edgehar.cli import entry\n"
        "print([name for name in ('argparse', 'logging', 'numpy', 'msgspec') if name in sys.modules])"
    )
    assert python(code).stdout == "[]\n"
