"""Check the MQTT sink against Home Assistant itself: it discovers, shows and controls a running device.

    python3.13 -m venv ha && ha/bin/pip install homeassistant==2025.4.4 home-assistant-frontend==20250411.0 \\
        paho-mqtt==2.1.0 Pillow==11.1.0 ifaddr psutil-home-assistant cronsim==2.6 securetar==2025.2.1
    python scripts/home_assistant.py --hass ha/bin/hass [--seconds 60] [--cameras 16]

Starts a mosquitto, a Home Assistant with an empty configuration, the automation of docs/mqtt.md, a server for uploads
and `edgehar-run` on a video that gets bright and dark. Everything is read over Home Assistant's REST API and from the
database of its recorder. Then a device with many cameras announces itself. Home Assistant needs some minutes to install
and its own version of Python, so this is not a test of CI. Exits with code 1 if anything is not as it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.brokers import Broker  # noqa: E402
from support.helpers import flat_frames, write_video  # noqa: E402
from support.tiny_bundle import write_tiny_bundle  # noqa: E402
from support.upload_servers import free_port, liar  # noqa: E402

from edgehar.credentials import Secret  # noqa: E402
from edgehar.sinks.mqtt.discovery import PublishedStream  # noqa: E402
from edgehar.sinks.mqtt.options import MqttOptions  # noqa: E402
from edgehar.sinks.mqtt.sink import MqttSink  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = Path(sys.executable).parent / "edgehar-run"
CLIENT = "http://127.0.0.1/"
CONFIGURATION = """
homeassistant: {{name: test, country: DE, currency: EUR, unit_system: metric, time_zone: UTC}}
http: {{server_host: 127.0.0.1, server_port: {port}}}
api:
config:
auth:
recorder: {{commit_interval: 1}}
automation: !include automations.yaml
logger: {{default: info}}
"""
DEVICE = """
model = "{bundle}"
output = "none"
[[camera]]
name = "hall"
source = "{video}"
loop = true
realtime = true
[mqtt]
url = "mqtt://{user}@127.0.0.1:{port}/edgehar/hall"
discovery = true
commands = true
pictures = true
[record]
directory = "{clips}"
min_free_mb = 0
pre_roll_s = 1.0
post_roll_s = 0.5
[upload]
url = "http://127.0.0.1:{upload_port}/in"
[spool]
directory = "{spool}"
"""
# What must be shown, by entity id, with a pattern of its state.
EXPECTED = {
    "sensor.hall_action": "bright|dark",
    "sensor.hall_confidence": r"\d+(\.0)?",
    "binary_sensor.hall_bright": "on|off",
    "binary_sensor.hall_dark": "on|off",
    "event.hall_event": r"\d{4}-.*",
    "image.hall_event": r"\d{4}-.*",
    "image.hall_snapshot": "unknown",
    "sensor.hall_state": "running",
    "sensor.hall_frame_rate": r"\d+(\.\d+)?",
    "sensor.hall_frame_age": r"\d+(\.\d+)?",
    "sensor.hall_frames_dropped": r"\d+",
    "sensor.hall_reconnections": "0",
    "sensor.hall_events_waiting": r"\d+",
    "sensor.hall_events_lost": "0",
    "sensor.hall_events_refused": "0",
    "switch.hall_watching": "on",
    "number.hall_threshold": r"0(\.\d+)?",
    "button.hall_snapshot": "unknown",
    "automation.fight_in_the_hall": "on",
}


class HomeAssistant:
    """A Home Assistant in a process of its own, seen over its REST API."""

    def __init__(self, hass: Path, folder: Path, automation: str) -> None:
        self.port, self.folder = free_port(), folder
        folder.mkdir()
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port))
        (folder / "automations.yaml").write_text(automation)
        subprocess.run([hass, "--script", "auth", "-c", folder, "add", "adm", "secretpw"], check=True, timeout=120)
        self._output = (folder / "output").open("w")
        command = [hass, "-c", folder, "--skip-pip"]
        self._process = subprocess.Popen(command, stdout=self._output, stderr=subprocess.STDOUT)
        self._token = ""

    def log_in(self) -> None:
        """Wait until it answers, and get a token."""
        wait(self._answers, 180, "Home Assistant to start")
        flow = self.post(
            "/auth/login_flow", {"client_id": CLIENT, "handler": ["homeassistant", None], "redirect_uri": CLIENT}
        )
        user = {"client_id": CLIENT, "username": "adm", "password": "secretpw"}
        code = self.post(f"/auth/login_flow/{flow['flow_id']}", user)["result"]
        form = urllib.parse.urlencode({"grant_type": "authorization_code", "code": code, "client_id": CLIENT})
        self._token = json.loads(self._ask("/auth/token", form.encode()))["access_token"]

    def add_broker(self, broker: Broker) -> None:
        """Set the MQTT integration up, as a user does in the settings."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "mqtt"})
        login = {"broker": "127.0.0.1", "port": broker.port, "username": broker.USER, "password": broker.PASSWORD}
        done = self.post(f"/api/config/config_entries/flow/{flow['flow_id']}", login)
        check(done["type"] == "create_entry", f"the MQTT integration is set up: {done['type']}")

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the state of each entity."""
        return {state["entity_id"]: state for state in json.loads(self._ask("/api/states"))}

    def state(self, entity: str) -> str:
        """Return the state of an entity, "" if there is none."""
        return str(self.states().get(entity, {}).get("state", ""))

    def call(self, service: str, entity: str, **data: object) -> None:
        """Call a service, as a button of the pages does."""
        self.post(f"/api/services/{service}", {"entity_id": entity, **data})

    def picture(self, entity: str) -> bytes:
        """Return the picture of an image entity."""
        return self._ask(f"/api/image_proxy/{entity}")

    def rows(self, entity: str) -> int:
        """Return how many states the recorder has written for an entity."""
        with contextlib.closing(sqlite3.connect(self.folder / "home-assistant_v2.db")) as database:
            query = "select count(*) from states join states_meta using (metadata_id) where states_meta.entity_id = ?"
            return int(database.execute(query, [entity]).fetchone()[0])

    def complaints(self) -> list[str]:
        """Return the warnings and errors of its log that are about MQTT, or about us."""
        lines = (self.folder / "home-assistant.log").read_text().splitlines()
        return [
            line
            for line in lines
            if re.search("WARNING|ERROR", line) and re.search("(?i)mqtt|edgehar|automation", line)
        ]

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._output.close()

    def post(self, path: str, data: object) -> Any:
        """Post JSON; return the answer's."""
        return json.loads(self._ask(path, json.dumps(data).encode(), "application/json"))

    @property
    def version(self) -> str:
        """Return its version."""
        return str(json.loads(self._ask("/api/config"))["version"])

    def _ask(self, path: str, data: bytes | None = None, kind: str = "application/x-www-form-urlencoded") -> bytes:
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
            return bytes(answer.read())

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def wait(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Wait until a condition holds; SystemExit if it never does."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"FAILED: waited {timeout_s:.0f} s for {what}")
        time.sleep(0.2)


def check(right: bool, what: str) -> None:
    """Print what was checked; SystemExit if it is not right."""
    print(f"{'ok    ' if right else 'FAILED'}  {what}", flush=True)
    if not right:
        raise SystemExit(1)


def automation_of_the_page() -> str:
    """Return the automation of docs/mqtt.md, for the label of our model, without the phone."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "mqtt.md").read_text(), re.DOTALL)
    example = next(block for block in blocks if "actions:" in block)
    example = example.replace("'fight'", "'bright'").replace(
        "notify.mobile_app_phone", "persistent_notification.create"
    )
    # Only phones show a picture.
    example = re.sub(r"\n +data:\n +image:.*", "", example)
    return "- id: fight\n" + "".join(f"  {line}\n" for line in example.splitlines())


def check_device(home: HomeAssistant, seconds: float) -> None:
    """Check all that Home Assistant shows of the device."""

    def differing() -> dict[str, str]:
        states = home.states()
        found = {entity: str(states.get(entity, {}).get("state")) for entity in EXPECTED}
        return {entity: state for entity, state in found.items() if not re.fullmatch(EXPECTED[entity], state)}

    with contextlib.suppress(SystemExit):
        wait(lambda: not differing(), 60, "entities")
    check(not differing(), f"{len(EXPECTED)} entities are there, with states {differing() or 'that fit'}")
    wait(lambda: home.state("binary_sensor.hall_bright") == "on", 30, "an open event")
    wait(lambda: home.state("binary_sensor.hall_bright") == "off", 30, "the end of the event")
    check(True, "binary_sensor.hall_bright turned on, and off again")
    check(home.picture("image.hall_event").startswith(b"\xff\xd8"), "image.hall_event is a JPEG")

    def attributes() -> dict[str, Any]:
        return dict(home.states()["event.hall_event"]["attributes"])

    wait(lambda: attributes()["event_type"] == "uploaded", 30, "a clip at the server")
    shown = attributes()
    while shown["event_type"] != "uploaded":
        shown = attributes()
    check(shown["clip_url"].endswith(shown["clip"]), f"event.hall_event has the address {shown['clip_url']}")
    triggered = home.states()["automation.fight_in_the_hall"]["attributes"]["last_triggered"]
    check(triggered is not None, f"the automation of docs/mqtt.md was triggered: {triggered}")
    entities = ("sensor.hall_action", "sensor.hall_confidence", "sensor.hall_frame_rate", "event.hall_event")
    before = {entity: home.rows(entity) for entity in entities}
    time.sleep(seconds)
    for entity in entities:
        added = home.rows(entity) - before[entity]
        print(f"        {entity}: {added} rows in {seconds:.0f} s, {added / seconds * 86_400:.0f} a day", flush=True)


def check_controls(home: HomeAssistant) -> None:
    """Press and set everything that can be."""
    home.call("button/press", "button.hall_snapshot")
    wait(lambda: home.state("image.hall_snapshot") != "unknown", 15, "the snapshot")
    check(home.picture("image.hall_snapshot").startswith(b"\xff\xd8"), "button.hall_snapshot brings a JPEG")
    home.call("number/set_value", "number.hall_threshold", value=0.75)
    wait(lambda: home.state("number.hall_threshold") == "0.75", 15, "the threshold")
    check(True, "number.hall_threshold is set to 0.75")
    home.call("switch/turn_off", "switch.hall_watching")
    wait(lambda: home.state("switch.hall_watching") == "off", 15, "the switch")
    home.call("switch/turn_on", "switch.hall_watching")
    wait(lambda: home.state("switch.hall_watching") == "on", 15, "the switch")
    check(True, "switch.hall_watching is turned off, and on again")


def check_many(home: HomeAssistant, broker: Broker, cameras: int) -> None:
    """Announce a device with many cameras."""
    before = len(home.states())
    labels = ("standing", "walking", "running", "falling", "fighting", "pushing", "waving", "sitting", "lying", "none")
    streams = [
        PublishedStream(
            source=f"camera:{number}", labels=labels, actions=labels[:9], model="many", name=f"garage-{number}",
            answer_every_s=30, status_every_s=30, picture_of=lambda _: None,
        )
        for number in range(cameras)
    ]  # fmt: skip
    url = f"mqtt://{broker.USER}@127.0.0.1:{broker.port}/edgehar/many"
    options = MqttOptions(url=url, password=Secret(broker.PASSWORD), discovery=True, commands=True)
    sink = MqttSink(options, streams=streams, on_command=lambda _: None, settings={"enabled": True})
    try:
        # Records, pictures and actions of each camera; six readings and three controls of the device.
        expected = cameras * (8 + 2 + 9) + 6 + 3
        with contextlib.suppress(SystemExit):
            wait(lambda: len(home.states()) - before >= expected, 60, "all cameras")
        check(len(home.states()) - before == expected, f"{cameras} cameras have {expected} entities")
    finally:
        sink.close()


def main() -> None:
    """Start everything, check it, and end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hass", type=Path, required=True, help="the command of Home Assistant")
    parser.add_argument("--seconds", type=float, default=60, help="how long rows of the recorder are counted (60)")
    parser.add_argument("--cameras", type=int, default=16, help="cameras of the second device (16)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        work = Path(name)
        (work / "broker").mkdir()
        broker = Broker(work / "broker").start()
        stack.callback(broker.stop)
        server = stack.enter_context(liar(None))
        home = HomeAssistant(args.hass.absolute(), work / "config", automation_of_the_page())
        stack.callback(home.close)
        video = write_video(work / "a.mp4", flat_frames([20] * 75 + [235] * 75 + [20] * 100), codec="libx264")
        config = work / "edgehar.toml"
        config.write_text(
            DEVICE.format(
                bundle=write_tiny_bundle(work / "tiny.edgehar"), video=video, user=broker.USER, port=broker.port,
                clips=work / "clips", spool=work / "spool", upload_port=server.server_port,
            )
        )  # fmt: skip
        config.chmod(0o600)
        home.log_in()
        home.add_broker(broker)
        print(f"Home Assistant {home.version}", flush=True)
        environment = {"EDGEHAR_MQTT_PASSWORD": broker.PASSWORD, "HOME": str(work)}
        with (work / "run.log").open("w") as log:
            process = subprocess.Popen([RUN, "--config", config], env=environment, stderr=log)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        check_device(home, args.seconds)
        check_controls(home)
        check_many(home, broker, args.cameras)
        complaints = home.complaints()
        check(not complaints, f"its log has no complaint about us {complaints or ''}")
        check(process.poll() is None, "the device still runs")


if __name__ == "__main__":
    main()
