"""Follows the orders of an operator: fetches a bundle or settings over MQTT, checks the signature, and applies them.

The agent has a thread of its own. It trusts neither the broker nor the operator: a bundle and settings must be signed
by a key that the device trusts, whoever published them. The running program judges whether a bundle is good; the agent
only reports what has become of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from edgehar.errors import ConfigError, EdgeharError
from edgehar.files import whole_file
from edgehar.model.bundle import ModelBundle
from edgehar.model.signature import Trust, verify, verify_settings
from edgehar.printable import printable
from edgehar.records import utc_now
from edgehar.sinks.mqtt.orders import PART_BYTES, FleetTopics, Order, OrderReport, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgehar.model.takeover import Takeovers

_log = logging.getLogger(__name__)

_FILE, _REPORT = "incoming.edgehar", "order.json"
# Messages that wait for the thread. A broker sends no more than 20 before they are acknowledged.
_MOST_WAITING = 64


@dataclass(frozen=True)
class AgentOptions:
    """The parts that an agent works with.

    Attributes:
        folder: where it keeps the file that arrives and its latest report.
        base_topic: topic of the device.
        models: models as the configuration names them.
        trusted_keys: the setting `models.trusted_keys`.
    """

    folder: Path
    base_topic: str
    models: Sequence[str]
    trusted_keys: str | None


@dataclass(frozen=True)
class AgentLinks:
    """Connection of an agent to the broker.

    Attributes:
        subscribe: asks for the messages of a topic.
        unsubscribe: ends that.
        report: publishes a report, retained.
    """

    subscribe: Callable[[str], object]
    unsubscribe: Callable[[str], object]
    report: Callable[[OrderReport], object]


class _Download:
    """A file that arrives in parts, in any order, some of them more than once."""

    def __init__(self, path: Path, order: Order) -> None:
        self.path, self.order = path, order
        self._missing = set(range(order.parts))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(order.size)

    def add(self, number: int, content: bytes) -> bool:
        """Store a part. Returns whether the file is complete. OSError if it cannot be written."""
        expected = min(PART_BYTES, self.order.size - number * PART_BYTES)
        if number not in self._missing or len(content) != expected:
            return False
        with self.path.open("r+b") as file:
            file.seek(number * PART_BYTES)
            file.write(content)
        self._missing.discard(number)
        return not self._missing

    def discard(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


class _PushedSettings(msgspec.Struct, frozen=True):
    """Settings that an order brought. `version` is that of the configuration file with them."""

    sha256: str
    version: str


class _Followed(msgspec.Struct, frozen=True):
    """The agent's state on disk: the latest order, the latest report about it, and pushed settings in force."""

    order: Order
    report: OrderReport
    settings: _PushedSettings | None = None


class Settings(Protocol):
    """Changes the configuration of the running program."""

    def change(self, text: str) -> str:
        """Put settings in force, given as TOML; returns the version of the configuration file with them.

        Raises:
            EdgeharError: they cannot be in force here; nothing has changed.
        """

    def undo(self, version: str) -> None:
        """Undo a change, if the file still has the version that it returned; EdgeharError if not."""


