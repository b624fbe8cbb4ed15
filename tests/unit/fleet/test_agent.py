"""What a device does with orders: real bundles, real signatures, and every way in which they can be wrong."""

import hashlib
import threading

import msgspec
import pytest
from support.helpers import wait_until
from support.tiny_bundle import write_tiny_bundle

from edgehar.errors import ConfigError
from edgehar.model.bundle import ModelBundle
from edgehar.model.signature import Trust, make_key, sign, sign_settings
from edgehar.model.takeover import Takeovers
from edgehar.sinks.mqtt.agent import AgentLinks, AgentOptions, FleetAgent
from edgehar.sinks.mqtt.orders import PART_BYTES, FleetTopics, Order, OrderState

pytest.importorskip("cryptography", reason="needs the sign extra")


class FakeSettings:
    """The configuration of a device, as a list of texts."""

    def __init__(self):
        self.texts, self.problem = ["first"], ""

    def change(self, text):
        if self.problem:
            raise ConfigError(self.problem)
        self.texts.append(text)
        return f"version {len(self.texts)}"

    def undo(self, version):
        if version != f"version {len(self.texts)}":
            raise ConfigError("changed meanwhile")
        self.texts.pop()


class Device:
    """An agent, and the broker's side of it."""

    def __init__(self, folder, models=("tiny",)):
        self.settings = FakeSettings()
        self.folder, self.models = folder, models
        self.takeovers = Takeovers(folder / "models")
        self.key = make_key(folder / "operator", "the operator")
        Trust(folder / "trusted").add(self.key)
        self.reports, self.subscribed, self.now_s, self.agent = [], [], 0.0, None
        self.start()

    def start(self):
        links = AgentLinks(self.subscribed.append, self._unsubscribe, self.reports.append)
        options = AgentOptions(self.folder / "fleet", "edgehar/hall", self.models, str(self.folder / "trusted"))
        times = {"poll_s": 0.02, "retry_s": 10, "clock": lambda: self.now_s}
        self.agent = FleetAgent(options, self.takeovers, links, settings=self.settings, **times)
        self.agent.start()

    def _unsubscribe(self, topic):
        if topic in self.subscribed:
            self.subscribed.remove(topic)

    def restart(self):
        self.agent.close()
        self.start()

    def bundle(self, name="new", *, signed=True, gain=8.0):
        path = write_tiny_bundle(self.folder / f"{name}.edgehar", name=name, gain=gain)
        if signed:
            sign(path, self.folder / "operator")
        return path.read_bytes()

    def order(self, content, key="1", **changes):
        digest = hashlib.sha256(content).hexdigest()
        order = Order(**{"id": key, "action": "model", "sha256": digest, "size": len(content), **changes})
        self.agent.message("edgehar-fleet/orders/hall", msgspec.json.encode(order))
        return order

    def order_settings(self, text, key="1", *, signer="operator", signed=None, **changes):
        signature = sign_settings((signed or text).encode(), self.folder / signer)
        given = {"action": "config", "config": text, "signature": signature, "size": 0}
        return self.order(text.encode(), key, **{**given, **changes})

    def roll_back(self, order, key="2"):
        rollback = Order(key, "rollback", order.sha256)
        self.agent.message("edgehar-fleet/orders/hall", msgspec.json.encode(rollback))

    def send(self, content, order, numbers=None):
        for number in range(order.parts) if numbers is None else numbers:
            part = content[number * PART_BYTES : (number + 1) * PART_BYTES]
            self.agent.message(f"edgehar-fleet/files/{order.sha256}/{number}", part)

    def wait(self, state, reason="", key=None):
        def said():
            last = self.reports[-1] if self.reports else None
            return last and last.state is state and reason in last.reason and key in (None, last.id)

        wait_until(said, said=lambda: self.reports)

    def push(self, content, **changes):
        order = self.order(content, **changes)
        self.wait(OrderState.FETCHING, key=order.id)
        self.send(content, order)
        return order

    @property
    def state(self):
        return self.takeovers.state("tiny")


@pytest.fixture
def device(tmp_path):
    made = Device(tmp_path)
    yield made
    made.agent.close()
    assert not (tmp_path / "fleet" / "incoming.edgehar").exists()


def test_a_signed_bundle_is_put_forward(device):
    content = device.bundle()
    order = device.push(content)
    device.wait(OrderState.ACTIVE)
    assert device.state.active.sha256 == order.sha256
    assert device.subscribed == []


