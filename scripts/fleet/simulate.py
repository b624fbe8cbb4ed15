#!/usr/bin/env python3
"""Simulate a fleet: real MQTT sessions with the records of real devices, in one process.

Each device connects with its own client id and last will, and again if the broker goes away. It publishes
`availability`, `device`, `status`, `prediction` and events as `edgehar-run` does. Prints what was sent, in messages and
bytes for each device and hour.

Devices follow the orders of `edgehar fleet push`, but fetch no file. After a moment they report that they run the
model, and a share of them (--failing) that they left it again. They take settings at once, or refuse them (--failing).

    scripts/fleet/simulate.py mqtt://user@127.0.0.1/edgehar --devices 1000 --seconds 60
"""

import argparse
import contextlib
import random
import select
import time

import msgspec
import paho.mqtt.client as paho

from edgehar._version import __version__
from edgehar.records import Event, Prediction, Status, StreamState, TimingMs, Window, utc_now
from edgehar.sinks.mqtt.device import Device, ModelInUse
from edgehar.sinks.mqtt.options import MqttOptions, read_broker
from edgehar.sinks.mqtt.orders import FleetTopics, Order, OrderReport, OrderState

DEVICE_EVERY_S = 600.0
SHA256 = "3a7c91d0" * 8


class SimulatedDevice:
    """One MQTT session, driven by the loop of the program."""

    def __init__(self, broker, name, args, random_source):
        self.base, self.args, self.random = f"{broker.base_topic}/{name}", args, random_source
        self.started, self.sent_bytes, self.sent = utc_now(), 0, 0
        self.alarms, self.frames = 0, 0
        self.due, self.retry_at_s = {}, 0.0
        self.sha256, self.order, self.report, self.fails = SHA256, None, None, random_source.random() < args.failing
        self.topics = FleetTopics(self.base)
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"simulated-{name}")
        self.client.on_connect, self.client.on_message = self._on_connect, self._on_message
        self.client.will_set(f"{self.base}/availability", "offline", qos=1, retain=True)
        if broker.username is not None:
            self.client.username_pw_set(broker.username, broker.password)
        self.client.connect(broker.host, broker.port, keepalive=60)

    def connect_again(self, now_s):
        """Connect again, from time to time."""
        if now_s >= self.retry_at_s:
            self.retry_at_s = now_s + self.random.uniform(1, 3)
            with contextlib.suppress(OSError):
                self.client.reconnect()

    def _on_connect(self, _client, _data, _flags, code, _properties):
        if code.is_failure:
            raise SystemExit(f"the broker refuses the connection: {code}")
        self.publish("availability", b"online")
        self.client.subscribe(self.topics.orders, qos=1)
        if self.report is not None:
            self.publish("order", msgspec.json.encode(self.report))
        now_s = time.monotonic()
        # Real devices are not in step.
        self.due = {
            "status": now_s,
            "device": now_s,
            "prediction": now_s + self.random.uniform(0, self.args.update_every),
            "event": now_s + self.random.expovariate(self.args.alarms_per_day / 86_400),
        }

    def _on_message(self, _client, _data, message):
        order = msgspec.json.decode(message.payload, type=Order) if message.payload else None
        if order is None or (self.order is not None and order.id == self.order.id):
            return
        self.order = order
        if order.action == "rollback":
            self._run(SHA256, OrderState.ROLLED_BACK)
        elif order.action == "config":
            self._report(OrderState.REFUSED if self.fails else OrderState.ACTIVE, "no such label" if self.fails else "")
        else:
            self._report(OrderState.FETCHING)
            self.due["fetched"] = time.monotonic() + self.random.uniform(0.5, 2.0)

    def _run(self, sha256, state, reason=""):
        self.sha256 = sha256
        self._publish_device()
        self._report(state, reason)

    def _report(self, state, reason=""):
        self.report = OrderReport(utc_now(), self.order.id, self.order.sha256, state, reason)
        self.publish("order", msgspec.json.encode(self.report))

    def publish(self, topic, payload):
        self.client.publish(f"{self.base}/{topic}", payload, qos=1, retain=topic != "event")
        self.sent += 1
        self.sent_bytes += len(self.base) + len(topic) + len(payload) + 7

    def act(self, now_s):
        """Publish what is due."""
        for kind, due_s in list(self.due.items()):
            if now_s < due_s:
                continue
            if kind in ("fetched", "left"):
                del self.due[kind]
                self._go_on(kind, now_s)
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

    def _go_on(self, kind, now_s):
        """Follow an order further."""
        if self.order.action != "model":
            return
        if kind == "left":
            self._run(SHA256, OrderState.RETURNED, "rolled back: 12 events started within an hour")
        else:
            self._run(self.order.sha256, OrderState.ACTIVE)
            if self.fails:
                self.due["left"] = now_s + self.random.uniform(0.5, 2.0)

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
        models = [ModelInUse("fight", self.sha256)]
        record = Device(utc_now(), __version__, self.started, models, self.alarms, 86_400.0, orders=True)
        self.publish("device", msgspec.json.encode(record))

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
    poller, watched = select.epoll(), {}
    end_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end_s:
        for device in devices:
            connection = device.client.socket()
            if connection is None:
                device.connect_again(now_s)
                continue
            number = connection.fileno()
            wanted = select.EPOLLIN | (select.EPOLLOUT if device.client.want_write() else 0)
            if watched.get(number) is device:
                poller.modify(number, wanted)
            else:
                poller.register(number, wanted)
                watched[number] = device
            device.act(now_s)
            device.client.loop_misc()
        for number, happened in poller.poll(0.1):
            device = watched[number]
            if happened & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                device.client.loop_read()
            if happened & select.EPOLLOUT and device.client.socket() is not None:
                device.client.loop_write()
            if device.client.socket() is None:
                # The system has taken the closed socket out of the poller.
                del watched[number]


def main():
    """Run the simulation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="broker and prefix; the password comes from EDGEHAR_MQTT_PASSWORD")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--update-every", type=float, default=30.0, help="seconds between two status records (30)")
    parser.add_argument("--alarms-per-day", type=float, default=10.0, help="mean of each device (10)")
    parser.add_argument("--failing", type=float, default=0.0, help="share that leaves a model or refuses settings (0)")
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
