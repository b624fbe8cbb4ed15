"""Labels of recordings and of moments come together: by event, by day, and without a contradiction."""

import msgspec
import numpy as np
import pytest
from support.moments import facts_of
from support.recordings import encode, event, files_of, recording, watch

from edgehar.errors import ConfigError
from edgehar.teaching.clips import combined, read_inbox
from edgehar.teaching.inbox import Inbox
from edgehar.teaching.labels import Label, write_label

FEATURES = np.arange(48, dtype=np.int8).reshape(6, 8)


@pytest.fixture
def recorded(tmp_path):
    """A real recording of an event, and an inbox that kept the same event and another moment."""
    folder, start = tmp_path / "clips", event("start", 2.0)
    with recording(folder) as (_, camera):
        watch(camera, encode(tmp_path / "camera.mp4", 200), ((2.0, start), (3.0, event("end", 2.0, 3.0))))
        camera.finish()
    (clip,) = files_of(folder, ".mp4")
    inbox = Inbox(tmp_path / "inbox")
    kept = inbox.add(facts_of(0, event=start.id), FEATURES)
    other = inbox.add(facts_of(30), FEATURES + np.int8(1))
    write_label(other.base, Label("dark"))
    write_label(clip.with_suffix(""), Label("bright"))
    return clip, folder, inbox, kept


def test_a_labeled_recording_is_the_time_of_its_event(recorded):
    clip, folder, _, _ = recorded
    (found,) = read_inbox(folder).clips
    assert (found.path, found.label, found.group) == (clip, "bright", "hall/2026-11-21")
    begin_s, end_s = found.span_s
    # The event is from 2 to 3 s; its first window reaches back before it.
    assert begin_s < end_s
    assert end_s - begin_s <= 3.0 + 1e-6


def test_it_is_taught_by_the_features_that_the_inbox_kept(recorded):
    _, folder, inbox, kept = recorded
    found = {clip.label: clip for clip in combined([read_inbox(inbox.folder), read_inbox(folder)]).clips}
    assert found["bright"].item == kept
    assert found["dark"].item is not None


def test_two_labels_of_one_event_contradict(recorded):
    _, folder, inbox, kept = recorded
    write_label(kept.base, Label("ordinary"))
    with pytest.raises(ConfigError, match="contradicting labels"):
        combined([read_inbox(inbox.folder), read_inbox(folder)])


def test_a_label_whose_clip_is_gone_is_skipped_by_name(recorded):
    clip, folder, _, _ = recorded
    clip.unlink()
    with pytest.raises(ConfigError, match="the clip is gone"):
        read_inbox(folder)


def test_days_are_groups_and_hours_if_there_is_one_day(tmp_path):
    inbox = Inbox(tmp_path / "inbox")
    for number in (0, 1, 30):
        write_label(inbox.add(facts_of(number), FEATURES + np.int8(number)).base, Label("dark"))
    found = read_inbox(inbox.folder)
    assert found.held_out == "days held out"
    assert len({clip.group for clip in found.clips}) == 2
    inbox.items()[-1].remove()
    found = read_inbox(inbox.folder)
    assert found.held_out == "hours held out"
    assert len({clip.group for clip in found.clips}) == 2


def test_a_sidecar_without_events_gives_the_whole_clip(recorded):
    """A tool of someone else may write one, or a recovery may lose them."""
    clip, folder, _, _ = recorded
    sidecar = clip.with_suffix(".json")
    document = msgspec.json.decode(sidecar.read_bytes())
    sidecar.write_bytes(msgspec.json.encode(document | {"events": []}))
    (found,) = read_inbox(folder).clips
    assert (found.path, found.span_s, found.group) == (clip, None, str(clip.parent))
