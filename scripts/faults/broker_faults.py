"""Publish events while the broker and the publishing process are killed, frozen and restarted; none may be lost.

    python scripts/faults/broker_faults.py                    # 25,000 events with MQTT 3.1.1, and 25,000 with MQTT 5
    python scripts/faults/broker_faults.py --events 2000 --protocol 5

A process of its own writes numbered events into the MQTT sink. In turn, the broker is killed and restarted empty,
ended, frozen, refuses the log-in, and the writing process is killed. A subscriber must get every event whose `write`
had returned, in order. Exits with 1 if one is missing or out of order. Needs mosquitto.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.brokers import BASE, Broker, Listener, event, mqtt_options  # noqa: E402

from edgehar.sinks.mqtt.options import MqttTiming  # noqa: E402
from edgehar.sinks.mqtt.sink import MqttSink  # noqa: E402
from edgehar.sinks.spool.options import SpoolOptions  # noqa: E402
from edgehar.sinks.spool.queue import Spool  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = MqttTiming(reconnect_first_s=0.1, reconnect_max_s=0.5, steady_s=0.5, drain_timeout_s=60.0)
FAULTS = ("broker killed", "broker ended", "broker frozen", "log-in refused", "writer killed")
# Time between two faults, and of a freeze, in seconds.
CALM_S, FROZEN_S, WAIT_S = 2.0, 3.0, 120.0


class Port:
    """The facts that `mqtt_options` needs about a broker that another process has started."""

    USER, PASSWORD, certificates = Broker.USER, Broker.PASSWORD, None

    def __init__(self, port: int) -> None:
        self.port = port


def write(port: int, folder: str, protocol: str, first: int, count: int, rate: float) -> None:
    """Write numbered events, and print each number when its event is safe."""
    logging.disable(logging.CRITICAL)
    spool = Spool.open("mqtt", SpoolOptions(directory=folder))
    sink = MqttSink(mqtt_options(Port(port), protocol=protocol), spool=spool, timing=QUICK)
    began_s = time.monotonic()
    for number in range(first, count):
        sink.write(event(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        time.sleep(max(0.0, began_s + (number - first) / rate - time.monotonic()))
    sink.close()


class Writer:
    """The writing process, which goes on where it was killed."""

    def __init__(self, arguments: list[str], count: int) -> None:
        self._arguments, self._count = arguments, count
        self.written, self.kills = 0, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, __file__, *self._arguments, "--first", str(self.written)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, args=[self._process], daemon=True)
        self._thread.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            if line.endswith("\n"):
                self.written = int(line) + 1

    @property
    def done(self) -> bool:
        return self.written >= self._count

    def kill(self) -> None:
        self._process.kill()
        self._thread.join()
        self._process.wait()
        self.kills += 1
        self.start()

    def wait(self) -> int:
        return self._process.wait(WAIT_S)


class Trial:
    """One run of all faults with one version of the protocol."""

    def __init__(self, protocol: str, events: int, rate: float, folder: Path) -> None:
        self.events, self.happened = events, Counter()
        self.broker = Broker(folder).start()
        self.listener = Listener(self.broker, [f"{BASE}/event"], qos=0, user=Broker.LISTENER)
        self._connections = 1
        arguments = ["--write", str(self.broker.port), str(folder / "state"), "--protocol", protocol]
        self.writer = Writer([*arguments, "--events", str(events), "--rate", str(rate)], events)

    def run(self) -> None:
        """Let all faults happen in turn until everything is written and has arrived."""
        for fault in itertools.cycle(FAULTS):
            time.sleep(random.uniform(0.5, 1.5) * CALM_S)  # noqa: S311 - no secret
            if self.writer.done:
                break
            self.happened[fault] += 1
            self._do(fault)
        self.writer.wait()
        deadline_s = time.monotonic() + WAIT_S
        while len(set(self.came())) < self.events and time.monotonic() < deadline_s:
            time.sleep(0.5)

    def _do(self, fault: str) -> None:
        if fault in ("broker killed", "broker ended"):
            self.broker.stop(signal.SIGKILL if fault == "broker killed" else signal.SIGTERM)
            time.sleep(0.5)
            self._bring_back(self.broker.start)
        elif fault == "broker frozen":
            self.broker.freeze()
            time.sleep(FROZEN_S)
            self.broker.thaw()
        elif fault == "log-in refused":
            self.broker.stop()
            self._bring_back(self.broker.start, refused_s=1.0)
        else:
            self.writer.kill()

    def _bring_back(self, start: Callable[[], object], refused_s: float = 0.0) -> None:
        """Start the broker, and let the writer in only when the subscriber is there, which else would miss events."""
        self.broker.keep_out(Broker.USER)
        start()
        self._connections += 1
        self.listener.wait_subscribed(self._connections)
        time.sleep(refused_s)
        self.broker.let_in(Broker.USER)
        self.broker.reload()

    def came(self) -> list[int]:
        """Return the numbers of all events that arrived."""
        return [int(json.loads(payload)["id"]) for payload in self.listener.of("event")]

    def report(self, protocol: str) -> bool:
        """Print what happened; returns whether no event is lost or out of order."""
        came = self.came()
        first = list(dict.fromkeys(came))
        lost, disorder = self.events - len(first), first != sorted(first)
        faults = ", ".join(f"{count} x {fault}" for fault, count in self.happened.items())
        print(f"MQTT {protocol}: {self.events} events, {lost} lost, {len(came) - len(first)} came again, "
              f"{'OUT OF ORDER' if disorder else 'in order'}; {faults}", flush=True)  # fmt: skip
        return not lost and not disorder

    def close(self) -> None:
        self.listener.close()
        self.broker.stop()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=25_000, help="events for each protocol (default: %(default)s)")
    parser.add_argument("--protocol", choices=("3.1.1", "5"), help="only this version of MQTT")
    parser.add_argument("--rate", type=float, default=500.0, help="events written a second (default: %(default)s)")
    parser.add_argument("--write", nargs=2, metavar=("PORT", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write is not None:
        port, folder = args.write
        write(int(port), folder, args.protocol, args.first, args.events, args.rate)
        return 0
    right = True
    for protocol in [args.protocol] if args.protocol else ["3.1.1", "5"]:
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(protocol, args.events, args.rate, Path(folder))
            try:
                trial.run()
                right &= trial.report(protocol)
            finally:
                trial.close()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
