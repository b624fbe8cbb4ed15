"""Records in Python: as dicts, as JSON and back, and in a debugger."""

import msgspec
import numpy as np
import pytest
from support.brokers import event, prediction

from edgehar.records import Event, Prediction, Record, Status, StreamState

STATUS = Status("2026-11-21T05:40:00.123Z", "camera:0", StreamState.RUNNING, 10, 3, 2, 25.0)
RECORDS = [prediction(42), event(7), STATUS]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_json_and_its_dict_is_the_json_object(record):
    text = msgspec.json.encode(record)
    assert msgspec.json.decode(text, type=Record) == record
    assert record.to_dict() == msgspec.json.decode(text)
    assert record.to_dict()["type"] == type(record).__name__.lower()


def test_a_prediction_decoded_from_json_can_be_decided():
    decoded = msgspec.json.decode(msgspec.json.encode(prediction(1)), type=Prediction)
    decided = decoded.decided("dark", 0.7, {"dark": 0.7, "bright": 0.3})
    assert (decided.label, decided.score, decided.raw) == ("dark", 0.7, None)
    assert decoded.label == "bright"


def test_raw_is_carried_along_and_changes_no_other_object():
    plain, raw = prediction(1), np.array([1, -2], np.int8)
    carrying = plain.with_raw(raw)
    assert plain.raw is None
    assert carrying.raw is raw
    assert carrying.decided("dark", 0.7, carrying.scores).raw is raw
    assert carrying == plain
    assert b"raw" not in msgspec.json.encode(carrying)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_short_in_a_debugger(record):
    assert len(repr(record)) < 120
    assert "camera:0" in repr(record)


def test_what_the_short_forms_show():
    assert repr(prediction(42)) == "<Prediction 42 of 'camera:0': bright 0.90, 1.00-1.50 s>"
    assert repr(event(7)) == "<Event start of bright at 'camera:0', from 1.50 s, 000007:0>"
    ended = msgspec.structs.replace(event(7), phase="end", end_s=2.0)
    assert repr(ended) == "<Event end of bright at 'camera:0', from 1.50 s to 2.00 s, 000007:0>"
    assert repr(STATUS) == "<Status of 'camera:0': running, 10 frames, 3 predictions, 2 dropped, 25.0 fps>"
    assert isinstance(ended, Event)
