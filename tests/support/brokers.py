"""A real mosquitto that can be stopped, frozen, restarted and closed to users; a listener; and certificates."""

import shutil
import signal
import socket
import ssl
import subprocess
import time

import paho.mqtt.client as mqtt

from edgehar.credentials import Secret
from edgehar.records import Event, Prediction, TimingMs, Window
from edgehar.sinks.mqtt.options import MqttOptions
from support.helpers import wait_until

BASE = "edgehar/test"
_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/sbin:/opt/homebrew/bin"
MOSQUITTO = shutil.which("mosquitto", path=_FOLDERS)


class Broker:
    """A mosquitto on a free loopback port, with a password file; it remembers nothing between starts."""

    USER, PASSWORD = "edge", "s3cret/#@"
    LISTENER = "listener"

    def __init__(self, folder, extra=(), certificates=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.certificates = certificates
        self._passwords, self._config = folder / "passwords", folder / "mosquitto.conf"
        self._passwords.touch(mode=0o600)
        self.let_in(self.USER)
        self.let_in(self.LISTENER)
        tls = [f"certfile {certificates.server}", f"keyfile {certificates.server_key}"] if certificates else []
        settings = [
            f"listener {self.port} 127.0.0.1",
            *tls,
            "allow_anonymous false",
            f"password_file {self._passwords}",
            "user root",
            "log_dest stderr",
            # Whatever the broker has acknowledged is on its way to the listener.
            "max_queued_messages 100000",
            *extra,
        ]
        self._config.write_text("\n".join(settings) + "\n")
        self._process = None

    def let_in(self, user):
        """Give a user the password."""
        tool = shutil.which("mosquitto_passwd", path=_FOLDERS)
        subprocess.run([tool, "-b", self._passwords, user, self.PASSWORD], check=True, capture_output=True)

    def keep_out(self, user):
        """Take a user's password away."""
        lines = self._passwords.read_text().splitlines(keepends=True)
        self._passwords.write_text("".join(line for line in lines if not line.startswith(f"{user}:")))

    def reload(self):
        """Read the password file again."""
        self._process.send_signal(signal.SIGHUP)

    def start(self):
        with self._config.with_suffix(".log").open("a") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stdout=log, stderr=log)
        deadline_s = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self._process.poll() is None, f"mosquitto ended: see {self._config}"
                assert time.monotonic() < deadline_s, "mosquitto does not listen"
                time.sleep(0.02)

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self, number=signal.SIGKILL):
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class Listener:
    """Collects all that is published under some topics, as (topic below the base, payload, retained)."""

    def __init__(self, broker, topics=(f"{BASE}/#",), qos=1, user=Broker.USER):
        self.messages = []
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(user, broker.PASSWORD)
        if broker.certificates:
            self._client.tls_set_context(ssl.create_default_context(cafile=broker.certificates.authority))
        self._subscriptions = 0
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, qos) for topic in topics])
        self._client.on_subscribe = self._on_subscribe
        self._client.reconnect_delay_set(0.1, 0.1)
        self._client.connect("localhost" if broker.certificates else "127.0.0.1", broker.port)
        self._client.loop_start()
        self.wait_subscribed(1)

    def wait_subscribed(self, times):
        """Wait until it has connected and subscribed so many times."""
        self.wait(lambda: self._subscriptions >= times)

    def _on_subscribe(self, *_):
        self._subscriptions += 1

    def _on_message(self, _client, _data, message):
        topic = message.topic.removeprefix(f"{BASE}/")
        self.messages.append((topic, message.payload.decode(errors="surrogateescape"), message.retain))

    def publish(self, topic, payload, *, retain=False):
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(60)

    def of(self, topic):
        return [payload for name, payload, _ in self.messages if name == topic]

    def wait(self, condition, timeout_s=120):
        wait_until(condition, timeout_s, lambda: self.messages[-20:])

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


class Certificates:
    """Files of an authority, a server on localhost and a client, all made on the spot."""

    def __init__(self, folder):
        self._folder = folder
        self.authority, self._authority_key = self._make("authority", "-x509", "-subj", "/CN=test authority")
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        self.server, self.server_key = self._signed("server", "-addext", names)
        self.client, self.client_key = self._signed("client")

    def _signed(self, name, *more):
        signed_by = ["-CA", self.authority, "-CAkey", self._authority_key]
        return self._make(name, "-x509", "-subj", f"/CN={name}", *signed_by, *more)

    def _make(self, name, *arguments):
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        command = ["openssl", "req", *kind, *arguments, "-keyout", key, "-out", certificate]
        subprocess.run(command, check=True, capture_output=True)
        return certificate, key


def mqtt_options(broker, **more):
    """Options of a sink that publishes under `BASE`."""
    scheme, host = ("mqtts", "localhost") if broker.certificates else ("mqtt", "127.0.0.1")
    if broker.certificates:
        more["ca_file"] = str(broker.certificates.authority)
    url = f"{scheme}://{broker.USER}@{host}:{broker.port}/{BASE}"
    return MqttOptions(url=url, password=Secret(broker.PASSWORD), **more)


def event(number):
    """A record with this number as its id."""
    return Event(
        phase="start",
        id=f"{number:06d}",
        revision=0,
        time="2026-11-21T05:40:00.123Z",
        source="camera:0",
        model="tiny",
        label="bright",
        peak_score=0.9,
        start_s=1.5,
    )


def prediction(number):
    """A record with this number as its `seq`."""
    scores = {"bright": 0.9, "dark": 0.1}
    window = Window(frames=4, start_s=1.0, end_s=1.5)
    timing = TimingMs(shrink=0.1, encode=0.1, classify=0.1)
    now = "2026-11-21T05:40:00.123Z"
    return Prediction(number, now, "camera:0", "tiny", "bright", 0.9, scores, window, 5.0, timing, 0, True)
