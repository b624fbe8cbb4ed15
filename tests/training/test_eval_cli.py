"""edgehar eval where a float network is run: a run of real clips and random weights, one of whose labels is wrong."""

import csv
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.helpers import assert_one_line_error
from support.tiny_bundle import write_tiny_bundle

pytest.importorskip("keras", reason="needs the train extra")

from support.small_run import SPLIT, WINDOW, small_run
from support.warm import run_command

from edgehar.errors import DatasetError
from edgehar.model.bundle import ModelBundle
from edgehar_training.evaluation import evaluate
from edgehar_training.evaluation.attention import mean_attention
from edgehar_training.evaluation.comparison import _cost
from edgehar_training.models import build
from edgehar_training.runs.run import load_run
from edgehar_training.settings import DataSettings

pytestmark = pytest.mark.training
LABELS = ("bright", "dark")


def ignore(_):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The label of the last test clip is turned round."""
    made = small_run(tmp_path_factory.mktemp("run") / "run", labels=LABELS)
    path = made.path / "splits.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[-1]["label"] = LABELS[1 - LABELS.index(rows[-1]["label"])]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return load_run(made.path)


def test_the_float_network_is_measured_on_its_own_split(run, tmp_path):
    done = run_command("edgehar", "eval", run.path, "--out", tmp_path / "out", "--hop", 1)
    assert done.returncode == 0, done.stderr
    assert "group-disjoint hold-out of 25%" in done.stdout
    found = json.loads((tmp_path / "out/eval.json").read_text())
    assert found["clip"]["top1"] == pytest.approx(2 / 3)
    assert found["seeds"] == [0]
    assert found["includes_training_clips"] == "no"
    wrong = run.clips("test")[-1]
    assert [row["clip"] for row in found["worst"]] == [Path(wrong.path).name]
    model = run.model()
    scores = model.predict(run.windows_of(wrong, hop=1), verbose=0)
    assert found["window"]["windows"] >= 3 * len(scores) > 3
    assert found["worst"][0]["score"] == pytest.approx(scores.mean(axis=0).max(), abs=1e-4)
    assert "data:image/jpeg;base64," in (tmp_path / "out/report.html").read_text()


def test_what_a_run_learned_from_is_not_told_as_unseen(run):
    clips = [clip for part in ("train", "val", "test") for clip in run.clips(part)]
    found = evaluate.evaluate_run_on(run, DataSettings(folder=run.config.data.folder), clips, 2, ignore)
    known = len(SPLIT.train) + len(SPLIT.val)
    assert found.includes_training_clips == "yes"
    assert found.warnings[0].startswith(f"INCLUDES TRAINING CLIPS: {known} of {len(clips)}")
    assert "trained on these clips" in evaluate.evaluate_part(run, "train", 2, ignore).warnings[0]


def test_a_bundle_is_measured_on_the_split_of_its_run(run, tmp_path):
    bundle = ModelBundle.open(write_tiny_bundle(tmp_path / "a.edgehar", size=60, window=WINDOW, rate_hz=25.0))
    found = evaluate.evaluate_bundle_part(bundle, run, "test", 2, ignore)
    assert [row.name for row in found.scored.rows] == [Path(clip.path).name for clip in run.clips("test")]
    assert "not checked" in found.warnings[-1]
    small = ModelBundle.open(write_tiny_bundle(tmp_path / "b.edgehar", size=16))
    with pytest.raises(DatasetError, match="16x16"):
        evaluate.evaluate_bundle_part(small, run, "test", 2, ignore)


def test_a_missing_clip_of_the_split_is_no_smaller_split(run, tmp_path):
    config = json.loads((run.path / "config.json").read_text())
    config["data"]["folder"] = str(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    for name in ("splits.csv", "best.keras"):
        (tmp_path / "run" / name).symlink_to(run.path / name)
    done = run_command("edgehar", "eval", tmp_path / "run")
    assert_one_line_error(done, 1, ".mp4", "3 missing clips", "--stored")


def test_parameters_and_operations_are_counted(run):
    cost, model = _cost(run.path), run.model()
    assert cost.parameters == model.count_params()
    assert cost.encoder_macs > cost.head_macs > 0
    assert cost.encoder_ms is None


def test_attention_is_told_for_a_network_that_has_it(run, tmp_path):
    scored = evaluate.evaluate_part(run, "test", 2, ignore).scored
    assert mean_attention(run.path, scored, 2) == []
    network = msgspec.structs.replace(run.config.network, model="attention_lrcn")
    config = msgspec.structs.replace(run.config, network=network)
    folder = tmp_path / "attention"
    folder.mkdir()
    config.write(folder)
    build(network, len(LABELS)).save(folder / "best.keras")
    found = mean_attention(folder, scored, 2)
    assert {name.partition(":")[0] for name, _ in found} == {clip.label for clip in run.clips("test")}
    assert all(len(weights) == WINDOW and np.sum(weights) == pytest.approx(1, abs=1e-4) for _, weights in found)
