"""The history on disk: what is written comes back, and damage costs its own block only."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehar.teaching.score_log import (
    SUFFIX,
    Block,
    BlockBuilder,
    Scan,
    day_file,
    day_files,
    folder_name,
    prune,
    read_blocks,
)


def block(seed=0, answers=20, labels=("fight", "noFight"), started_ms=1_700_000_000_000):
    rng = np.random.default_rng(seed)
    return Block(
        "fight",
        "0123abcd",
        tuple(labels),
        1 / 256,
        -128,
        started_ms,
        np.concatenate([[0], rng.integers(0, 65_536, answers - 1)]).astype(np.uint16),
        rng.integers(-128, 128, (answers, len(labels))).astype(np.int8),
    )


def same(first, second):
    facts = [
        (one.model, one.head, one.labels, one.scale, one.zero_point, one.started_ms, one.steps_ms.tolist())
        for one in (first, second)
    ]
    return facts[0] == facts[1] and np.array_equal(first.codes, second.codes)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 6)), max_size=5))
def test_blocks_come_back(tmp_path_factory, kinds):
    path = tmp_path_factory.mktemp("history") / "a.scores"
    blocks = [block(seed, answers, [f"l{n}" for n in range(labels)]) for seed, answers, labels in kinds]
    path.write_bytes(b"".join(one.encode() for one in blocks))
    scan = Scan()
    found = list(read_blocks(path, scan))
    assert len(found) == len(blocks)
    assert all(map(same, found, blocks))
    assert scan.damaged == 0


@settings(max_examples=100)
@given(st.data())
def test_one_damaged_bit_costs_at_most_its_block(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("history") / "a.scores"
    blocks = [block(seed) for seed in range(3)]
    content = bytearray(b"".join(one.encode() for one in blocks))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))
    scan = Scan()
    found = list(read_blocks(path, scan))
    assert len(found) == 2
    assert scan.damaged == 1
    assert all(any(same(one, other) for other in blocks) for one in found)


@settings(max_examples=50)
@given(st.data())
def test_a_file_cut_anywhere_gives_its_whole_blocks_and_can_be_gone_on_with(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("history") / "a.scores"
    blocks = [block(seed) for seed in range(3)]
    content = b"".join(one.encode() for one in blocks)
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut] + block(9).encode())
    sizes = np.cumsum([len(one.encode()) for one in blocks])
    found = list(read_blocks(path))
    whole = int((sizes <= cut).sum())
    assert len(found) == whole + 1
    assert same(found[-1], block(9))


def test_a_month_at_five_answers_in_two_seconds_takes_a_few_megabytes():
    rng = np.random.default_rng(0)
    walk = np.clip(np.cumsum(rng.normal(0, 4, 256)), -128, 127).astype(np.int8)
    codes = np.stack([walk, -1 - walk], axis=1)
    steps = np.array([0] + [400] * 255, np.uint16)
    size = len(Block("fight", "0123abcd", ("fight", "noFight"), 1 / 256, -128, 0, steps, codes).encode())
    a_month = 30 * 86_400 / 0.4 / 256 * size
    assert a_month < 16e6


def builder(**options):
    return BlockBuilder("m", "0123abcd", ("a", "b"), 1 / 256, -128, **options)


def test_times_do_not_drift_by_rounding():
    one = builder(answers=1000)
    for number in range(1000):
        at_s = number / 3
        assert one.fits(at_s, round(at_s * 1e3))
        one.add(at_s, round(at_s * 1e3), np.zeros(2, np.int8))
    assert one.take().seconds == pytest.approx(999 / 3, abs=0.002)


@pytest.mark.parametrize(("captured_s", "unix_ms"), [(0.5, 900), (1.4, 91_400), (1.4, -5_000), (70.0, 70_000)])
def test_uneven_time_begins_a_new_block(captured_s, unix_ms):
    one = builder()
    one.add(1.0, 1_000, np.zeros(2, np.int8))
    assert one.fits(1.4, 1_400)
    assert not one.fits(captured_s, unix_ms)


def test_a_full_block_takes_no_more():
    one = builder(answers=1)
    one.add(1.0, 1_000, np.zeros(2, np.int8))
    assert not one.fits(1.4, 1_400)
    assert len(one.take().codes) == 1
    assert one.take() is None


@given(st.lists(st.text(min_size=1), min_size=2, max_size=10, unique=True))
def test_folder_names_are_safe_and_differ(sources):
    names = [folder_name(source) for source in sources]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and "/" not in name and not name.startswith(".") for name in names)


def days(folder, *names, size=100):
    for name in names:
        (folder / f"{name}{SUFFIX}").write_bytes(bytes(size))


def test_old_days_go_and_the_newest_stays(tmp_path):
    days(tmp_path, "2026-01-01", "2026-02-01", "2026-02-02")
    assert prune(tmp_path, keep_days=10, max_bytes=1000, today=datetime.date(2026, 2, 5)) == 1
    assert [path.stem for path in day_files(tmp_path)] == ["2026-02-01", "2026-02-02"]
    assert prune(tmp_path, keep_days=1, max_bytes=0, today=datetime.date(2027, 2, 5)) == 1
    assert [path.stem for path in day_files(tmp_path)] == ["2026-02-02"]


def test_beyond_the_size_the_oldest_go(tmp_path):
    days(tmp_path, "2026-01-01", "2026-01-02", "2026-01-03")
    prune(tmp_path, keep_days=1000, max_bytes=250, today=datetime.date(2026, 1, 4))
    assert [path.stem for path in day_files(tmp_path)] == ["2026-01-02", "2026-01-03"]


def test_a_day_is_that_of_utc(tmp_path):
    moment = datetime.datetime(2026, 3, 29, 23, 59, 59, tzinfo=datetime.UTC)
    assert day_file(tmp_path, round(moment.timestamp() * 1e3)).name == "2026-03-29.scores"
