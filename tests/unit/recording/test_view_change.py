"""Masks that change during a recording: no later clip shows what is hidden now, and none is lost."""

import av
import numpy as np
import pytest
from support.recordings import RATE_HZ, encode, event, files_of, recording, sidecars_of

from edgehar.masks import View
from edgehar.sources import open_source

LEFT = View(masks=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))
RIGHT = View(masks=(((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)),))
CHANGE = 50


def play(camera, source, views, happenings):
    """Play a file into a camera's recording; `views` and `happenings` are by the number of a frame."""
    with open_source(str(source)) as frames:
        frames.tap = camera
        for number, frame in enumerate(frames):
            if number in views:
                camera.use_view(views[number])
            camera.take(frame, live=False)
            if number in happenings:
                camera.records([happenings[number]])


def halves(path):
    """The highest gray level of the left and right half of each frame, away from the edge."""
    with av.open(str(path)) as file:
        grays = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    return np.array([[gray[:, :40].max(), gray[:, 56:].max()] for gray in grays])


@pytest.fixture
def source(tmp_path):
    return encode(tmp_path / "source.mp4", 100, gop=10)


@pytest.mark.parametrize("before", [View(), RIGHT], ids=["copied", "encoded"])
def test_a_clip_that_begins_later_shows_nothing_from_before(tmp_path, source, before):
    start, end = (CHANGE + 5) / RATE_HZ, (CHANGE + 20) / RATE_HZ
    with recording(tmp_path / "rec", before) as (_, camera):
        happenings = {CHANGE + 5: event("start", start), CHANGE + 20: event("end", start, end)}
        play(camera, source, {CHANGE: LEFT}, happenings)
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    found = halves(clip)
    assert len(found) > 20
    assert found[:, 0].max() < 25
    assert found[:, 1].min() > 25
    (sidecar,) = sidecars_of(tmp_path / "rec")
    assert sidecar["masked"] is True


def test_a_mask_that_comes_while_the_camera_is_opened_is_not_missed(tmp_path, source):
    """The reading thread has chosen to copy when the mask comes, and has not said so yet."""
    start, end = (CHANGE + 5) / RATE_HZ, (CHANGE + 20) / RATE_HZ
    with recording(tmp_path / "rec", View()) as (_, camera):
        begin = camera.ring.begin

        def late(stream, **options):
            camera.ring.begin, feed = begin, begin(stream, **options)
            camera.use_view(LEFT)
            return feed

        camera.ring.begin = late
        play(camera, source, {}, {CHANGE + 5: event("start", start), CHANGE + 20: event("end", start, end)})
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    assert halves(clip)[:, 0].max() < 25


def test_a_clip_that_goes_on_is_continued_with_the_mask(tmp_path, source):
    start, end = 1.2, (CHANGE + 1) / RATE_HZ
    with recording(tmp_path / "rec", View()) as (_, camera):
        happenings = {30: event("start", start), CHANGE + 1: event("end", start, end)}
        play(camera, source, {CHANGE: LEFT}, happenings)
    first, second = (halves(clip) for clip in files_of(tmp_path / "rec", ".mp4"))
    assert first[:, 0].tolist() == first[:, 1].tolist()
    assert second[:, 0].max() < 25
    # The packet of the first frame with the mask was read before it.
    assert len(first) <= CHANGE + 1


def test_a_mask_that_is_removed_shows_the_picture_again(tmp_path, source):
    start, end = (CHANGE + 5) / RATE_HZ, (CHANGE + 20) / RATE_HZ
    with recording(tmp_path / "rec", LEFT) as (_, camera):
        happenings = {CHANGE + 5: event("start", start), CHANGE + 20: event("end", start, end)}
        play(camera, source, {CHANGE: View()}, happenings)
    (clip,) = files_of(tmp_path / "rec", ".mp4")
    assert halves(clip).min() > 25
