"""Everything that is known of a fleet, from the messages of its devices."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edgehar.printable import printable
from edgehar.records import Event, Status, StreamState
from edgehar.sinks.mqtt.device import Device
from edgehar.sinks.mqtt.orders import OrderReport, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.fleet.client import Message

# What `FleetView` understands, below the prefix. A device has one level, and a camera of several one more.
STATE_TOPICS = ("+/availability", "+/device", "+/order", "+/status", "+/+/status")
EVENT_TOPICS = ("+/event", "+/+/event")
# A status is older than this only if the device has stopped sending them; its clock must be right.
_STALE_S = 3600.0
_DAY_S, _HOUR_S = 86_400.0, 3600.0
_BAD_STATES = (StreamState.RECONNECTING, StreamState.FAILED, StreamState.STOPPED)


@dataclass
class DeviceView:
    """The state of one device.

    Attributes:
        name: its level in the topics.
        online: whether it is connected to the broker; None if it never said.
        device: its latest `device` record, if any.
        order: its latest report about an order, if any.
        statuses: the latest status of each camera, by the camera's level; "" if it has only one.
    """

    name: str
    online: bool | None = None
    device: Device | None = None
    order: OrderReport | None = None
    statuses: dict[str, Status] = field(default_factory=dict)

    def problems(self, now: datetime.datetime) -> list[str]:
        """Return what is wrong with it, in words; the worst first.

        Args:
            now: the current time, with a time zone.
        """
        if not self.online:
            return ["offline"]
        found = [f"{_camera(name)}{text}" for name, status in self.statuses.items() for text in _faults(status, now)]
        if self.order is not None and self.order.state in (OrderState.REFUSED, OrderState.RETURNED):
            found.append(f"order {self.order.state}: {self.order.reason}")
        return found if self.statuses else ["no status", *found]

    def alarms_per_day(self) -> float | None:
        """Return alarms a day, over the last day or the time since its start; None in its first hour."""
        if self.device is None or self.device.alarms_s < _HOUR_S:
            return None
        return self.device.alarms * _DAY_S / self.device.alarms_s


class DeviceInfo(msgspec.Struct, frozen=True):
    """One device, as lists and pages show it. Texts are printable.

    Attributes:
        name: its level in the topics.
        online: whether it is connected to the broker.
        problems: what is wrong with it, in English; the worst first.
        fps: frames a second, over all cameras; None before its first status.
        temperature_c: of the warmest part; None if unknown.
        alarms_per_day: None in its first hour.
        edgehar: its version; empty if unknown.
        models: name and start of the hash of each of its models.
    """

    name: str
    online: bool
    problems: list[str]
    fps: float | None
    temperature_c: float | None
    alarms_per_day: float | None
    edgehar: str
    models: str


@dataclass(frozen=True)
class Change:
    """Something that happened.

    Attributes:
        device: name of the device.
        what: in words.
    """

    device: str
    what: str


class FleetView:
    """The devices of a fleet. Messages that are not understood are counted and ignored.

    Attributes:
        devices: by name.
        ignored: messages that were not understood.
        now: returns the current time, with a time zone.
    """

    def __init__(self, now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)) -> None:
        """Know of no device.

        Args:
            now: the current time, with a time zone.
        """
        self.now = now
        self.devices: dict[str, DeviceView] = {}
        self.ignored = 0
        self._readers: dict[str, Callable[[DeviceView, str, bytes], str]] = {
            "availability": _read_availability,
            "device": _read_device,
            "order": _read_order,
            "status": self._read_status,
            "event": _read_event,
        }

    def device(self, name: str) -> DeviceView:
        """Return what is known of a device: nothing if its retained messages were deleted."""
        return self.devices.get(name) or DeviceView(name)

    def take(self, message: Message) -> Change | None:
        """Learn from a message; returns what has changed since the device's last one, if it matters to a person."""
        name, _, rest = message.topic.partition("/")
        camera, _, kind = rest.rpartition("/")
        reader = self._readers.get(kind)
        if reader is None or "/" in camera or not name:
            self.ignored += 1
            return None
        if not message.payload:
            return self._forget(name) if kind == "availability" else None
        device = self.device(name)
        try:
            what = reader(device, camera, message.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
            self.ignored += 1
            return None
        self.devices[name] = device
        return Change(printable(name), printable(what)) if what else None

    def _read_status(self, device: DeviceView, camera: str, payload: bytes) -> str:
        before, status = device.statuses.get(camera), msgspec.json.decode(payload, type=Status)
        device.statuses[camera] = status
        now = self.now()
        faults, earlier = _faults(status, now), [] if before is None else _faults(before, now)
        return "" if faults == earlier else f"{_camera(camera)}{', '.join(faults) or 'recovered'}"

    def _forget(self, name: str) -> Change | None:
        """Remove a device whose retained messages were deleted."""
        return Change(printable(name), "removed") if self.devices.pop(name, None) is not None else None


def _read_availability(device: DeviceView, _camera: str, payload: bytes) -> str:
    if payload not in (b"online", b"offline"):
        raise ValueError("neither online nor offline")
    before, device.online = device.online, payload == b"online"
    return payload.decode() if before is not device.online else ""


def _read_device(device: DeviceView, _camera: str, payload: bytes) -> str:
    before, device.device = device.device, msgspec.json.decode(payload, type=Device)
    if before is None:
        return ""
    if before.models != device.device.models:
        return f"now runs {models_text(device.device)}"
    return f"now has edgehar {device.device.edgehar}" if before.edgehar != device.device.edgehar else ""


def _read_order(device: DeviceView, _camera: str, payload: bytes) -> str:
    before, report = device.order, msgspec.json.decode(payload, type=OrderReport)
    device.order = report
    same = before is not None and (before.id, before.state) == (report.id, report.state)
    return "" if same else f"order {report.state}{f': {report.reason}' if report.reason else ''}"


def _read_event(_device: DeviceView, camera: str, payload: bytes) -> str:
    event = msgspec.json.decode(payload, type=Event)
    return f"{_camera(camera)}{event.phase} of {event.label}, {event.peak_score:.2f}" if event.phase != "update" else ""


def _faults(status: Status, now: datetime.datetime) -> list[str]:
    faults = []
    if status.state in _BAD_STATES:
        faults.append(str(status.state))
    age_s = (now - _parsed(status.time, now)).total_seconds()
    if age_s > _STALE_S:
        faults.append(f"last status {age_s / _HOUR_S:.0f} h ago")
    if status.inference_errors:
        faults.append(f"{status.inference_errors} inference errors")
    if status.spool_dropped or status.spool_refused:
        faults.append(f"{status.spool_dropped + status.spool_refused} events lost or refused")
    faults += [word for word, on in (("throttled", status.throttled), ("under-voltage", status.under_voltage)) if on]
    return faults


def _parsed(time_utc: str, default: datetime.datetime) -> datetime.datetime:
    try:
        parsed = datetime.datetime.fromisoformat(time_utc)
    except ValueError:
        return default
    return parsed if parsed.tzinfo is not None else default


def _camera(name: str) -> str:
    return f"{name}: " if name else ""


def models_text(device: Device) -> str:
    """Return the models of a device, each once: name and start of the hash."""
    return ", ".join(dict.fromkeys(f"{model.name}@{model.sha256[:8]}" for model in device.models))


def device_info(device: DeviceView, now: datetime.datetime) -> DeviceInfo:
    """Return what is shown of a device.

    Args:
        device: the device.
        now: the current time, with a time zone.
    """
    statuses, about = device.statuses.values(), device.device
    temperatures = [status.temperature_c for status in statuses if status.temperature_c is not None]
    return DeviceInfo(
        name=printable(device.name),
        online=bool(device.online),
        problems=[printable(problem) for problem in device.problems(now)],
        fps=sum(status.fps for status in statuses) if statuses else None,
        temperature_c=max(temperatures, default=None),
        alarms_per_day=device.alarms_per_day(),
        edgehar="" if about is None else printable(about.edgehar),
        models="" if about is None else printable(models_text(about)),
    )
