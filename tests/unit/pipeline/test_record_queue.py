"""What a sink's queue drops while the sink is stuck: never an event before a prediction."""

import pytest
from support.answers import answer

from edgehar.capture.mailbox import Closed
from edgehar.pipeline.record_queue import RecordQueue
from edgehar.records import Event, Status, StreamState


def event(number, phase="start"):
    return Event(
        phase=phase, id=str(number), revision=0, time="", source="hall", model="m", label="fight", peak_score=1.0,
        start_s=0.0,
    )  # fmt: skip


def status():
    return Status(time="", source="hall", state=StreamState.RUNNING, frames=0, predictions=0, dropped=0, fps=0.0)


def full(capacity=4, **options):
    queue = RecordQueue(capacity, **options)
    queue.drop_when_full()
    return queue


def test_predictions_and_statuses_go_before_events():
    queue = full()
    records = [answer(), event(0), status(), event(1), *(answer() for _ in range(20)), event(2)]
    queue.put_all(records)
    left = queue.take_all()
    assert [record.id for record in left if isinstance(record, Event)] == ["0", "1", "2"]
    assert len(left) == 4
    assert left[2] is records[-2]
    assert (queue.dropped, queue.dropped_events) == (len(records) - 4, 0)


def test_events_wait_beyond_the_capacity_in_order():
    queue = full(most_events=50)
    queue.put_all([*(event(number) for number in range(40)), answer()])
    # The prediction was dropped, and nothing else.
    assert [record.id for record in queue.take_all()] == [str(number) for number in range(40)]
    assert (queue.dropped, queue.dropped_events) == (1, 0)


def test_of_far_too_many_events_updates_go_first_and_all_are_counted():
    queue = full(most_events=6)
    queue.put_all([event(0), event(0, "update"), event(0, "end"), *(event(number) for number in range(1, 5))])
    assert queue.dropped == queue.dropped_events == 1
    queue.put(event(5))
    assert queue.dropped == queue.dropped_events == 2
    assert [(record.id, record.phase) for record in queue.take_all()][:2] == [("0", "end"), ("1", "start")]


def test_a_file_waits_for_room_and_nothing_is_dropped():
    queue = RecordQueue(2)
    assert queue.put(answer())
    assert queue.put(answer())
    assert not queue.put(answer(), 0.0)
    assert queue.dropped == 0


def test_a_closed_queue_takes_nothing():
    queue = full()
    queue.close()
    with pytest.raises(Closed):
        queue.put(event(0))
