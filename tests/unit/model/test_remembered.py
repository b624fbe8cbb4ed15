"""The file of remembered training windows: what is written is read back, and whatever is damaged is an error."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar import BundleError
from edgehar.model.manifest import Affine
from edgehar.model.remembered import (
    MOST_BYTES,
    MOST_WINDOWS,
    MOST_WRITTEN_BYTES,
    RememberedWindows,
    codes_of,
    parse,
    windows_a_label,
)

SEAM = Affine(0.02, -128)
HEAD = "ab" * 32


def some(windows=(3, 0, 2), columns=6):
    rng = np.random.default_rng(1)
    count = sum(windows)
    logits = rng.normal(0, 3, (count, len(windows))).astype(np.float32)
    codes = rng.integers(-128, 128, (count, columns)).astype(np.int8)
    labels = tuple(f"label {number}" for number in range(len(windows)))
    return RememberedWindows(HEAD, labels, np.repeat(np.arange(len(windows)), windows), logits, codes)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=5).filter(any), st.integers(1, 4))
def test_what_is_written_is_read_back(windows, features):
    written = some(windows, 3 * features)
    read = parse(written.pack(), "tiny")
    assert (read.head, read.labels) == (written.head, written.labels)
    for name in ("truth", "logits", "codes"):
        assert np.array_equal(getattr(read, name), getattr(written, name))


def test_statistics_keep_the_precision_of_the_features():
    rng = np.random.default_rng(2)
    features = (rng.integers(-128, 128, (5, 20, 4)) + 128.0) * SEAM.scale
    pooled = np.concatenate([features.mean(axis=1), features.max(axis=1), features.std(axis=1)], axis=1)
    kept = RememberedWindows(HEAD, ("a", "b"), np.zeros(5, int), np.zeros((5, 2)), codes_of(pooled, SEAM))
    found = kept.pooled(SEAM)
    assert np.abs(found - pooled).max() <= SEAM.scale / 2 + 1e-6
    assert np.allclose(found[:, 4:8], pooled[:, 4:8])


def header(**changes):
    fields = {"head": HEAD, "labels": ["a", "b"], "windows": {"a": 1, "b": 1}, "columns": 3} | changes
    return msgspec.json.encode(fields) + b"\n"


BODY = np.zeros(4, "<f4").tobytes() + bytes(6)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"not json\n" + BODY,
        b"\xff\xfe\n" + BODY,
        header() + BODY[:-1],
        header() + BODY + b"0",
        header(more=1) + BODY,
        header(head="short") + BODY,
        header(labels=["a", "a"]) + BODY,
        header(windows={"a": 1, "c": 1}) + BODY,
        header(windows={"b": 1, "a": 1}) + BODY,
        header(windows={}),
        header(windows={"a": 2, "b": -1}) + BODY,
        header(windows={"a": 100_000}, columns=1_000_000) + BODY,
        header(columns=4) + np.zeros(4, "<f4").tobytes() + bytes(8),
        header() + np.array([0, np.nan, 0, 0], "<f4").tobytes() + bytes(6),
        b"[" * 100_000,
    ],
)
def test_what_is_damaged_is_refused(content):
    with pytest.raises(BundleError, match=r"^tiny: is damaged: .*; convert the model again$"):
        parse(content, "tiny")


def test_a_sound_file_is_not_refused():
    assert parse(header() + BODY, "tiny").truth.tolist() == [0, 1]


def test_what_is_too_large_is_refused():
    with pytest.raises(BundleError, match="bytes, but 2,000,000 are allowed"):
        parse(bytes(MOST_BYTES + 1), "tiny")


@pytest.mark.parametrize(("labels", "actions", "columns"), [(2, 1, 9216), (7, 6, 4608), (2, 1, 24), (101, 100, 9216)])
def test_the_file_stays_small(labels, actions, columns):
    most = windows_a_label(labels, actions, columns)
    assert most <= MOST_WINDOWS
    assert most * actions * (columns + 4 * labels) <= MOST_WRITTEN_BYTES
