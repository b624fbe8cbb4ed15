"""When a push goes on, waits and stops."""

import datetime

import msgspec
import pytest
from paho.mqtt.client import MQTTMessageInfo

from edgehar.fleet.client import Message
from edgehar.fleet.desk import OrderDesk
from edgehar.fleet.rollout import Rollout, RolloutOptions, make_waves
from edgehar.fleet.view import FleetView
from edgehar.records import Status, StreamState
from edgehar.sinks.mqtt.device import Device, ModelInUse
from edgehar.sinks.mqtt.orders import Order, OrderReport, OrderState

TIME = "2026-11-30T11:59:30.000Z"
NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
OLD, NEW = "0" * 64, "1" * 64


class Fleet:
    """Devices that run an old model well, and a push to them."""

    def __init__(self, count=3, action="model", **options):
        self.now_s = 0.0
        self.view = FleetView(lambda: NOW)
        for number in range(count):
            self.say(number, "availability", b"online")
            self.say(number, "status", Status(TIME, "camera:0", StreamState.RUNNING, 1, 1, 0, 12.5))
            self.runs(number, OLD)
        options = RolloutOptions(**{"watch_s": 10.0, "timeout_s": 60.0, "max_failures": 0.0, **options})
        self.rollout = Rollout(self.view, Order("order", action, NEW), options, lambda: self.now_s)
        for number in range(count):
            self.rollout.ordered(str(number))

    def say(self, number, topic, record):
        payload = record if isinstance(record, bytes) else msgspec.json.encode(record)
        self.view.take(Message(f"{number}/{topic}", payload, False))

    def runs(self, number, sha256):
        self.say(number, "device", Device(TIME, "0.1.0", TIME, [ModelInUse("m", sha256)], 0, 1.0, orders=True))

    def reports(self, number, state, reason="", key="order"):
        self.say(number, "order", OrderReport(TIME, key, NEW, state, reason))

    def takes_over(self, number):
        self.reports(number, OrderState.ACTIVE)
        self.runs(number, NEW)

    def verdicts(self, after_s=0.0):
        self.now_s += after_s
        return [verdict.value for verdict in self.rollout.judge().values()]


def test_settings_are_in_force_when_the_report_says_so():
    fleet = Fleet(1, action="config")
    fleet.reports(0, OrderState.FETCHING)
    assert fleet.verdicts(5) == ["waiting"]
    fleet.reports(0, OrderState.ACTIVE)
    assert fleet.verdicts(5) == ["waiting"]
    assert fleet.verdicts(10) == ["good"]


def test_a_device_is_good_after_it_ran_well_for_a_while():
    fleet = Fleet(1)
    assert fleet.verdicts() == ["waiting"]
    fleet.takes_over(0)
    assert fleet.verdicts(5) == ["waiting"]
    assert fleet.verdicts(9) == ["waiting"]
    assert fleet.verdicts(2) == ["good"]


def test_the_word_of_the_agent_is_not_enough():
    fleet = Fleet(1)
    fleet.reports(0, OrderState.ACTIVE)
    assert fleet.verdicts(11) == ["waiting"]
    assert fleet.verdicts(60) == ["bad"]
    assert fleet.rollout.failed == {"0": "active after 70 s"}


@pytest.mark.parametrize("state", [OrderState.REFUSED, OrderState.RETURNED])
def test_a_refusal_is_a_failure(state):
    fleet = Fleet(2)
    fleet.reports(0, state, "12 events")
    assert fleet.verdicts() == ["bad", "waiting"]
    assert fleet.rollout.failed == {"0": f"{state}: 12 events"}
    assert fleet.rollout.too_many_failed


def test_reports_about_other_orders_do_not_count():
    fleet = Fleet(1)
    fleet.reports(0, OrderState.REFUSED, key="earlier")
    assert fleet.verdicts() == ["waiting"]
    fleet.verdicts(100)
    assert fleet.rollout.failed == {"0": "no answer after 70 s"}


def test_a_new_problem_keeps_a_device_from_being_good_and_an_old_one_does_not():
    fleet = Fleet(1)
    bad = Status(TIME, "camera:0", StreamState.RUNNING, 1, 1, 0, 12.5, throttled=True)
    fleet.say(0, "status", bad)
    fleet.rollout.ordered("0")
    fleet.takes_over(0)
    fleet.verdicts(1)
    assert fleet.verdicts(11) == ["good"]

    fleet = Fleet(1)
    fleet.takes_over(0)
    fleet.verdicts(1)
    fleet.say(0, "status", msgspec.structs.replace(bad, throttled=False, inference_errors=3))
    assert fleet.verdicts(11) == ["waiting"]
    assert fleet.verdicts(60) == ["bad"]
    assert fleet.rollout.failed == {"0": "3 inference errors"}


def test_a_device_may_be_away_for_a_moment():
    fleet = Fleet(1)
    fleet.takes_over(0)
    fleet.verdicts(1)
    fleet.say(0, "availability", b"offline")
    assert fleet.verdicts(8) == ["waiting"]
    fleet.say(0, "availability", b"online")
    assert fleet.verdicts(8) == ["waiting"]
    assert fleet.verdicts(11) == ["good"]


def test_the_allowed_share_grows_with_the_devices():
    fleet = Fleet(100, max_failures=0.02)
    for number in range(2):
        fleet.reports(number, OrderState.REFUSED)
    fleet.verdicts()
    assert not fleet.rollout.too_many_failed
    fleet.reports(2, OrderState.REFUSED)
    fleet.verdicts()
    assert fleet.rollout.too_many_failed
    one = Fleet(1, max_failures=0.02)
    one.reports(0, OrderState.REFUSED)
    one.verdicts()
    assert one.rollout.too_many_failed


def test_a_verdict_is_final():
    fleet = Fleet(1)
    fleet.reports(0, OrderState.REFUSED)
    fleet.verdicts()
    fleet.takes_over(0)
    assert fleet.verdicts(100) == ["bad"]


def test_waves_hold_every_device_once():
    names = [f"device-{number:03}" for number in range(1000)]
    waves = make_waves(names, RolloutOptions(canary=5))
    assert [len(wave) for wave in waves] == [5, 50, 500, 445]
    assert sorted(name for wave in waves for name in wave) == names
    assert waves[0] != names[:5]
    assert make_waves([], RolloutOptions()) == []


def test_a_device_that_deletes_its_messages_does_not_end_the_push():
    fleet = Fleet(2)
    fleet.say(0, "availability", b"")
    assert fleet.verdicts(1) == ["waiting", "waiting"]
    fleet.takes_over(1)
    assert fleet.verdicts(59) == ["waiting", "waiting"]
    assert fleet.verdicts(11) == ["bad", "good"]
    assert fleet.rollout.failed == {"0": "offline"}


class Broker:
    """Takes every message at once, and sends none back."""

    root = "edgehar-fleet"

    def __init__(self):
        self.published = []

    def publish(self, topic, payload):
        self.published.append((topic, payload))
        taken = MQTTMessageInfo(1)
        taken._set_as_published()
        return taken


def test_the_file_of_an_order_that_the_broker_has_not_sent_back_is_kept():
    broker = Broker()
    desk = OrderDesk(broker, FleetView(lambda: NOW))
    for digest in (OLD, NEW):
        desk.take(Message(f"edgehar-fleet/files/{digest}/info", b'{"size":5}', True))
    desk.order("hall", Order("1", "model", NEW, size=5))
    desk.delete_unused_files()
    assert [topic for topic, payload in broker.published if not payload] == [f"files/{OLD}/info", f"files/{OLD}/0"]