class FleetAgent:
    """Follows orders, one at a time: a newer one replaces the one in progress."""

    def __init__(
        self,
        options: AgentOptions,
        takeovers: Takeovers,
        links: AgentLinks,
        *,
        settings: Settings | None = None,
        poll_s: float = 2.0,
        retry_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read what was followed last; `start` starts the thread.

        Args:
            options: what to work with.
            takeovers: the states of the models, which the running program follows.
            links: how to talk to the broker.
            settings: changes the configuration; None if there is no file of it.
            poll_s: time between two looks at the state of the model, in seconds.
            retry_s: ask for a file again if no part of it came for this long, in seconds.
            clock: monotonic seconds.

        Raises:
            ConfigError: the base topic has only one level.
        """
        self.topics = FleetTopics(options.base_topic)
        self._options, self._takeovers, self._links = options, takeovers, links
        self._poll_s, self._retry_s, self._clock = poll_s, retry_s, clock
        self._messages: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_MOST_WAITING)
        self._followed, self._settings = self._read(), settings
        self._download: _Download | None = None
        self._heard_s = 0.0
        self._thread = threading.Thread(target=self._work, name="edgehar-fleet", daemon=True)

    @property
    def report(self) -> OrderReport | None:
        """The latest report; None before the first order."""
        return None if self._followed is None else self._followed.report

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def takes(self, topic: str) -> bool:
        """Whether messages of a topic are for the agent."""
        return topic == self.topics.orders or topic.startswith(f"{self.topics.files}/")

    def message(self, topic: str, payload: bytes) -> None:
        """Take a message, without waiting. Parts that do not fit are asked for again later; an order displaces one."""
        with contextlib.suppress(queue.Full):
            self._messages.put_nowait((topic, payload))
            return
        if topic == self.topics.orders:
            with contextlib.suppress(queue.Empty, queue.Full):
                self._messages.get_nowait()
                self._messages.put_nowait((topic, payload))

    def close(self) -> None:
        """End the thread, after the message that it works on."""
        with contextlib.suppress(queue.Full):
            self._messages.put_nowait(None)
        self._thread.join(2.0)

    def _work(self) -> None:
        while True:
            try:
                message = self._messages.get(timeout=self._poll_s)
            except queue.Empty:
                message = ("", b"")
            if message is None:
                return
            try:
                self._handle(*message)
                self._look()
            except (EdgeharError, OSError) as error:
                self._refuse(str(error))
            except Exception:
                _log.exception("fleet: unexpected error; the present models go on")

    def _handle(self, topic: str, payload: bytes) -> None:
        if topic == self.topics.orders:
            self._take_order(payload)
        elif self._download is not None and topic:
            number = self.topics.part_number(topic, self._download.order.sha256)
            if number is not None:
                self._heard_s = self._clock()
                if self._download.add(number, payload):
                    self._install(self._download)

    def _take_order(self, payload: bytes) -> None:
        if not payload:
            self._end_download()
            return
        try:
            order = msgspec.json.decode(payload, type=Order)
        except msgspec.MsgspecError as error:
            _log.warning("fleet: an order is not understood: %s; ignored", printable(str(error)))
            return
        followed = self._followed
        if followed is not None and followed.order == order and followed.report.state is not OrderState.FETCHING:
            return
        if self._download is not None and self._download.order == order:
            return
        self._end_download()
        self._follow(order)

    def _follow(self, order: Order) -> None:
        _log.info("fleet: order %s: %s %s", printable(order.id), order.action, order.sha256[:12])
        before = self._followed
        pushed = None if before is None else before.settings
        report = OrderReport(utc_now(), order.id, order.sha256, OrderState.FETCHING)
        self._followed = _Followed(order, report, pushed)
        if order.action == "config":
            self._change_settings(order)
            return
        if order.action == "rollback" and pushed is not None and pushed.sha256 == order.sha256:
            self._undo_settings(pushed)
            return
        if order.action == "rollback" and before is not None and before.order.action == "config":
            # They were refused.
            self._say(OrderState.ROLLED_BACK)
            return
        model = self._model_of(order)
        state = self._takeovers.state(model)
        if order.action == "rollback":
            # Only from the bundle that was meant, because an order may be followed twice around a power cut, and
            # another bundle may run in shadow.
            for bundle in (state.candidate, state.active):
                if bundle is not None and bundle.sha256 == order.sha256:
                    self._takeovers.refuse(model, bundle, f"rolled back by order {order.id}")
            self._say(OrderState.ROLLED_BACK)
            return
        if state.active is not None and state.active.sha256 == order.sha256:
            self._say(OrderState.ACTIVE)
            return
        if not order.parts:
            raise ConfigError("the order names no file")
        self._download = _Download(self._options.folder / _FILE, order)
        self._say(OrderState.FETCHING)
        self._heard_s = self._clock()
        self._links.subscribe(self.topics.parts_of(order.sha256))

    def _change_settings(self, order: Order) -> None:
        assert self._followed is not None
        text = order.config.encode()
        if order.signature is None or hashlib.sha256(text).hexdigest() != order.sha256:
            raise ConfigError("the settings are not signed, or not those that were ordered")
        key = verify_settings(text, order.signature, Trust.at(self._options.trusted_keys).read())
        if self._settings is None:
            raise ConfigError("this device was started without a configuration file")
        pushed = _PushedSettings(order.sha256, self._settings.change(order.config))
        self._followed = msgspec.structs.replace(self._followed, settings=pushed)
        _log.info("fleet: settings signed by %s are in force", key.name or key.fingerprint)
        self._say(OrderState.ACTIVE)

    def _undo_settings(self, pushed: _PushedSettings) -> None:
        assert self._followed is not None
        if self._settings is None:
            raise ConfigError("this device was started without a configuration file")
        self._settings.undo(pushed.version)
        self._followed = msgspec.structs.replace(self._followed, settings=None)
        _log.info("fleet: the settings before are in force")
        self._say(OrderState.ROLLED_BACK)

    def _install(self, download: _Download) -> None:
        """Check a complete file, and put it forward."""
        order = download.order
        try:
            with download.path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != order.sha256:
                    raise ConfigError("the file that arrived is not the one that was ordered")
            bundle = ModelBundle.open(download.path)
            key = verify(bundle, Trust.at(self._options.trusted_keys).read())
            self._takeovers.put(self._model_of(order), bundle, shadow_s=order.shadow_s)
        finally:
            self._end_download()
        _log.info("fleet: %s, signed by %s, is put forward", bundle.manifest.name, key.name or key.fingerprint)
        self._say(OrderState.SHADOW if order.shadow_s else OrderState.ACTIVE)

    def _look(self) -> None:
        """Report what has become of the bundle, and ask again for a file that does not arrive."""
        if self._download is not None:
            if self._clock() - self._heard_s > self._retry_s:
                self._heard_s = self._clock()
                self._links.unsubscribe(self.topics.parts_of(self._download.order.sha256))
                self._links.subscribe(self.topics.parts_of(self._download.order.sha256))
            return
        if self._followed is None or self._followed.order.action != "model":
            return
        order, report = self._followed.order, self._followed.report
        if report.state not in (OrderState.SHADOW, OrderState.ACTIVE):
            return
        state = self._takeovers.state(self._model_of(order))
        if state.active is not None and state.active.sha256 == order.sha256:
            self._say(OrderState.ACTIVE)
        elif state.candidate is not None and state.candidate.sha256 == order.sha256:
            self._say(OrderState.SHADOW)
        else:
            was_active = report.state is OrderState.ACTIVE
            self._say(OrderState.RETURNED if was_active else OrderState.REFUSED, state.note)

    def _model_of(self, order: Order) -> str:
        """Return the configured model of an order. Raises ConfigError if there is none, or it must be named."""
        models = list(dict.fromkeys(self._options.models))
        if order.model:
            if order.model not in models:
                raise ConfigError(f"this device has no model {order.model!r}; it has {', '.join(models)}")
            return order.model
        if len(models) != 1:
            raise ConfigError(f"this device has several models ({', '.join(models)}); name one in the order")
        return models[0]

    def _refuse(self, why: str) -> None:
        self._end_download()
        _log.warning("fleet: %s; the present model goes on", printable(why))
        if self._followed is not None:
            self._say(OrderState.REFUSED, why)

    def _end_download(self) -> None:
        if self._download is not None:
            self._links.unsubscribe(self.topics.parts_of(self._download.order.sha256))
            # On a disk that can only be read the file stays; the next download replaces it.
            with contextlib.suppress(OSError):
                self._download.discard()
            self._download = None

    def _say(self, state: OrderState, reason: str = "") -> None:
        """Keep and publish a report, unless it says the same as the latest."""
        assert self._followed is not None
        order, before = self._followed.order, self._followed.report
        if (before.state, before.reason) == (state, reason) and state is not OrderState.FETCHING:
            return
        report = OrderReport(utc_now(), order.id, order.sha256, state, printable(reason)[:500])
        self._followed = msgspec.structs.replace(self._followed, report=report)
        # A full disk costs only that the order is followed again after a restart.
        with contextlib.suppress(OSError):
            self._options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with whole_file(self._options.folder / _REPORT) as temporary:
                temporary.write_bytes(msgspec.json.encode(self._followed))
        self._links.report(report)

    def _read(self) -> _Followed | None:
        try:
            return msgspec.json.decode((self._options.folder / _REPORT).read_bytes(), type=_Followed)
        except (OSError, msgspec.MsgspecError):
            return None
