"""Plans, event files, more classes and other backends, as a user of edgehar-train meets them."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.helpers import assert_one_line_error, environment

pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from support.moving import write_moving_bars
from support.warm import run_command

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("bars"), clips_per_label=5, groups=5, frames=10)


@pytest.fixture(scope="module")
def arguments(data, tmp_path_factory):
    return [
        "--data", data, "--cache", tmp_path_factory.mktemp("cache"), "--window", 2, "--epochs", 2, "--patience", 0,
        "--batch-size", 4, "--val-fraction", 0.25,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def first(arguments, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    done = run_command("edgehar-train", *arguments, "--tensorboard", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_a_dry_run_tells_the_plan_and_writes_nothing(arguments, data, tmp_path):
    cache, out = tmp_path / "cache", tmp_path / "run"
    command = [*arguments, "--cache", cache, "--out", out, "--windows-per-clip", 3, "--dry-run"]
    done = run_command("edgehar-train", *command)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    table = {
        line.split()[0]: line.split()[1:] for line in lines if line.split()[:1] in (["moving"], ["still"], ["all"])
    }
    train = int(table["all"][0])
    assert sum(int(n) for n in table["all"]) == 10
    assert [int(table["moving"][n]) + int(table["still"][n]) for n in range(3)] == [int(n) for n in table["all"]]
    assert f"windows: {3 * train} an epoch, {-(-3 * train // 4)} steps of up to 4" in done.stdout
    assert "parameters, " in done.stdout
    for words in ("multiply-accumulates a frame", "cache: 1 MB", "memory: ", "time: at most "):
        assert words in done.stdout
    assert done.stdout.count("estimate") == 3
    assert not cache.exists()
    assert not out.exists()


def test_tensorboard_reads_what_history_says(first):
    tf = pytest.importorskip("tensorflow")
    (path,) = (first / "tensorboard").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    scalars = {}
    # The reader checks the sums over every record.
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        scalars.update({(value.tag, event.step): value.simple_value for value in event.summary.value})
    with (first / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for row in rows:
        for column, tag in (("loss", "loss/training"), ("val_accuracy", "accuracy/validation")):
            assert scalars[tag, int(row["epoch"])] == pytest.approx(float(row[column]), rel=1e-6)
    assert len(scalars) == 10


def test_a_new_class_continues_from_what_was_learned(first, arguments, data, tmp_path):
    more = tmp_path / "more"
    for path in sorted(data.glob("*/*.mp4")):
        (more / path.parent.name).mkdir(parents=True, exist_ok=True)
        (more / path.parent.name / path.name).write_bytes(path.read_bytes())
    (more / "flicker").mkdir()
    for path in sorted((data / "moving").iterdir()):
        (more / "flicker" / path.name).write_bytes((data / "still" / path.name).read_bytes() + b"\0")
    command = [*arguments, "--data", more, "--epochs", 1, "--out", tmp_path / "run", "--init-from", first]
    # So small a rate leaves the weights where they began.
    done = run_command("edgehar-train", *command, "--learning-rate", 1e-12, "--verbose")
    assert done.returncode == 0, done.stderr
    assert (
        "took the weights of 5 of 6 layers; not of head/dense (new are flicker; kept are moving, still)" in done.stderr
    )
    told, known = (json.loads((path / "metrics.json").read_text()) for path in (tmp_path / "run", first))
    scores = {Path(p["clip"]).parts[-2:]: p["scores"] for part in ("val", "test") for p in told[part]["predictions"]}
    compared = 0
    for part in ("val", "test"):
        for clip in known[part]["predictions"]:
            if (now := scores.get(Path(clip["clip"]).parts[-2:])) is not None:
                _, moving, still = now
                # Mean over windows is not exactly proportional; the order of the labels known before is.
                before = np.array(clip["scores"])
                assert np.allclose(np.array([moving, still]) / (moving + still), before, atol=0.02)
                compared += 1
    assert compared


def test_what_does_not_fit_is_refused_before_decoding(arguments, tmp_path):
    def refused(*options):
        return run_command(
            "edgehar-train", *arguments, "--cache", tmp_path / "cache", "--out", tmp_path / "run", *options
        )

    assert_one_line_error(refused("--init-from", tmp_path / "gone"), 2, "--init-from", "gone")
    assert_one_line_error(refused("--weight-decay", 0.1), 2, "--optimizer adamw")
    assert_one_line_error(refused("--warmup-epochs", 2), 2, "--warmup-epochs 2")
    assert not (tmp_path / "cache").exists()


def test_another_backend_is_named(arguments, tmp_path):
    command = [*arguments, "--out", tmp_path / "run"]
    done = run_command("edgehar-train", *command, env=environment(KERAS_BACKEND="numpy"))
    assert_one_line_error(done, 2, "numpy", "tensorflow or jax")
    if importlib.util.find_spec("jax") is None:
        done = run_command("edgehar-train", *command, env=environment(KERAS_BACKEND="jax"))
        assert_one_line_error(done, 1, "jax not installed", "train-jax")


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed (the train-jax extra)")
def test_jax_trains_and_tensorflow_converts(arguments, tmp_path):
    jax = environment(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    out = tmp_path / "run"
    command = [*arguments, "--out", out, "--average-weights", 0.5, "--schedule", "cosine"]
    done = run_command("edgehar-train", *command, env=jax)
    assert done.returncode == 0, done.stderr
    (out / "metrics.json").unlink()
    assert run_command("edgehar-train", *command, "--resume", env=jax).returncode == 0
    done = run_command("edgehar-convert", out, "--out", tmp_path / "a.edgehar", "--max-drop", 100, env=jax)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.edgehar").stat().st_size > 10_000
