"""Moments are cut from answers: complete, in order, without a gap, and never at the price of a run."""

import errno
import random

import numpy as np
import pytest
from support.moments import HEAD, HOP, RATE_HZ, answer_at, frame_features, manifest_of

from edgehar.records import Event
from edgehar.teaching.inbox import Inbox
from edgehar.teaching.inbox_sink import InboxSink, WatchedCamera
from edgehar.teaching.options import InboxOptions


def make_sink(folder, *, per_hour=3600.0, seconds=1.0, threshold=0.5, chance_seed=0, **options):
    return InboxSink(
        Inbox(folder),
        InboxOptions(enabled=True, per_hour=per_hour, seconds=seconds, **options),
        {"hall": WatchedCamera(HOP, lambda: {"bright": threshold})},
        {HEAD: manifest_of()},
        chance=random.Random(chance_seed),
    )


@pytest.fixture
def without_chance(monkeypatch):
    monkeypatch.setattr("edgehar.teaching.inbox_sink.Chance.picks", lambda *_: False)


def event_at(number):
    return Event("start", f"id-{number}", 0, "t", "hall", "tiny", "bright", 0.9, answer_at(number).window.end_s)


def moments(folder, why):
    return [item for item in Inbox(folder).items() if item.facts.why == why]


@pytest.mark.usefixtures("without_chance")
def test_an_event_is_kept_with_the_frames_around_it(tmp_path):
    sink = make_sink(tmp_path)
    for number in range(30):
        sink.write(answer_at(number, 0.9 if number >= 15 else 0.1))
        if number == 15:
            sink.write(event_at(15))
    sink.close()
    (item,) = moments(tmp_path, "event")
    facts, features = item.facts, item.features()
    assert (facts.event, facts.answer, facts.source, facts.model) == ("id-15", "bright", "hall", "tiny")
    assert facts.end_s - facts.start_s <= 1.0 + 2 * HOP / RATE_HZ
    assert facts.start_s < answer_at(15).window.end_s < facts.end_s
    first = round(facts.start_s * RATE_HZ)
    expected = np.stack([frame_features(first + i) for i in range(facts.frames)])
    np.testing.assert_array_equal(features, expected)
    assert facts.frames == round((facts.end_s - facts.start_s) * RATE_HZ) + 1


@pytest.mark.usefixtures("without_chance")
def test_unsure_answers_are_kept_at_the_rate(tmp_path):
    sink = make_sink(tmp_path, per_hour=360)
    for number in range(100):
        sink.write(answer_at(number, 0.55))
    sink.close()
    # 20 s of video, one every 10 s.
    assert len(moments(tmp_path, "unsure")) == 2


def test_random_moments_are_kept(tmp_path):
    sink = make_sink(tmp_path, per_hour=360, threshold=0.99)
    for number in range(1000):
        sink.write(answer_at(number, 0.1))
    sink.close()
    # 200 s at 360 an hour: 20 with a standard deviation of 4.5.
    assert 6 <= len(moments(tmp_path, "random")) <= 36


@pytest.mark.usefixtures("without_chance")
def test_no_moment_spans_a_gap(tmp_path):
    sink = make_sink(tmp_path, seconds=4.0)
    for number in range(10):
        sink.write(answer_at(number, 0.1))
    sink.write(event_at(9))
    for number in range(40, 50):
        sink.write(answer_at(number, 0.1))
    sink.close()
    (item,) = moments(tmp_path, "event")
    assert item.facts.end_s == pytest.approx(answer_at(9).window.end_s)


@pytest.mark.usefixtures("without_chance")
def test_an_answer_that_was_dropped_on_the_way_ends_a_moment(tmp_path):
    sink = make_sink(tmp_path, seconds=4.0)
    for number in range(20):
        if number != 12:
            sink.write(answer_at(number, 0.1))
        if number == 10:
            sink.write(event_at(10))
    sink.close()
    (item,) = moments(tmp_path, "event")
    assert item.facts.end_s == pytest.approx(answer_at(11).window.end_s)


@pytest.mark.usefixtures("without_chance")
def test_a_full_disk_costs_moments_only_and_is_said_once(tmp_path, monkeypatch, caplog):
    sink = make_sink(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("edgehar.teaching.inbox.os.fsync", full)
        for number in range(60):
            sink.write(answer_at(number, 0.55))
    for number in range(60, 120):
        sink.write(answer_at(number, 0.55))
    sink.close()
    assert sink.dropped > 0
    assert sink.kept == len(Inbox(tmp_path).items()) > 0
    assert caplog.text.count("moments are lost") == 1


@pytest.mark.usefixtures("without_chance")
def test_the_bound_holds(tmp_path):
    sink = make_sink(tmp_path, max_mb=1.0)
    inbox = sink._inbox
    for number in range(3000):
        sink.write(answer_at(number, 0.55))
    sink.close()
    assert sum(item.size for item in inbox.items()) <= 1e6


class LargeClips:
    """Clips of half the inbox's bound."""

    def __init__(self, size):
        self.size = size

    def cut(self, folder, start_s, end_s):
        folder.mkdir(exist_ok=True)
        clip = folder / f".{start_s}.mp4.tmp"
        clip.write_bytes(bytes(self.size))
        return clip, 0.0


@pytest.mark.usefixtures("without_chance")
@pytest.mark.parametrize(("clip_bytes", "kept"), [(400_000, True), (1_200_000, False)])
def test_the_bound_holds_for_large_clips(tmp_path, clip_bytes, kept, caplog):
    sink = make_sink(tmp_path, max_mb=1.0)
    sink._watched["hall"] = WatchedCamera(HOP, lambda: {"bright": 0.5}, LargeClips(clip_bytes))
    for number in range(200):
        sink.write(answer_at(number, 0.55))
        assert sum(item.size for item in sink._inbox.items()) <= 1e6
    sink.close()
    assert (len(sink._inbox.items()) > 0) == kept
    assert ("is over max_mb" in caplog.text) == (not kept)
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.usefixtures("without_chance")
def test_the_first_moment_of_a_run_has_its_clip(tmp_path, caplog):
    left = tmp_path / ".left.tmp"
    left.write_bytes(b"of a run that was killed")
    sink = make_sink(tmp_path)
    sink._watched["hall"] = WatchedCamera(HOP, lambda: {"bright": 0.5}, LargeClips(100))
    sink.write(answer_at(0, 0.9))
    sink.write(event_at(0))
    sink.close()
    (item,) = moments(tmp_path, "event")
    assert item.clip.stat().st_size == 100
    assert "cannot be written" not in caplog.text
    assert not left.exists()


def test_nothing_is_kept_without_features(tmp_path):
    sink = make_sink(tmp_path)
    plain = answer_at(0)
    plain.__dict__.clear()
    sink.write(plain)
    sink.close()
    assert not list(tmp_path.iterdir())
