#!/usr/bin/env python3
"""Simulate a fleet: real MQTT sessions with the records of real devices, in one process.

Each device connects with its own client id and last will. It publishes `availability`, `device`, `status`, `prediction`
and events as `edgehar-run` does. Prints what was sent, in messages and bytes for each device and hour.

    scripts/fleet/simulate.py mqtt://user@127.0.0.1/edgehar --devices 1000 --seconds 60
"""

import argparse
import random
import select
import time

import msgspec
import paho.mqtt.client as paho

from edgehar._version import __version__
from edgehar.records import Event, Prediction, Status, StreamState, TimingMs, Window, utc_now
from edgehar.sinks.mqtt.device import Device, ModelInUse
from edgehar.sinks.mqtt.options import MqttOptions, read_broker

DEVICE_EVERY_S = 600.0
SHA256 = "3a7c91d0" * 8


class SimulatedDevice:
    """One MQTT session, driven by the loop of the program."""

    def __init__(self, broker, name, args, random_source):
        self.base, self.args, self.random = f"{broker.base_topic}/{name}", args, random_source
        self.started, self.sent_bytes, self.sent = utc_now(), 0, 0
        self.alarms, self.frames = 0, 0
        self.due = {}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"simulated-{name}")
        self.client.on_connect = self._on_connect
        self.client.will_set(f"{self.base}/availability", "offline", qos=1, retain=True)
        if broker.username is not None:
            self.client.username_pw_set(broker.username, broker.password)
        self.client.connect(broker.host, broker.port, keepalive=60)

    def _on_connect(self, _client, _data, _flags, code, _properties):
        if code.is_failure:
            raise SystemExit(f"the broker refuses the connection: {code}")
        self.publish("availability", b"online")
        now_s = time.monotonic()
        # Real devices are not in step.
        self.due = {
            "status": now_s,
            "device": now_s,
            "prediction": now_s + self.random.uniform(0, self.args.update_every),
            "event": now_s + self.random.expovariate(self.args.alarms_per_day / 86_400),
        }

    def publish(self, topic, payload):
        self.client.publish(f"{self.base}/{topic}", payload, qos=1, retain=topic != "event")
        self.sent += 1
        self.sent_bytes += len(self.base) + len(topic) + len(payload) + 7

    def act(self, now_s):
        """Publish what is due."""
        for kind, due_s in self.due.items():
            if now_s < due_s:
                continue
            if kind == "event":
                self._alarm()
                self.due[kind] = now_s + self.random.expovariate(self.args.alarms_per_day / 86_400)
                continue
            self.due[kind] = now_s + (DEVICE_EVERY_S if kind == "device" else self.args.update_every)
            if kind == "status":
                self.frames += round(12.5 * self.args.update_every)
                self.publish("status", msgspec.json.encode(self._status()))
            elif kind == "device":
                self._publish_device()
            else:
                self.publish("prediction", msgspec.json.encode(self._prediction()))

    def _alarm(self):
        self.alarms += 1
        event = Event(
            "start", f"{self.random.getrandbits(128):032x}", 0, utc_now(), "camera:0", "fight", "fight", 0.9, 1.0
        )
        self.publish("event", msgspec.json.encode(event))
        end = msgspec.structs.replace(event, phase="end", revision=1, end_s=3.0)
        self.publish("event", msgspec.json.encode(end))
        self._publish_device()

    def _publish_device(self):
        models = [ModelInUse("fight", SHA256)]
        self.publish(
            "device", msgspec.json.encode(Device(utc_now(), __version__, self.started, models, self.alarms, 86_400.0))
        )

    def _status(self):
        return Status(
            time=utc_now(),
            source="camera:0",
            state=StreamState.RUNNING,
            frames=self.frames,
            predictions=self.frames // 5,
            dropped=0,
            fps=12.5,
            frame_age_ms_p50=1.2,
            frame_age_ms_p95=2.3,
            rate_hz=12.5,
            rss_mb=88.0,
            cpu_share=0.12,
            temperature_c=61.0,
            throttled=False,
            under_voltage=False,
        )

    def _prediction(self):
        scores = {"fight": 0.1, "noFight": 0.9}
        window, timing = Window(20, 1.0, 2.6), TimingMs(0.1, 0.3, 0.1)
        return Prediction(
            self.frames // 5, utc_now(), "camera:0", "fight", "noFight", 0.9, scores, window, 1.5, timing, 0, True
        )


def serve(devices, seconds):
    """Drive all sessions for a time."""
    poller = select.epoll()
    watched = {}
    end_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end_s:
        for device in devices:
            device.act(now_s)
            connection = device.client.socket()
            wanted = select.EPOLLIN | (select.EPOLLOUT if device.client.want_write() else 0)
            if connection is None:
                device.client.reconnect()
            elif connection.fileno() not in watched:
                poller.register(connection.fileno(), wanted)
                watched[connection.fileno()] = device
            else:
                poller.modify(connection.fileno(), wanted)
            device.client.loop_misc()
        for number, happened in poller.poll(0.2):
            device = watched[number]
            failed = happened & select.EPOLLIN and device.client.loop_read()
            if not failed and happened & select.EPOLLOUT:
                failed = device.client.loop_write()
            if failed or happened & (select.EPOLLHUP | select.EPOLLERR):
                del watched[number]


def main():
    """Run the simulation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="broker and prefix; the password comes from EDGEHAR_MQTT_PASSWORD")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--update-every", type=float, default=30.0, help="seconds between two status records (30)")
    parser.add_argument("--alarms-per-day", type=float, default=10.0, help="mean of each device (10)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    broker, random_source = read_broker(MqttOptions(url=args.url)), random.Random(args.seed)  # noqa: S311 - no secret
    started_s = time.monotonic()
    devices = [SimulatedDevice(broker, f"device-{number:04}", args, random_source) for number in range(args.devices)]
    print(f"{len(devices)} devices connect after {time.monotonic() - started_s:.1f} s", flush=True)
    serve(devices, args.seconds)
    hours = args.seconds / 3600
    messages, size = sum(device.sent for device in devices), sum(device.sent_bytes for device in devices)
    each = len(devices) * hours
    rates = f"{messages / each:.0f} messages and {size / each / 1e3:.0f} kB a device and hour"
    print(f"{messages} messages, {size} bytes: {rates}")


if __name__ == "__main__":
    main()
