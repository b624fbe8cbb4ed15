"""Long recordings with events: what becomes a clip of its own, and what is left out."""

import numpy as np
import pytest
from support.helpers import write_video

from edgehar.errors import DatasetError
from edgehar_training.data.datasets import Clip
from edgehar_training.data.datasets.recordings import load_recordings


def recording(path, length_s=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (np.zeros((16, 16, 3), np.uint8) for _ in range(length_s * 5)), rate_hz=5)
    return path


@pytest.fixture
def folder(tmp_path):
    recording(tmp_path / "fight" / "a.mp4")
    recording(tmp_path / "ordinary" / "b.mp4")
    (tmp_path / "groups.csv").write_text("clip,group\nfight/a.mp4,gate\n")
    return tmp_path


def events(folder, *rows):
    (folder / "events.csv").write_text("clip,label,start_s,end_s\n" + "\n".join(rows) + "\n")


def test_events_and_what_is_around_them_are_clips(folder):
    events(folder, "fight/a.mp4,fight,12,14", "fight/a.mp4,fight,4.5,8")
    path, other = str(folder / "fight/a.mp4"), str(folder / "ordinary/b.mp4")
    assert load_recordings(folder) == [
        Clip(path, "outside", "gate", None, 4.3),
        Clip(path, "fight", "gate", 4.5, 8.0),
        Clip(path, "outside", "gate", 8.2, 11.8),
        Clip(path, "fight", "gate", 12.0, 14.0),
        Clip(path, "outside", "gate", 14.2, None),
        Clip(other, "ordinary", "ordinary/b.mp4"),
    ]


def test_an_open_end_leaves_nothing_behind_it(folder):
    events(folder, "fight/a.mp4,fight,0,")
    assert load_recordings(folder)[0] == Clip(str(folder / "fight/a.mp4"), "fight", "gate")
    assert len(load_recordings(folder)) == 2


def test_a_stretch_too_short_for_a_window_is_left_out(folder):
    events(folder, "fight/a.mp4,fight,2.6,18")
    assert [(clip.label, clip.start_s, clip.end_s) for clip in load_recordings(folder)[:-1]] == [("fight", 2.6, 18.0)]


def test_overlapping_events_leave_no_ordinary_time_between_them(folder):
    events(folder, "fight/a.mp4,fight,1,15", "fight/a.mp4,fight,3,5")
    assert [clip.label for clip in load_recordings(folder)] == ["fight", "fight", "outside", "ordinary"]
    assert load_recordings(folder)[2].start_s == 15.2


def test_a_short_event_is_widened_to_the_windows_that_hold_it(folder):
    events(folder, "fight/a.mp4,fall,10,11", "fight/a.mp4,fall,0.5,1")
    clips = [clip for clip in load_recordings(folder, window_s=2) if clip.label == "fall"]
    assert [(clip.start_s, clip.end_s) for clip in clips] == [(None, 2.5), (9.0, 12.0)]


def test_another_table_takes_the_place_of_the_folders_own(folder, tmp_path):
    events(folder, "nonsense")
    table = tmp_path / "moments.csv"
    table.write_text("clip,label,start_s,end_s\nordinary/b.mp4,fall,5,9\n")
    labels = [clip.label for clip in load_recordings(folder, events=table)]
    assert labels == ["fight", "outside", "fall", "outside"]
    with pytest.raises(DatasetError, match="cannot be read"):
        load_recordings(folder, events=tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("fight/c.mp4,fight,1,2", "names 'fight/c.mp4'"),
        ("fight/a.mp4,fight,5,4", "line 2: an event needs"),
        ("fight/a.mp4,fight,-1,4", "line 2: an event needs"),
        ("fight/a.mp4,fight,soon,4", "line 2: an event needs"),
        ("fight/a.mp4,fight,nan,4", "line 2: an event needs"),
        ("fight/a.mp4,,1,4", "line 2: an event needs"),
    ],
)
def test_a_table_that_does_not_fit_is_explained(folder, row, message):
    events(folder, row)
    with pytest.raises(DatasetError, match=message):
        load_recordings(folder)


def test_a_table_with_another_header_is_explained(folder):
    (folder / "events.csv").write_text("clip,from,to\n")
    with pytest.raises(DatasetError, match="header must be clip,label,start_s,end_s"):
        load_recordings(folder)