def test_parts_in_any_order_and_twice(device):
    content = device.bundle()
    order = device.order(content)
    device.wait(OrderState.FETCHING)
    assert order.parts >= 1
    device.agent.message(f"edgehar-fleet/files/{order.sha256}/0", b"too short")
    device.agent.message(f"edgehar-fleet/files/{order.sha256}/999999", b"x" * PART_BYTES)
    device.agent.message(f"edgehar-fleet/files/{order.sha256}/info", b"{}")
    device.agent.message(f"edgehar-fleet/files/{'0' * 64}/0", b"another file")
    device.send(content, order, [*reversed(range(order.parts)), 0])
    device.wait(OrderState.ACTIVE)


def test_shadow_first_and_what_becomes_of_it(device):
    order = device.push(device.bundle(), shadow_s=60.0)
    device.wait(OrderState.SHADOW)
    candidate = device.state.candidate
    assert candidate.sha256 == order.sha256
    device.takeovers.refuse("tiny", candidate, "it would have started 9 events")
    device.wait(OrderState.REFUSED, "9 events")


def test_a_device_that_returns_says_so(device):
    device.push(device.bundle())
    device.wait(OrderState.ACTIVE)
    device.takeovers.refuse("tiny", device.state.active, "rolled back: 12 events started within an hour")
    device.wait(OrderState.RETURNED, "12 events")


def test_rollback_only_from_the_bundle_that_is_meant(device):
    order = device.push(device.bundle())
    device.wait(OrderState.ACTIVE)
    device.order(b"", "2", action="rollback", sha256="0" * 64)
    device.wait(OrderState.ROLLED_BACK, key="2")
    assert device.state.active.sha256 == order.sha256
    device.order(b"", "3", action="rollback", sha256=order.sha256)
    device.wait(OrderState.ROLLED_BACK, key="3")
    assert device.state.active is None


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("unsigned", "is not signed"),
        ("untrusted", "is not trusted"),
        ("altered", "not the one that was ordered"),
        ("no bundle", "incoming.edgehar"),
    ],
)
def test_what_is_not_trusted_is_refused_and_nothing_changes(device, spoil, reason):
    content = device.bundle(signed=spoil != "unsigned")
    if spoil == "untrusted":
        Trust(device.folder / "trusted").remove("the operator")
    sent = b"x" * len(content) if spoil == "altered" else content
    if spoil == "no bundle":
        content = sent = b"not a zip" * 100
    order = device.order(content)
    device.wait(OrderState.FETCHING)
    device.send(sent, order)
    device.wait(OrderState.REFUSED, reason)
    assert device.state.active is None
    assert device.state.candidate is None


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"\xff", b'{"id":"1","action":"format","sha256":"' + b"0" * 64 + b'"}', b"[" * 1000],
)
def test_orders_that_are_not_understood_are_ignored(device, payload):
    device.agent.message("edgehar-fleet/orders/hall", payload)
    device.push(device.bundle())
    device.wait(OrderState.ACTIVE)
    assert {report.id for report in device.reports} == {"1"}


def test_a_model_that_is_not_here_is_refused(device):
    device.order(device.bundle(), model="other")
    device.wait(OrderState.REFUSED, "has no model 'other'")


def test_several_models_must_be_named(tmp_path):
    device = Device(tmp_path, models=("tiny", "other", "tiny"))
    device.order(device.bundle())
    device.wait(OrderState.REFUSED, "name one in the order")
    device.push(device.bundle(), key="2", model="tiny")
    device.wait(OrderState.ACTIVE)
    device.agent.close()


def test_an_order_is_followed_once_over_restarts(device):
    content = device.bundle()
    order = device.push(content)
    device.wait(OrderState.ACTIVE)
    device.takeovers.rollback("tiny")
    device.wait(OrderState.RETURNED)
    device.restart()
    count = len(device.reports)
    assert device.agent.report.state is OrderState.RETURNED
    # The broker sends the retained order again.
    assert device.order(content) == order
    device.order(b"", "2", action="rollback", sha256="0" * 64)
    device.wait(OrderState.ROLLED_BACK, key="2")
    assert [report.id for report in device.reports[count:]] == ["2"]


def test_a_device_that_was_off_while_it_fetched_begins_again(device):
    content = device.bundle()
    device.order(content)
    device.wait(OrderState.FETCHING)
    device.restart()
    device.reports.clear()
    device.push(content)
    device.wait(OrderState.ACTIVE)


