"""Push a bundle or settings to devices: canaries first, then waves of others; stop and roll back if devices fail."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgehar.errors import BundleError, FleetError
from edgehar.fleet.rollout import Rollout, Verdict, make_waves
from edgehar.model.bundle import ModelBundle
from edgehar.model.signature import signature_of
from edgehar.progress import Progress
from edgehar.sinks.mqtt.orders import Order, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgehar.fleet.desk import OrderDesk
    from edgehar.fleet.rollout import RolloutOptions
    from edgehar.fleet.view import DeviceView, FleetView
    from edgehar.model.signature import Signature

_log = logging.getLogger(__name__)


@dataclass
class Result:
    """Result of a push or rollback.

    Attributes:
        done: devices that are well with it.
        failed: the reason of each device that failed.
        waiting: devices that are off, and get it when they return.
        stopped: whether the push stopped and was rolled back.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    stopped: bool = False


def choose(view: FleetView, patterns: Sequence[str]) -> list[DeviceView]:
    """Return the devices whose names match, and which follow orders.

    Args:
        view: what is known of the fleet.
        patterns: names, with `*` and `?`.

    Raises:
        FleetError: a pattern matches no device, or none of them follows orders.
    """
    for pattern in patterns:
        if not fnmatch.filter(view.devices, pattern):
            raise FleetError(f"no device matches {pattern!r}; see: edgehar fleet list")
    names = [name for name in sorted(view.devices) if any(fnmatch.fnmatchcase(name, one) for one in patterns)]
    found = [view.devices[name] for name in names]
    able = [device for device in found if device.device is not None and device.device.orders]
    if len(able) < len(found):
        _log.warning("%d devices are left out: they follow no orders; see docs/fleet.md", len(found) - len(able))
    if not able:
        raise FleetError("none of these devices follows orders; set mqtt.fleet = true on them")
    return able


class Pusher:
    """Publishes orders and follows what becomes of them."""

    def __init__(self, desk: OrderDesk) -> None:
        """Use the desk of a connected operator."""
        self._desk, self._view = desk, desk.view

    def push(self, path: Path, devices: Sequence[DeviceView], options: RolloutOptions, model: str = "") -> Result:
        """Push a signed bundle; roll it back if too many devices fail.

        Args:
            path: the bundle.
            devices: the devices.
            options: how careful to be.
            model: the configured model that it is to replace; empty for the only one.

        Raises:
            BundleError: the bundle cannot be used or is not signed.
            FleetError: another push is in progress, or the broker does not take the messages.
        """
        bundle, content = ModelBundle.open(path), path.read_bytes()
        if signature_of(path) is None:
            raise BundleError(f"{path}: is not signed, and no device would take it; sign it with: edgehar sign {path}")
        sha256 = hashlib.sha256(content).hexdigest()
        order = Order(uuid.uuid4().hex, "model", sha256, model, len(content), options.shadow_s)

        def send() -> None:
            _log.info("sending %s (%d bytes) to %d devices", bundle.manifest.name, len(content), len(devices))
            self._desk.publish_file(sha256, content)

        return self._deliver(order, devices, options, send)

    def push_settings(
        self, text: str, signature: Signature, devices: Sequence[DeviceView], options: RolloutOptions
    ) -> Result:
        """Push signed settings; roll them back if too many devices fail.

        Args:
            text: the settings, as TOML.
            signature: of the text.
            devices: the devices.
            options: how careful to be.

        Raises:
            FleetError: another push is in progress, or the broker does not take the messages.
        """
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        order = Order(uuid.uuid4().hex, "config", sha256, config=text, signature=signature)
        return self._deliver(order, devices, options, lambda: None)

    def _deliver(
        self, order: Order, devices: Sequence[DeviceView], options: RolloutOptions, send: Callable[[], object]
    ) -> Result:
        """Give an order to devices in waves; `send` sends what it needs first."""
        online = [device.name for device in devices if device.online]
        result = Result(waiting=[device.name for device in devices if not device.online])
        rollout = Rollout(self._view, order, options)
        with self._desk.claimed():
            send()
            for number, wave in enumerate(make_waves(online, options)):
                if not self._push_wave("canary" if number == 0 else f"wave {number}", wave, order, rollout):
                    result.stopped = True
                    break
            verdicts, result.failed = rollout.judge(), rollout.failed
            if result.stopped:
                result.waiting = self._roll_back(list(verdicts), order, options.timeout_s)
            else:
                result.done = [name for name, verdict in verdicts.items() if verdict is Verdict.GOOD]
                for name in result.waiting:
                    self._desk.order(name, order)
            self._desk.delete_unused_files()
        return result

    def roll_back(self, devices: Sequence[DeviceView], timeout_s: float) -> Result:
        """Have devices leave the bundle that was pushed to them last.

        Args:
            devices: the devices.
            timeout_s: how long to wait for them, in seconds.

        Raises:
            FleetError: another push is in progress, or none of the devices got a bundle.
        """
        key = uuid.uuid4().hex
        orders = {
            device.name: Order(key, "rollback", device.order.sha256)
            for device in devices
            if device.order is not None and device.order.state in (OrderState.ACTIVE, OrderState.SHADOW)
        }
        if not orders:
            raise FleetError("none of these devices runs a model, or has settings, that was pushed")
        with self._desk.claimed():
            for name, order in orders.items():
                self._desk.order(name, order)
            failed, waiting = self._await_rollback(list(orders), key, timeout_s)
            self._desk.delete_unused_files()
        done = [name for name in orders if name not in failed and name not in waiting]
        return Result(done, failed, waiting)

    def _push_wave(self, what: str, wave: Sequence[str], order: Order, rollout: Rollout) -> bool:
        """Give the order to some devices, and wait until each is judged. Returns False to stop the push."""
        for name in wave:
            self._desk.order(name, order)
            rollout.ordered(name)
        judged = 0
        with Progress(what, len(wave), unit="devices", lines=5) as progress:
            while judged < len(wave):
                self._desk.receive()
                verdicts = rollout.judge()
                now = sum(verdicts[name] is not Verdict.WAITING for name in wave)
                progress.advance(now - judged, note=f"{len(rollout.failed)} failed" if rollout.failed else "")
                judged = now
                if rollout.too_many_failed:
                    return False
        return True

    def _roll_back(self, names: Sequence[str], order: Order, timeout_s: float) -> list[str]:
        """Roll back what a push has done so far; returns the devices that have not answered."""
        _log.warning("too many devices failed; rolling back %d devices", len(names))
        back = Order(uuid.uuid4().hex, "rollback", order.sha256, order.model)
        for name in names:
            self._desk.order(name, back)
        failed, waiting = self._await_rollback(names, back.id, timeout_s)
        for name, reason in failed.items():
            _log.error("%s: not rolled back: %s", name, reason)
        return waiting

    def _await_rollback(self, names: Sequence[str], key: str, timeout_s: float) -> tuple[dict[str, str], list[str]]:
        """Wait for the answers to an order; returns the reason of each refusal, and who has not answered."""
        left, failed, end_s = dict.fromkeys(names), {}, time.monotonic() + timeout_s
        with Progress("rolling back", len(left), unit="devices", lines=5) as progress:
            while left and time.monotonic() < end_s:
                self._desk.receive()
                for name in list(left):
                    report = self._view.device(name).order
                    if report is None or report.id != key or report.state is OrderState.FETCHING:
                        continue
                    if report.state is not OrderState.ROLLED_BACK:
                        failed[name] = report.reason
                    del left[name]
                    progress.advance()
        return failed, list(left)
