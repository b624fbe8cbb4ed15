"""Soak test: edgehar-run watches two live cameras, with a fault every 30 seconds.

One camera is synthetic (640x480, 30 frames per second), the other is a real RTSP server; results go to a real mosquitto
broker and to a file. In turn, the broker is killed, frozen and stopped, the RTSP server is killed and frozen, the disk
is slow and (for root, who can mount a small one) full, and the configuration is reloaded. At the end, every event in
the file must have reached a subscriber of the broker, in order. Needs mosquitto, and GStreamer for the RTSP camera
(scripts/install_test_tools.sh).

    python scripts/faults/soak.py [--minutes 20] [--report FILE.md]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A fault, and when it began and ended, in Unix seconds.
Trouble = tuple[str, float, float]
# Name, value, and whether it passes.
Figure = tuple[str, str, bool]

ROOT = Path(__file__).resolve().parents[2]
BASE = "edgehar/soak"
FAULT_S = 8.0
# Frames are not judged for this long after a fault, while cameras and connections recover.
SETTLE_S = 6.0
# Memory for one round of all faults and the first change of scene is allocated once.
WARM_UP_S = 300.0

CONFIG = """\
model = "actions-synthetic"
output = "none"

[[camera]]
name = "drawn"
source = "synthetic:all?realtime=1&width=640&height=480&rate_hz=30&duration_s={action_s}"
hop = 1
{rtsp}
[decision]
threshold = {threshold}
update_every_s = 0.5

[reconnect]
at_start = true
frozen_s = 3
max_delay_s = 2

[file]
path = "{folder}/results.jsonl"
max_mb = 1000
predictions = true

[mqtt]
url = "mqtt://127.0.0.1:{port}/{base}"
discovery = true
keepalive_s = 5

[spool]
directory = "{folder}/spool"

[health]
status_every_s = 5
"""
RTSP_CAMERA = """
[[camera]]
name = "network"
source = "rtsp://127.0.0.1:{port}/cam"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process that can be killed, stopped, frozen and restarted."""

    def __init__(self, *command: str, port: int) -> None:
        self.command, self.port = command, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 15
        while time.monotonic() < deadline_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{self.command[0]} does not listen")

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait()


class Subscriber:
    """A subscriber with a persistent session."""

    def __init__(self, port: int) -> None:
        self.events: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="soak-subscriber", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe([(f"{BASE}/#", 1)])
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async("127.0.0.1", port, 5)
        self._client.loop_start()

    def _take(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/event"):
            self.events.append(json.loads(message.payload))
        elif message.topic.endswith("/status"):
            self.statuses.append(json.loads(message.payload))

    def wait_for_rest(self) -> None:
        """Let the last messages arrive, and end."""
        time.sleep(5)
        self._client.loop_stop()


class Machine:
    """Resource use of the watched process, once a second."""

    def __init__(self, pid: int) -> None:
        self.pid, self.samples = pid, []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        began_s = time.monotonic()
        while not self._stopped.wait(1.0):
            try:
                status = dict(
                    line.split(":", 1)
                    for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
                    if ":" in line
                )
                fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                return
            cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            rss_mb = int(status["VmRSS"].split()[0]) * 1024 / 1e6
            self.samples.append((time.monotonic() - began_s, rss_mb, int(status["Threads"]), cpu_s))

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


def slow_disk(folder: Path) -> None:
    """Keep the disk busy with synchronous writes."""
    end_s = time.monotonic() + FAULT_S
    with (folder / "busy").open("wb") as file:
        while time.monotonic() < end_s:
            file.seek(0)
            file.write(os.urandom(1 << 20) * 16)
            os.fsync(file.fileno())
    (folder / "busy").unlink()


def full_disk(folder: Path) -> None:
    """Fill the disk of the queue."""
    filler = folder / "spool" / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    time.sleep(FAULT_S)
    filler.unlink()


def faults(scene: Scene, program: subprocess.Popen[bytes]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the faults in turn, forever: the name, and a function that causes and ends it."""
    broker, camera, folder = scene.broker, scene.camera, scene.folder

    def restart(server: Server, number: int) -> None:
        server.send(number)
        time.sleep(FAULT_S)
        server.start()

    def freeze(server: Server) -> None:
        server.send(signal.SIGSTOP)
        time.sleep(FAULT_S)
        server.send(signal.SIGCONT)

    thresholds = [0.3, 0.0]

    def reload() -> None:
        thresholds.reverse()
        (folder / "edgehar.toml").write_text(scene.config(thresholds[0]))
        program.send_signal(signal.SIGHUP)

    while True:
        yield "broker killed", lambda: restart(broker, signal.SIGKILL)
        yield "broker frozen", lambda: freeze(broker)
        yield "disk slow", lambda: slow_disk(folder)
        if scene.small_disk:
            yield "disk full", lambda: full_disk(folder)
        if camera is not None:
            yield "RTSP camera killed", lambda: restart(camera, signal.SIGKILL)
        yield "broker ended", lambda: restart(broker, signal.SIGTERM)
        if camera is not None:
            yield "RTSP camera frozen", lambda: freeze(camera)
        yield "configuration reloaded", reload


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


