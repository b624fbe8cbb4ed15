"""What is learned of a broker's limits, from its answers and from how connections end."""

import pytest
from support.clock import Clock

from edgehar.sinks.mqtt.limits import PacketLimit, Refusals

SIZES = {1: 5000, 2: 300, "home/hall/config": 9000}


def lost(limit, *unacknowledged, since_s=0.1, others_taken=True):
    return limit.connection_lost(unacknowledged, since_s, SIZES.__getitem__, others_taken=others_taken)


def test_a_message_alone_at_three_ends_is_to_blame_and_its_size_is_the_limit():
    limit = PacketLimit()
    assert [lost(limit, 1) for _ in range(3)] == [None, None, 1]
    assert limit.bytes == 4999
    assert not limit.suspects(1)


def test_of_several_messages_each_is_suspected_and_sent_alone_from_then_on():
    limit = PacketLimit()
    assert lost(limit, 1, 2) is None
    assert (limit.suspects(1), limit.suspects(2), limit.suspects(3)) == (True, True, False)
    limit.taken(2, SIZES[2])
    assert not limit.suspects(2)
    # Being one of several was no proof: three ends alone are still needed.
    assert [lost(limit, 1) for _ in range(3)] == [None, None, 1]


@pytest.mark.parametrize("circumstance", [{"since_s": 5.0}, {"others_taken": False}])
def test_an_end_that_may_have_another_cause_proves_nothing(circumstance):
    limit = PacketLimit()
    assert [lost(limit, 1, **circumstance) for _ in range(9)] == [None] * 9
    assert limit.suspects(1)
    assert limit.bytes is None


def test_a_small_message_is_blamed_for_its_topic_and_not_for_its_size():
    limit = PacketLimit()
    assert [lost(limit, 2) for _ in range(3)][-1] == 2
    assert limit.bytes is None


def test_no_limit_is_below_what_was_taken():
    limit = PacketLimit()
    limit.taken("other", 6000)
    limit.blame(1, SIZES[1])
    assert limit.bytes is None
    limit.blame("home/hall/config", SIZES["home/hall/config"])
    assert limit.bytes == 8999
    limit.blame("larger", 20_000)
    assert limit.bytes == 8999


def test_the_limit_that_the_broker_gives_is_kept_if_a_later_connection_gives_none():
    limit = PacketLimit()
    limit.told(3000)
    limit.told(None)
    assert limit.bytes == 3000


def test_a_refused_event_is_due_again_after_a_delay_below_a_bound_that_doubles():
    clock = Clock()
    refusals = Refusals(1.0, clock)
    for bound_s in (1, 2, 4, 8):
        assert refusals.add(7, "Not authorized")
        assert 0 <= refusals.wait_s() <= bound_s
        clock.now_s += bound_s
        assert refusals.pop_due() == [7]
        assert refusals.pop_due() == []
    assert not refusals.add(7, "Not authorized")
    assert refusals.wait_s() is None


def test_reasons_that_may_pass_get_more_tries():
    refusals = Refusals(1.0, Clock())
    assert [refusals.add(1, "Quota exceeded") for _ in range(20)] == [True] * 19 + [False]


def test_events_that_are_due_come_in_order_and_once():
    clock = Clock()
    refusals = Refusals(1.0, clock)
    for sequence in (5, 3, 4):
        refusals.add(sequence, "Not authorized")
    refusals.taken(4)
    clock.now_s += 1
    assert refusals.pop_due() == [3, 5]


def test_on_a_new_connection_no_delay_is_left_but_tries_count_on():
    refusals = Refusals(1.0, Clock())
    for _ in range(4):
        assert refusals.add(1, "Not authorized")
    refusals.retry_all()
    assert refusals.wait_s() is None
    assert not refusals.add(1, "Not authorized")
    # Counting starts again once it was taken or given up.
    assert refusals.add(1, "Not authorized")
