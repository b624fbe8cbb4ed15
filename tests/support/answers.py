"""Answers of a model, for the tests of who counts them."""

import msgspec

from edgehar.records import TimingMs
from support.predictions import make_prediction


def answer(label="fight", age_ms=10.0, encode_ms=1.0):
    """An answer whose network took `encode_ms` + 0.5 ms."""
    prediction = make_prediction({label: 0.9, "rest": 0.1}, 1.0)
    return msgspec.structs.replace(prediction, frame_age_ms=age_ms, timing_ms=TimingMs(5.0, encode_ms, 0.5))
