"""`edgehar.watch` and `edgehar predict`: one call, one answer for each clip."""

import csv
import threading
from pathlib import Path

import numpy as np
import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, write_video

import edgehar
from edgehar.events.options import DecisionOptions

RATE_HZ = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip that is dark for 2 s, then bright for 2 s, then dark."""
    levels = [20] * 20 + [230] * 20 + [20] * 20
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", flat_frames(levels), rate_hz=RATE_HZ)


def test_events_and_predictions_reach_the_functions(tiny_bundle, clip):
    events, predictions, statuses = [], [], []
    edgehar.watch(
        clip,
        model=tiny_bundle,
        threshold=0.6,
        on_event=events.append,
        on_prediction=predictions.append,
        on_status=statuses.append,
    )
    assert [(event.phase, event.label) for event in events] == [
        ("start", "dark"),
        ("end", "dark"),
        ("start", "bright"),
        ("end", "bright"),
        ("start", "dark"),
        ("end", "dark"),
    ]
    assert {prediction.source for prediction in predictions} == {str(clip)}
    assert len(predictions) == 29


def test_rules_may_be_given_whole(tiny_bundle, clip):
    events = []
    rules = DecisionOptions(threshold=0.6, min_duration_s=60.0)
    edgehar.watch(clip, model=tiny_bundle, decision=rules, on_event=events.append)
    assert [event.phase for event in events] == ["start", "end"]


def test_arrays_can_be_watched(tiny_bundle):
    predictions = []
    frames = (np.zeros((32, 32, 3), np.uint8) for _ in range(8))
    edgehar.watch(frames, model=tiny_bundle, on_prediction=predictions.append)
    assert {prediction.label for prediction in predictions} == {"dark"}


def test_it_ends_when_it_is_told_to(tiny_bundle, clip):
    stop = threading.Event()
    edgehar.watch(clip, model=tiny_bundle, on_prediction=lambda _: stop.set(), stop=stop, loop=True)


def test_an_error_of_a_function_ends_the_watch(tiny_bundle, clip):
    def fail(prediction):
        raise ZeroDivisionError(prediction.label)

    with pytest.raises(ZeroDivisionError, match="dark"):
        edgehar.watch(clip, model=tiny_bundle, on_prediction=fail)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 1.5}, "0 to 1"),
        ({"threshold": "high"}, "'high', it must be 0 to 1"),
        ({"threshold": 0.5, "decision": DecisionOptions()}, "both"),
        ({"on_event": 5}, "on_event is 5, it must be a function"),
    ],
)
def test_wrong_options_are_said(tiny_bundle, clip, options, words):
    with pytest.raises(edgehar.ConfigError, match=words):
        edgehar.watch(clip, model=tiny_bundle, **options)


def test_a_missing_file_is_said(tiny_bundle, tmp_path):
    with pytest.raises(edgehar.SourceError, match=r"no\.mp4"):
        edgehar.watch(tmp_path / "no.mp4", model=tiny_bundle)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for name, level in (("a.mp4", 20), ("b.mp4", 230)):
        write_video(folder / name, flat_frames([level] * 12), rate_hz=RATE_HZ)
    return folder


def test_each_clip_gets_an_answer(tiny_bundle, clips):
    done = run_command("edgehar", "predict", clips / "a.mp4", clips / "b.mp4", "--model", tiny_bundle)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["dark", "bright"]


def test_a_folder_becomes_a_table(tiny_bundle, clips, tmp_path):
    done = run_command("edgehar", "predict", clips, "--model", tiny_bundle, "--csv", tmp_path / "answers.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "answers.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [(Path(row["clip"]).name, row["label"]) for row in rows] == [("a.mp4", "dark"), ("b.mp4", "bright")]
    assert all(float(row["score"]) == float(row[row["label"]]) for row in rows)


def test_a_damaged_clip_does_not_cost_the_others(tiny_bundle, clips, tmp_path):
    (tmp_path / "damaged.mp4").write_bytes(b"not a video")
    done = run_command("edgehar", "predict", tmp_path / "damaged.mp4", clips / "a.mp4", "--model", tiny_bundle)
    assert done.returncode == 1
    assert "a.mp4" in done.stdout
    assert "damaged.mp4" in done.stderr
    assert "1 of 2 clips could not be read" in done.stderr


def test_a_table_in_no_folder_is_said_before_the_work(tiny_bundle, clips, tmp_path):
    done = run_command("edgehar", "predict", clips, "--model", tiny_bundle, "--csv", tmp_path / "no" / "answers.csv")
    assert_one_line_error(done, 2, "does not exist; create it first")


def test_a_folder_without_a_clip_is_said(tiny_bundle, tmp_path):
    assert_one_line_error(run_command("edgehar", "predict", tmp_path, "--model", tiny_bundle), 2, "no video file")
