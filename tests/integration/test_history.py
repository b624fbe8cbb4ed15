"""`edgehar history`: scores of real runs, thresholds from them, and what a user does wrong."""

import csv
import errno
import itertools
import os

import cv2
import msgspec
import numpy as np
import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, write_video
from support.predictions import make_prediction
from support.samples import sample_manifest

from edgehar.model import manifest as m
from edgehar.records import Window
from edgehar.teaching.history import read_histories
from edgehar.teaching.history_sink import HistorySink
from edgehar.teaching.options import HistoryOptions


def manifest_of(labels=("fight", "idle")):
    return msgspec.structs.replace(
        sample_manifest(labels), files={"head.tflite": "0" * 64}, decision=m.Decision(background=["idle"])
    )


def answer(number, code, source="hall", every_s=0.4):
    prediction = make_prediction({"fight": 0.5, "idle": 0.5}, 0.0)
    prediction = msgspec.structs.replace(prediction, source=source, window=Window(4, 0.0, number * every_s))
    return prediction.with_raw(np.array([code, -1 - code], np.int8), head="0" * 8)


@pytest.fixture
def clock():
    """A wall clock that goes on by 0.4 s at each look."""
    return itertools.count(1_700_000_000_000, 400)


def make_sink(folder, clock, **options):
    return HistorySink(
        folder,
        HistoryOptions(**options),
        {"0" * 8: manifest_of()},
        now_s=lambda: next(clock) / 1e3,
    )


def test_what_is_written_is_read(tmp_path, clock):
    sink = make_sink(tmp_path, clock)
    for number in range(600):
        sink.write(answer(number, number % 100))
    sink.close()
    (camera,) = read_histories(tmp_path)
    assert camera.answers == 600
    assert camera.seconds == pytest.approx(599 * 0.4, abs=1.0)
    assert np.concatenate([block.codes for block in camera.blocks])[:, 0].tolist() == [n % 100 for n in range(600)]


def test_a_full_disk_costs_history_only_and_is_said_once(tmp_path, clock, monkeypatch, caplog):
    sink = make_sink(tmp_path, clock)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("edgehar.teaching.history_sink.os.write", full)
        for number in range(600):
            sink.write(answer(number, 0))
    for number in range(600, 900):
        sink.write(answer(number, 0))
    sink.close()
    assert sink.dropped == 512
    assert caplog.text.count("cannot be written") == 1
    (camera,) = read_histories(tmp_path)
    assert camera.answers == 900 - 512


def test_a_block_that_fits_in_part_is_cut_off_again(tmp_path, clock, monkeypatch):
    sink, whole = make_sink(tmp_path, clock), os.write
    with monkeypatch.context() as disk:
        disk.setattr("edgehar.teaching.history_sink.os.write", lambda fd, content: whole(fd, content[:10]))
        for number in range(257):
            sink.write(answer(number, 0))
    sink.close()
    (camera,) = read_histories(tmp_path)
    assert (camera.answers, camera.damaged) == (1, 0)


@pytest.fixture(scope="module")
def watched(tiny_bundle, tmp_path_factory):
    """A history that `edgehar-run` has written, with its configuration."""
    folder = tmp_path_factory.mktemp("watched")
    clip = write_video(folder / "clip.mp4", flat_frames([40] * 60 + [230] * 60), rate_hz=10)
    config = folder / "edgehar.toml"
    config.write_text(
        f'model = "{tiny_bundle}"\noutput = "none"\n[[camera]]\nname = "hall"\nsource = "{clip}"\n'
        f'[history]\nenabled = true\ndirectory = "{folder / "history"}"\n'
    )
    done = run_command("edgehar-run", "--config", config)
    assert done.returncode == 0, done.stderr
    return config


def test_the_run_keeps_scores_and_the_command_shows_them(watched):
    done = run_command("edgehar", "history", "--config", watched)
    assert done.returncode == 0, done.stderr
    assert "hall-" in done.stdout
    assert "59 answers" in done.stdout


def test_a_short_history_promises_nothing(watched):
    done = run_command("edgehar", "history", "--config", watched, "--at-most", "1/week")
    assert done.returncode == 0, done.stderr
    assert "too few to promise" in done.stdout


def test_it_writes_a_table_and_a_picture(watched, tmp_path):
    done = run_command(
        "edgehar", "history", "--config", watched, "--csv", tmp_path / "a.csv", "--png", tmp_path / "a.png"
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "a.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 59
    assert float(rows[-1]["bright"]) > 0.9 > 0.1 > float(rows[0]["bright"])
    assert cv2.imread(str(tmp_path / "a.png")) is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at-most", "1/fortnight"], "1/day"),
        (["--at-most", "0/day"], "1/day"),
        (["--since", "yesterday"], "7d"),
    ],
)
def test_wrong_words_are_said(watched, arguments, words):
    done = run_command("edgehar", "history", "--config", watched, *arguments)
    assert_one_line_error(done, 2, words)


def test_no_history_is_said(tiny_bundle, tmp_path):
    done = run_command("edgehar", "history", "--directory", tmp_path, "--model", tiny_bundle)
    assert_one_line_error(done, 2, "holds no history", "enabled = true")