def judge(
    folder: Path, subscriber: Subscriber, machine: Machine, troubled: list[Trouble]
) -> tuple[list[Figure], dict[str, int]]:
    """Return the figures, and how often each fault was caused."""
    stderr = (folder / "stderr.log").read_text()
    lines = [
        json.loads(line) for path in sorted(folder.glob("results*.jsonl*")) for line in path.read_text().splitlines()
    ]
    written = [(event["id"], event["revision"]) for event in lines if event["type"] == "event"]
    arrived = [(event["id"], event["revision"]) for event in subscriber.events]
    first = list(dict.fromkeys(arrived))
    ages = [line for line in lines if line["type"] == "prediction"]

    def calm(line: dict[str, Any]) -> bool:
        at_s = time.mktime(time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        return not any(begin - 1 <= at_s <= end + SETTLE_S for _, begin, end in troubled)

    calm_ages = [line["frame_age_ms"] for line in ages if calm(line)]
    warm = [sample for sample in machine.samples if sample[0] >= min(WARM_UP_S, machine.samples[-1][0] / 4)]
    rss_seen = [sample[1] for sample in warm]
    tenth = max(1, len(warm) // 10)
    rss = [statistics.median(sample[1] for sample in part) for part in (warm[:tenth], warm[-tenth:])]
    threads = [statistics.median(sample[2] for sample in part) for part in (warm[:tenth], warm[-tenth:])]
    cpu = (warm[-1][3] - warm[0][3]) / (warm[-1][0] - warm[0][0])
    lost = len(set(written) - set(arrived))
    figures = [
        ("events made", str(len(written)), len(written) > 0),
        ("events lost", str(lost), lost == 0),
        ("events out of order", str(sum(a != b for a, b in zip(first, written, strict=False))), first == written),
        ("events delivered twice", str(len(arrived) - len(first)), True),
        ("predictions", str(len(ages)), True),
        ("frame age outside faults, p50", f"{percentile(calm_ages, 0.5):.1f} ms", True),
        ("frame age outside faults, p95", f"{percentile(calm_ages, 0.95):.1f} ms", percentile(calm_ages, 0.95) < 100),
        ("RSS after warm-up", f"{rss[0]:.1f} MB", True),
        ("RSS growth from there to the end", f"{rss[1] - rss[0]:+.2f} MB", rss[1] - rss[0] < 2),
        ("RSS since then, lowest and highest", f"{min(rss_seen):.1f} MB, {max(rss_seen):.1f} MB", True),
        ("threads after warm-up and at the end", f"{threads[0]:.0f}, {threads[1]:.0f}", threads[1] <= threads[0]),
        ("CPU, share of one core (drawing the pictures included)", f"{cpu:.2f}", True),
        ("tracebacks in the log", str(stderr.count("Traceback")), "Traceback" not in stderr),
    ]
    return figures, dict(collections.Counter(name for name, _, _ in troubled))


class Scene:
    """A broker, an RTSP camera where GStreamer is installed, a small disk for root, and a configuration for them."""

    def __init__(self, folder: Path, minutes: float) -> None:
        self.folder, self._minutes = folder, minutes
        self.port = free_port()
        self.broker = _broker(folder, self.port)
        self.camera = _rtsp_camera()
        (folder / "edgehar.toml").write_text(self.config(0.0))
        (folder / "spool").mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder / "spool")]
        self.small_disk = not subprocess.run(mount, capture_output=True, check=False).returncode

    def config(self, threshold: float) -> str:
        return CONFIG.format(
            action_s=max(5, self._minutes * 60 / 6 + 30),
            rtsp=RTSP_CAMERA.format(port=self.camera.port) if self.camera else "",
            threshold=threshold,
            folder=self.folder,
            port=self.port,
            base=BASE,
        )

    def run(self) -> subprocess.Popen[bytes]:
        """Start the program that is watched."""
        command = [str(Path(sys.executable).with_name("edgehar-run")), "--config", str(self.folder / "edgehar.toml")]
        with (self.folder / "stderr.log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def close(self) -> None:
        for server in (self.broker, self.camera):
            if server is not None:
                server.send(signal.SIGKILL)
        if self.small_disk:
            subprocess.run(["umount", str(self.folder / "spool")], check=False)


def _broker(folder: Path, port: int) -> Server:
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
        "autosave_on_changes true\nautosave_interval 1\nmax_queued_messages 1000000\nuser root\n"
    )
    mosquitto = shutil.which("mosquitto", path=f"/usr/sbin:/usr/local/sbin:{os.environ['PATH']}") or sys.exit(
        "no mosquitto"
    )
    return Server(mosquitto, "-c", str(folder / "mosquitto.conf"), port=port)


