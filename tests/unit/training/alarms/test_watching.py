"""Scores of recordings: those of the device's classifier, kept until the video or the networks change."""

import shutil

import pytest
from support.helpers import flat_frames, write_video
from support.tiny_bundle import write_tiny_bundle

from edgehar import Classifier, SourceError, open_source
from edgehar_training.alarms.watching import ScoreCache
from edgehar_training.data.datasets import Clip
from edgehar_training.data.filling import fill


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", flat_frames([*range(40, 200, 4)]))


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "tiny.edgehar")


def clip(path):
    return Clip(str(path), "", "camera")


def test_scores_are_those_of_the_classifier(video, bundle, tmp_path):
    watched = ScoreCache(tmp_path / "scores", bundle).load(clip(video))
    with Classifier(bundle) as classifier, open_source(str(video)) as source:
        answers = [answer for frame in source if (answer := classifier.push(frame)) is not None]
    assert len(watched.predictions) == len(answers) > 3
    for kept, answer in zip(watched.predictions, answers, strict=True):
        assert (kept.scores, kept.window.start_s, kept.window.end_s) == (
            answer.scores, answer.window.start_s, answer.window.end_s
        )  # fmt: skip
    assert watched.length_s == answers[-1].window.end_s


def test_a_clip_shorter_than_a_window_has_one_answer(bundle, tmp_path):
    short = write_video(tmp_path / "short.mp4", flat_frames([200] * 3))
    assert len(ScoreCache(tmp_path / "scores", bundle).load(clip(short)).predictions) == 1


def test_a_recording_is_watched_once_wherever_it_lies_and_whatever_the_rules(video, bundle, tmp_path, monkeypatch):
    cache = ScoreCache(tmp_path / "scores", bundle)
    assert not cache.has(clip(video))
    assert cache.make_missing(clip(video)) == 40
    assert cache.has(clip(video))
    moved = shutil.copy(video, tmp_path / "moved.mp4")
    (tmp_path / "ruled").mkdir()
    ruled = write_tiny_bundle(tmp_path / "ruled" / "name.edgehar", threshold=0.9, smoothing="ema")
    monkeypatch.setattr("edgehar_training.alarms.watching.open_source", None)
    again = ScoreCache(tmp_path / "scores", ruled)
    assert again.make_missing(clip(moved)) == 0
    assert len(again.load(clip(moved)).predictions) == len(cache.load(clip(video)).predictions)


def test_other_networks_and_another_hop_have_scores_of_their_own(video, bundle, tmp_path):
    ScoreCache(tmp_path / "scores", bundle).make_missing(clip(video))
    assert ScoreCache(tmp_path / "scores", bundle, hop=1).make_missing(clip(video)) == 40
    larger = write_tiny_bundle(tmp_path / "larger.edgehar", size=24)
    assert ScoreCache(tmp_path / "scores", larger).make_missing(clip(video)) == 40


def test_damaged_scores_are_made_again(video, bundle, tmp_path):
    cache = ScoreCache(tmp_path / "scores", bundle)
    before = cache.load(clip(video)).scores
    (path,) = (tmp_path / "scores").glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    assert (cache.load(clip(video)).scores == before).all()


def test_what_is_no_video_says_so(bundle, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    cache = ScoreCache(tmp_path / "scores", bundle)
    with pytest.raises(SourceError, match=r"broken\.mp4"):
        cache.load(clip(broken))
    with pytest.raises(SourceError, match="no such file"):
        cache.load(clip(tmp_path / "none.mp4"))


def test_processes_score_as_one_does(bundle, tmp_path, monkeypatch):
    clips = []
    for number in range(16):
        path = write_video(tmp_path / f"{number}.mp4", flat_frames([10 * number] * 20))
        clips.append(clip(path))
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    cache, here = ScoreCache(tmp_path / "scores", bundle), ScoreCache(tmp_path / "here", bundle)
    unreadable = fill(cache, [*clips, clip(tmp_path / "broken.mp4")], lambda: None, 2)
    assert list(unreadable) == [str(tmp_path / "broken.mp4")]
    expected = [here.load(one).scores for one in clips]
    # All of them are there: nothing is decoded here.
    monkeypatch.setattr("edgehar_training.alarms.watching.open_source", None)
    for one, scores in zip(clips, expected, strict=True):
        assert (cache.load(one).scores == scores).all()
