"""Sampling, flow, crop, scaling and augmentation from the command line to a run that was trained and tested."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.helpers import assert_one_line_error

pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from support.moving import write_moving_bars
from support.warm import run_command

from edgehar_training.runs.report import read_metrics
from edgehar_training.runs.run import load_run

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture
def arguments(data, tmp_path):
    return [
        "--data", data, "--cache", tmp_path / "cache", "--window", 4, "--epochs", 1, "--batch-size", 8, "--out",
        tmp_path / "run",
    ]  # fmt: skip


def test_a_second_stream_of_flow_with_everything_on(arguments, tmp_path):
    done = run_command(
        "edgehar-train", *arguments, "--input", "rgb+flow", "--scaling", "mean", "--sampling", "segments", "--crop",
        "center", "--mixup", 0.2, "--speed", 0.2, "--noise", 4, "--blur", 1, "--colour", 0.1, "--frame-dropout", 0.1,
        "--temporal-crop", 0.3,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "decoded 16 clips" in done.stderr
    assert "optical flow of 16 clips" in done.stderr
    assert "clips/s" in done.stderr
    run = load_run(tmp_path / "run")
    (clip, *_) = run.clips("test")
    assert run.stream(clip).shape == (4, 60, 60, 5)
    frames = [run.cache().load(one).frames.mean(axis=(0, 1, 2)) for one in run.clips("train")]
    np.testing.assert_allclose(run.config.network.mean, np.mean(frames, axis=0) / 255, atol=1e-5)
    assert len(list((tmp_path / "cache").glob("*.flow.npy"))) == 16


def test_a_control_says_so_beside_its_figures_and_is_not_for_devices(arguments, tmp_path):
    done = run_command("edgehar-train", *arguments, "--frame-order", "single", "--input", "rgb")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(": group-disjoint hold-out of 20%, single-frame control, 1 seed")
    run = load_run(tmp_path / "run")
    assert run.config.network.frame_order == "single"
    figures = read_metrics(run.path / "metrics.json")
    assert figures["protocol"] == run.config.protocol == "group-disjoint hold-out of 20%, single-frame control"
    done = run_command("edgehar", "eval", run.path, "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["protocol"] == run.config.protocol
    assert again["clip"]["top1"] == pytest.approx(figures["test"]["top1"])
    done = run_command("edgehar-convert", run.path, "--out", tmp_path / "model.edgehar")
    assert_one_line_error(done, 2, "--frame-order single", "single-frame control", "--frame-order ordered")
    done = run_command("edgehar-train", *arguments[:-1], tmp_path / "other", "--frame-order", "shuffled", "--int8")
    assert_one_line_error(done, 2, "--frame-order shuffled", "shuffled-frames control")
    assert not (tmp_path / "other").exists()


def test_flow_that_cannot_be_had_is_one_line(arguments, tmp_path):
    done = run_command("edgehar-train", *arguments, "--input", "flow", "--flow", "tvl1")
    assert_one_line_error(done, 2, "--flow tvl1", "dis, farneback")
    (tmp_path / "flow").mkdir()
    done = run_command("edgehar-train", *arguments, "--input", "flow", "--flow", tmp_path / "flow")
    assert_one_line_error(done, 1, "flow_x_00001.jpg")
    done = run_command("edgehar-train", *arguments, "--input", "flow", "--int8")
    assert_one_line_error(done, 2, "optical flow", "--input motion")
    assert not (tmp_path / "run").exists()
