"""edgehar-train as a user runs it."""

import csv
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from support.helpers import assert_one_line_error, environment, run_command, start_command

pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from support import warm
from support.moving import write_moving_bars

from edgehar import ModelBundle
from edgehar_training.runs.run import load_run

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def arguments(data, cache):
    return [
        "--data", data, "--cache", cache, "--input", "motion", "--window", 4, "--epochs", 30, "--patience", 0,
        "--batch-size", 4, "--windows-per-clip", 3,
    ]  # fmt: skip


def test_a_run_learns_and_leaves_everything(arguments, tmp_path):
    out = tmp_path / "run"
    done = run_command("edgehar-train", *arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("test accuracy ")
    assert "group-disjoint hold-out of 20%" in done.stdout
    assert "epoch 30" in done.stderr
    names = {path.name for path in out.iterdir()}
    assert names == {
        "config.json", "splits.csv", "labels.txt", "history.csv", "metrics.json", "best.keras", "last.npz",
        "curves.png", "confusion.png",
    }  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["val"]["top1"] + metrics["test"]["top1"] >= 1.5
    assert metrics["protocol"] == "group-disjoint hold-out of 20%"
    assert metrics["test"]["interval_95"][0] <= metrics["test"]["top1"] <= metrics["test"]["interval_95"][1]
    with (out / "history.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, 31))
    run = load_run(out)
    assert run.config.labels == (out / "labels.txt").read_text().split() == ["moving", "still"]
    assert sum(len(run.clips(part)) for part in ("train", "val", "test")) == 16
    scores = run.model().predict(run.windows_of(run.clips("test")[0]), verbose=0)
    told = metrics["test"]["predictions"][0]["scores"]
    assert scores.mean(axis=0).tolist() == pytest.approx(told, abs=1e-4)

    again = run_command("edgehar-train", *arguments, "--out", out)
    assert_one_line_error(again, 2, str(out), "--resume")
    other = run_command("edgehar-train", *arguments, "--out", out, "--resume", "--batch-size", 8)
    assert_one_line_error(other, 2, "batch_size 4", "8")


def test_int8_can_be_tested_afterwards(arguments, tmp_path):
    command = [*arguments, "--epochs", 3, "--out", tmp_path / "run"]
    assert warm.run_command("edgehar-train", *command).returncode == 0
    checkpoint = (tmp_path / "run/last.npz").stat().st_mtime_ns
    done = warm.run_command("edgehar-train", *command, "--resume", "--int8")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["int8"]["part"] == "test"
    for int8, real in zip(metrics["int8"]["predictions"], metrics["test"]["predictions"], strict=True):
        assert int8["clip"] == real["clip"]
        assert int8["scores"] == pytest.approx(real["scores"], abs=0.1)
    assert (tmp_path / "run/model.edgehar").is_file()
    assert (tmp_path / "run/last.npz").stat().st_mtime_ns == checkpoint


def test_folds_and_seeds_are_pooled_and_finished_ones_skipped(arguments, tmp_path):
    command = [*arguments, "--epochs", 1, "--folds", 2, "--seeds", 2, "--jobs", 2, "--out", tmp_path / "runs"]
    done = warm.run_command("edgehar-train", *command)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "runs/metrics.json").read_text())
    assert metrics["clips"] == 16
    assert [seed["seed"] for seed in metrics["per_seed"]] == [0, 1]
    assert metrics["top1"] == pytest.approx(sum(seed["top1"] for seed in metrics["per_seed"]) / 2)
    assert sum(map(sum, metrics["confusion"])) == 32
    assert "group-disjoint 2-fold" in done.stdout
    assert "2 seeds" in done.stdout
    checkpoint = tmp_path / "runs/seed-1/fold-0/last.npz"
    before = checkpoint.stat().st_mtime_ns
    (tmp_path / "runs/seed-0/fold-1/metrics.json").unlink()
    resumed = warm.run_command("edgehar-train", *command, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert checkpoint.stat().st_mtime_ns == before
    assert resumed.stdout == done.stdout


def test_control_c_leaves_a_run_that_resumes(arguments, tmp_path):
    out = tmp_path / "run"
    command = [*arguments, "--split", "random", "--epochs", 400, "--out", out]
    with start_command("edgehar-train", *map(str, command)) as process:
        deadline_s = time.monotonic() + 120
        while not (out / "history.csv").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, messages = process.communicate(timeout=300)
    assert process.returncode == 130, messages
    assert output == ""
    assert "Traceback" not in messages
    assert "--resume" in messages
    assert "leaky" in messages
    assert not list(out.glob("*.tmp*"))
    epochs = len((out / "history.csv").read_text().splitlines()) - 1
    done = warm.run_command("edgehar-train", *command[:-4], "--epochs", epochs + 1, "--out", out, "--resume")
    assert done.returncode == 0, done.stderr
    assert "random (leaky)" in done.stdout
    assert json.loads((out / "metrics.json").read_text())["protocol"].startswith("random (leaky)")
    assert len((out / "history.csv").read_text().splitlines()) - 1 == epochs + 1


def test_an_unreadable_clip_is_skipped_counted_and_named(arguments, tmp_path):
    data = write_moving_bars(tmp_path / "data")
    (data / "moving/3.mp4").write_text("not a video")
    arguments[1] = data
    done = warm.run_command("edgehar-train", *arguments, "--epochs", 1, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "moving/3.mp4" in done.stderr
    assert "1 of 16 clips" in done.stderr
    skipped = json.loads((tmp_path / "run/metrics.json").read_text())["skipped"]
    assert [Path(path).name for path in skipped] == ["3.mp4"]


@pytest.mark.parametrize(
    ("changes", "code", "fragment"),
    [
        (["--data", "nowhere"], 1, "no such folder"),
        (["--dataset", "kinetics"], 2, "folder, csv, kth"),
        (["--size", 72], 2, "60, 64 or 80"),
        (["--model", "resnet"], 2, "lrcn"),
        (["--epochs", 0], 2, "--epochs"),
        (["--folds", 99], 1, "99 folds"),
        (["--out", "/proc/run"], 1, "/proc"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line(arguments, tmp_path, changes, code, fragment):
    """At once, too: importing Keras would take seconds."""
    (tmp_path / "keras.py").write_text("raise AssertionError('imported')\n")
    without_keras = environment(PYTHONPATH=str(tmp_path))
    done = run_command("edgehar-train", *arguments, "--out", tmp_path / "run", *changes, env=without_keras)
    assert_one_line_error(done, code, fragment)
    assert not (tmp_path / "run").exists()


def test_clips_without_groups_and_with_odd_names(arguments, data, tmp_path):
    """The folder and a clip have names that are not UTF-8, no clip has a group, and a label sounds like background."""
    folder = tmp_path / os.fsdecode(b"clips \xe9")
    shutil.copytree(data, folder)
    (folder / "groups.csv").unlink()
    (folder / "still").rename(folder / "noMoving")
    first = sorted((folder / "moving").glob("*.mp4"))[0]
    first.rename(folder / "moving" / os.fsdecode(b"lat\xe9.mp4"))
    (folder / "moving/readme.txt").write_text("not a clip")
    out = tmp_path / "run"
    short = ["--data", folder, *arguments[2:], "--epochs", 2, "--out", out]
    done = warm.run_command("edgehar-train", *short)
    assert done.returncode == 0, done.stderr
    assert "random by clip (no groups) hold-out of 20%" in done.stdout
    assert "NO GROUPS: every clip is a group of its own" in done.stderr
    assert "left out 1 file with an extension that is not a video's (.txt 1)" in done.stderr
    assert "label noMoving sounds like background" in done.stderr
    assert "--background noMoving" in done.stderr
    assert not [path for path in out.iterdir() if ".tmp" in path.name and path.suffix != ".keras"]
    run = load_run(out)
    assert run.config.data.folder == str(folder)
    assert sum(len(run.clips(part)) for part in ("train", "val", "test")) == 16
    assert all(Path(clip.path).exists() for part in ("train", "val", "test") for clip in run.clips(part))
    again = warm.run_command("edgehar-train", *short, "--resume", "--int8")
    assert again.returncode == 0, again.stderr
    manifest = ModelBundle.open(out / "model.edgehar").manifest
    assert manifest.provenance.split == "random by clip (no groups) hold-out of 20%"
    card = warm.run_command("edgehar", "inspect", out / "model.edgehar", "--card").stdout
    assert "random by clip (no groups)" in card
    assert "No groups were given" in card