def _rtsp_camera() -> Server | None:
    system_python = shutil.which("python3", path="/usr/bin") or sys.executable
    check = [system_python, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        return None
    port, serve = free_port(), str(ROOT / "tests" / "support" / "rtsp_camera.py")
    return Server(system_python, serve, str(port), "640", "480", port=port)


def cause_faults(
    scene: Scene, program: subprocess.Popen[bytes], subscriber: Subscriber, minutes: float, every_s: float
) -> list[Trouble]:
    """Cause faults until the time is up or the program ends; returns them."""
    troubled: list[Trouble] = []
    began_s = time.monotonic()
    for number, (name, cause) in enumerate(faults(scene, program)):
        until_s = began_s + (number + 1) * every_s
        if until_s > began_s + minutes * 60 - every_s:
            break
        time.sleep(max(0.0, until_s - time.monotonic()))
        if program.poll() is not None:
            break
        begin = time.time()
        print(f"{time.monotonic() - began_s:6.0f} s  {name}; {len(subscriber.events)} events so far", file=sys.stderr)
        cause()
        troubled.append((name, begin, time.time()))
    time.sleep(max(0.0, began_s + minutes * 60 - time.monotonic()))
    return troubled


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20, help="how long (default: 20)")
    parser.add_argument("--fault-every-s", type=float, default=30, help="seconds from fault to fault (default: 30)")
    parser.add_argument("--report", type=Path, help="write the figures to this Markdown file")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="edgehar-soak-"))
    scene = Scene(folder, args.minutes)
    scene.broker.start()
    subscriber = Subscriber(scene.port)
    if scene.camera is not None:
        scene.camera.start()
    program = scene.run()
    machine = Machine(program.pid)
    troubled = cause_faults(scene, program, subscriber, args.minutes, args.fault_every_s)
    machine.stop()
    ended_before = program.poll()
    program.send_signal(signal.SIGTERM)
    code = program.wait(30)
    subscriber.wait_for_rest()
    scene.close()
    figures, counts = judge(folder, subscriber, machine, troubled)
    figures.append(("exit code after SIGTERM", str(code), ended_before is None and code == 0))
    table = report(figures, counts, args.minutes)
    print(table)
    if args.report:
        args.report.write_text(table + "\n")
    good = all(good for _, _, good in figures)
    if good:
        shutil.rmtree(folder)
    else:
        print(f"figures failed; the files are kept in {folder}", file=sys.stderr)
    return 0 if good else 1


def report(figures: list[Figure], counts: dict[str, int], minutes: float) -> str:
    """Return the figures as a Markdown table."""
    rows = [f"| {name} | {value} | {'yes' if good else '**no**'} |" for name, value, good in figures]
    caused = ", ".join(f"{name} {count}x" for name, count in counts.items())
    return "\n".join([f"{minutes:g} minutes; {caused}", "", "| figure | value | passes |", "|---|---|---|", *rows])


if __name__ == "__main__":
    sys.exit(main())