def test_a_newer_order_replaces_one_in_progress(device):
    first, second = device.bundle("first"), device.bundle("second", gain=4.0)
    old = device.order(first)
    device.wait(OrderState.FETCHING)
    device.push(second, key="2")
    device.send(first, old)
    device.wait(OrderState.ACTIVE, key="2")
    assert device.state.active.name == "second"


def test_a_file_that_does_not_arrive_is_asked_for_again(device):
    content = device.bundle()
    order = device.order(content)
    device.wait(OrderState.FETCHING)
    topic = FleetTopics("edgehar/hall").parts_of(order.sha256)
    wait_until(lambda: device.subscribed == [topic])
    device.subscribed.append("marker")
    device.now_s += 11
    wait_until(lambda: device.subscribed == ["marker", topic])
    device.subscribed.remove("marker")
    device.send(content, order)
    device.wait(OrderState.ACTIVE)


def test_a_withdrawn_order_ends_the_download(device):
    device.order(device.bundle())
    device.wait(OrderState.FETCHING)
    device.agent.message("edgehar-fleet/orders/hall", b"")
    wait_until(lambda: device.subscribed == [])


def test_a_rollback_leaves_another_bundle_in_shadow_out_of_account(device):
    order = device.push(device.bundle())
    device.wait(OrderState.ACTIVE)
    other = ModelBundle.open(write_tiny_bundle(device.folder / "other.edgehar", name="other", gain=5.0))
    device.takeovers.put("tiny", other, shadow_s=60)
    device.order(b"", "2", action="rollback", sha256=order.sha256)
    device.wait(OrderState.ROLLED_BACK, key="2")
    assert device.state.active is None


def test_an_order_finds_room_among_parts(device):
    device.agent.close()
    for number in range(200):
        device.agent.message(f"edgehar-fleet/files/{'0' * 64}/{number}", b"x")
    order = device.order(b"", "2", action="rollback", sha256="0" * 64)
    device.agent._thread = threading.Thread(target=device.agent._work, daemon=True)
    device.agent.start()
    device.wait(OrderState.ROLLED_BACK, key=order.id)


def test_a_folder_that_cannot_be_made_is_a_refusal(device):
    (device.folder / "fleet").write_bytes(b"in the way")
    device.order(device.bundle())
    device.wait(OrderState.REFUSED, "File exists")
    device.order(b"", "2", action="rollback", sha256="0" * 64)
    device.wait(OrderState.ROLLED_BACK, key="2")


def test_signed_settings_are_put_in_force_and_undone(device):
    order = device.order_settings("second")
    device.wait(OrderState.ACTIVE, key="1")
    assert device.settings.texts == ["first", "second"]
    device.restart()
    device.roll_back(order)
    device.wait(OrderState.ROLLED_BACK, key="2")
    assert device.settings.texts == ["first"]
    # They are not undone twice, and a bundle of this hash does not run.
    device.roll_back(order, key="3")
    device.wait(OrderState.ROLLED_BACK, key="3")
    assert device.settings.texts == ["first"]


def test_settings_that_were_changed_since_are_not_undone(device):
    order = device.order_settings("second")
    device.wait(OrderState.ACTIVE)
    device.settings.texts.append("by hand")
    device.roll_back(order)
    device.wait(OrderState.REFUSED, "changed meanwhile", key="2")
    assert device.settings.texts == ["first", "second", "by hand"]


def test_settings_of_a_stranger_are_refused(device):
    make_key(device.folder / "stranger", "a stranger")
    device.order_settings("second", "1", signer="stranger")
    device.wait(OrderState.REFUSED, "is not trusted", key="1")
    device.order_settings("second", "2", signed="other")
    device.wait(OrderState.REFUSED, "the signature of SHA256:", key="2")
    device.order_settings("second", "3", signature=None)
    device.wait(OrderState.REFUSED, "not signed", key="3")
    device.order_settings("second", "4", sha256="0" * 64)
    device.wait(OrderState.REFUSED, "not those that were ordered", key="4")
    assert device.settings.texts == ["first"]


def test_settings_that_the_program_refuses_are_reported(device):
    device.settings.problem = "decision.threshold: too large"
    order = device.order_settings("second")
    device.wait(OrderState.REFUSED, "decision.threshold: too large")
    # Whatever its models are.
    device.models = ("tiny", "other")
    device.restart()
    device.roll_back(order, key="1b")
    device.wait(OrderState.ROLLED_BACK, key="1b")
    device.settings = None
    device.restart()
    device.order_settings("second", "2")
    device.wait(OrderState.REFUSED, "without a configuration file", key="2")
