"""The inbox on disk: what is added is read back, a bound is kept, and damage costs one moment."""

import errno
import stat

import numpy as np
import pytest
from support.moments import facts_of

from edgehar.errors import ConfigError, SourceError
from edgehar.teaching.inbox import Inbox
from edgehar.teaching.labels import Label, write_label

FEATURES = np.arange(48, dtype=np.int8).reshape(6, 8)


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path / "inbox")


def test_a_moment_is_read_back(inbox):
    added = inbox.add(facts_of(event="e1"), FEATURES)
    (item,) = inbox.items()
    assert item == added
    assert item.facts.event == "e1"
    assert item.clip is None
    assert not item.labeled
    np.testing.assert_array_equal(item.features(), FEATURES)
    assert inbox.find(item.id) == item


def test_only_the_user_can_read_it(inbox):
    item = inbox.add(facts_of(), FEATURES)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in item.base.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(item.base.parent.stat().st_mode) == 0o700


def test_moments_of_one_time_do_not_replace_each_other(inbox):
    for number in range(3):
        inbox.add(facts_of(), FEATURES + np.int8(number))
    assert sorted(int(item.features()[0, 0]) for item in inbox.items()) == [0, 1, 2]


def test_a_clip_comes_along_and_goes_along(inbox, tmp_path):
    clip = tmp_path / "part.mp4"
    clip.write_bytes(b"video")
    item = inbox.add(facts_of(), FEATURES, clip)
    assert item.clip.read_bytes() == b"video"
    assert not clip.exists()
    write_label(item.base, Label("bright"))
    assert item.size > 5
    item.remove()
    assert list(item.base.parent.iterdir()) == []


def test_events_wait_first(inbox):
    inbox.add(facts_of(0, why="random"), FEATURES)
    inbox.add(facts_of(1, why="event"), FEATURES)
    labeled = inbox.add(facts_of(2, why="event"), FEATURES)
    write_label(labeled.base, Label("bright"))
    assert [item.facts.why for item in inbox.unlabeled()] == ["event", "random"]


def test_the_bound_takes_the_oldest_and_labeled_ones_last(inbox):
    items = [inbox.add(facts_of(number), FEATURES) for number in range(6)]
    write_label(items[0].base, Label("dark"))
    size = max(item.size for item in inbox.items())
    gone, left = inbox.make_room(3 * size)
    assert gone == 3
    assert left == sum(item.size for item in inbox.items()) <= 3 * size
    assert [item.facts.time[11:13] for item in inbox.items()] == ["00", "04", "05"]
    assert inbox.make_room(10**9) == (0, left)


def test_what_a_kill_left_is_swept(inbox):
    item = inbox.add(facts_of(), FEATURES)
    folder = item.base.parent
    (folder / "20261130T000000000-event.npy").write_bytes(b"half")
    (folder / ".x.json.tmp").write_bytes(b"half")
    (inbox.folder / ".clip.tmp").write_bytes(b"half")
    inbox.sweep()
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".npy"]
    assert list(inbox.folder.iterdir()) == [folder]
    assert inbox.items() == [item]


@pytest.mark.parametrize("name", ["holiday.mp4", "videos/holiday.mp4", "data/table.npy", "notes.tmp"])
def test_files_of_others_are_not_swept(inbox, name):
    path = inbox.folder / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    inbox.sweep()
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("call", range(1, 5))
def test_a_full_disk_leaves_nothing_behind(inbox, monkeypatch, call):
    calls = []

    def fill_up(*_):
        calls.append(1)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edgehar.teaching.inbox.os.fsync", fill_up)
    added = 0
    for number in range(3):
        try:
            inbox.add(facts_of(number), FEATURES)
        except OSError:
            continue
        added += 1
    assert added == 2
    assert len(inbox.items()) == 2
    assert len(list(inbox.folder.glob("*/*"))) == 4


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'{"source": 3}'])
def test_damaged_facts_cost_their_moment(inbox, content):
    inbox.add(facts_of(0), FEATURES)
    item = inbox.add(facts_of(1), FEATURES)
    item.base.with_name(f"{item.base.name}.json").write_bytes(content)
    assert len(inbox.items()) == 1
    assert len(inbox.damaged) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damaged_features_are_named(inbox, damage):
    item = inbox.add(facts_of(), FEATURES)
    path = item.base.with_name(f"{item.base.name}.npy")
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-7])
    else:
        content[-1] ^= 1
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"npy: (damaged|cannot)"):
        item.features()


def test_an_unknown_moment_is_said(inbox):
    with pytest.raises(ConfigError, match=r"no moment 'x'.*--list"):
        inbox.find("x")
