"""The order in which an MQTT session sends what waits, and what becomes of messages that the broker does not take."""

import pytest
from support.brokers import BASE, event

from edgehar.sinks.mqtt.options import MqttOptions, read_broker
from edgehar.sinks.mqtt.outbox import MqttOutbox
from edgehar.sinks.spool.queue import Spool

EVENTS = f"{BASE}/event"
AVAILABILITY = f"{BASE}/availability"


class FakeConnection:
    """A connection as `MqttOutbox` uses it: it takes what has room, and acknowledges when a test says so."""

    flooded = told_too_large = False

    def __init__(self, window=20, max_packet_bytes=None):
        self.window, self.max_packet_bytes = window, max_packet_bytes
        self.sent, self.unacknowledged, self.acknowledged = [], [], 0

    @property
    def room(self):
        return self.window - len(self.unacknowledged)

    def holds(self, tag):
        return tag in self.unacknowledged

    def seconds_since_sent(self):
        return 0.1

    def publish(self, topic, payload, tag, *, retain=False):
        assert self.room > 0
        self.sent.append((topic, payload, retain))
        self.unacknowledged.append(tag)

    def publish_unless_busy(self, topic, payload):
        self.sent.append((topic, payload, False))

    def acknowledge(self, outbox):
        """Acknowledge all; returns the topics sent since the last time."""
        for tag in self.unacknowledged:
            self.acknowledged += 1
            outbox.acknowledged(tag)
        self.unacknowledged.clear()
        topics, self.sent = [topic for topic, _, _ in self.sent], []
        return topics


@pytest.fixture
def spool():
    return Spool.in_memory("mqtt")


@pytest.fixture
def outbox(spool):
    broker = read_broker(MqttOptions(url=f"mqtt://127.0.0.1/{BASE}"))
    warnings = []
    box = MqttOutbox(
        broker, spool, event_topic=lambda _: EVENTS, retained={"config": b"{}"}, retry_first_s=0.0, warn=warnings.append
    )
    box.warnings = warnings
    return box


def write(outbox, spool, *numbers):
    for number in numbers:
        spool.append(event(number).id.encode(), f"{number}:0")
    outbox.events_wait()


def test_retained_topics_come_first_then_events_in_order(outbox, spool):
    connection = FakeConnection()
    write(outbox, spool, 1, 2)
    outbox.start(connection)
    outbox.publish(connection)
    assert [(topic, retain) for topic, _, retain in connection.sent] == [
        (AVAILABILITY, True), ("config", True), (EVENTS, False), (EVENTS, False),
    ]  # fmt: skip
    assert [payload for topic, payload, _ in connection.sent if topic == EVENTS] == [b"000001", b"000002"]
    # An event stays in the spool until it is acknowledged.
    assert spool.depth == 2
    connection.acknowledge(outbox)
    assert spool.depth == 0
    outbox.publish(connection)
    assert (connection.sent, outbox.waiting) == ([], False)


def test_only_the_newest_payload_of_a_topic_is_sent_and_one_at_a_time(outbox):
    connection = FakeConnection()
    outbox.start(connection)
    outbox.publish(connection)
    connection.acknowledge(outbox)
    outbox.hold("status", b"1")
    outbox.publish(connection)
    outbox.hold("status", b"2")
    outbox.hold("status", b"3")
    outbox.publish(connection)
    assert connection.sent == [("status", b"1", True)]
    connection.acknowledge(outbox)
    outbox.publish(connection)
    assert connection.sent == [("status", b"3", True)]


def test_no_more_is_sent_than_the_connection_has_room_for(outbox, spool):
    connection = FakeConnection(window=3)
    write(outbox, spool, *range(5))
    outbox.start(connection)
    sent = []
    while outbox.waiting:
        outbox.publish(connection)
        sent += connection.acknowledge(outbox)
    assert sent == [AVAILABILITY, "config", *[EVENTS] * 5]


def test_a_new_connection_sends_all_unacknowledged_events_again(outbox, spool):
    write(outbox, spool, 1, 2, 3)
    first = FakeConnection()
    outbox.start(first)
    outbox.publish(first)
    outbox.acknowledged(first.unacknowledged[2])
    second = FakeConnection()
    outbox.start(second)
    outbox.publish(second)
    assert [payload for topic, payload, _ in second.sent if topic == EVENTS] == [b"000002", b"000003"]


def test_of_passing_messages_the_newest_are_kept(outbox):
    connection = FakeConnection()
    for number in range(40):
        outbox.pass_on("predictions", b"%d" % number)
    outbox.publish(connection)
    assert [payload for _, payload, _ in connection.sent] == [b"%d" % number for number in range(24, 40)]


def test_what_is_above_the_brokers_limit_is_left_out_or_set_aside_and_the_rest_is_sent(outbox, spool, caplog):
    connection = FakeConnection(max_packet_bytes=100)
    outbox.hold("config", bytes(1000))
    spool.append(bytes(1000), "large:0")
    write(outbox, spool, 1)
    outbox.start(connection)
    outbox.publish(connection)
    assert connection.acknowledge(outbox) == [AVAILABILITY, EVENTS]
    assert (spool.depth, spool.refused) == (0, 1)
    assert "config is left out: 1014 bytes, more than the 100 that the broker takes" in caplog.text
    # It is tried again only when it has become smaller.
    outbox.hold("config", b"{}")
    outbox.publish(connection)
    assert connection.acknowledge(outbox) == ["config"]


def test_a_refused_event_is_sent_again_after_others_and_at_last_set_aside(outbox, spool):
    connection = FakeConnection()
    outbox.start(connection)
    outbox.publish(connection)
    connection.acknowledge(outbox)
    write(outbox, spool, 1)
    for _ in range(5):
        outbox.publish(connection)
        (tag,) = connection.unacknowledged
        connection.unacknowledged.clear()
        outbox.refused(tag, "Not authorized")
    outbox.publish(connection)
    assert (connection.unacknowledged, spool.depth, spool.refused) == ([], 0, 1)
    assert set(outbox.warnings) == {"refuses an event: Not authorized; sending it again later, after others"}


def test_a_message_that_ends_three_connections_is_given_up_and_others_are_not(outbox, spool):
    write(outbox, spool, 1)
    large = spool.append(bytes(5000), "large:0")
    for _ in range(4):
        connection = FakeConnection()
        outbox.start(connection)
        # The broker acknowledges everything but the large event, and closes the connection.
        for _ in range(3):
            outbox.publish(connection)
            for tag in [tag for tag in connection.unacknowledged if tag != large]:
                connection.unacknowledged.remove(tag)
                connection.acknowledged += 1
                outbox.acknowledged(tag)
        if connection.unacknowledged:
            outbox.connection_lost(connection)
    assert (spool.depth, spool.refused) == (0, 1)


def test_a_refused_topic_is_reported_and_not_sent_again(outbox):
    connection = FakeConnection()
    outbox.start(connection)
    outbox.publish(connection)
    outbox.refused("config", "Not authorized")
    assert outbox.warnings == ["refuses config: Not authorized"]
    assert not outbox.waiting
