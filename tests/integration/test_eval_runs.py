"""`edgehar eval` and `edgehar compare` on the stored results of runs: nothing here needs the training extra."""

import json
import re

import msgspec
import numpy as np
import pytest
from support.helpers import assert_one_line_error, flat_frames, write_video
from support.html_pages import read_page
from support.tiny_bundle import write_tiny_bundle
from support.warm import run_command

from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.splits import Split, write_splits
from edgehar_training.evaluation.scored import clip_name
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import DataSettings, NetworkSettings, SplitSettings


def write_run(folder, answers, *, seed=0, fold=None, groups=4, **changes):
    """A finished run; `answers` says of each test clip whether it is named rightly."""
    split = SplitSettings(kind=changes.get("kind", "group"), seed=seed)
    config = RunConfig(
        data=DataSettings(folder=str(folder / "clips")),
        split=split,
        network=NetworkSettings(model=changes.get("model", "lrcn")),
        labels=changes.get("labels", ["calm", "fight"]),
        protocol=changes.get("protocol", "group-disjoint hold-out of 25%"),
        fold=fold,
    )
    folder.mkdir(parents=True)
    first, labels = changes.get("first", 0), config.labels
    test = [
        Clip(str(folder / f"clips/{first + i}.mp4"), labels[i % len(labels)], f"place{i % groups}")
        for i in range(len(answers))
    ]
    train = [Clip(str(folder / f"clips/t{i}.mp4"), labels[i % 2], f"street{i}") for i in range(4)]
    write_splits(folder / "splits.csv", train + test, Split([0, 1], [2, 3], list(range(4, 4 + len(test)))), None)
    config.write(folder)
    rows = []
    for clip, right in zip(test, answers, strict=True):
        other = labels[(labels.index(clip.label) + 1) % len(labels)]
        answer = clip.label if right else other
        scores = [0.8 if label == answer else 0.2 / (len(labels) - 1) for label in labels]
        rows.append(
            {"clip": clip.path, "group": clip.group, "label": clip.label, "predicted": answer, "scores": scores}
        )
    metrics = {"test": {"top1": float(np.mean(answers)), "window_top1": 0.5, "predictions": rows}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "history.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy\n1,0.7,0.5,0.6,0.6\n2,0.5,0.7,0.5,0.8\n"
    )
    return folder


def test_folds_and_seeds_are_pooled(tmp_path):
    for seed, right in ((0, 1), (1, 0)):
        for fold in range(2):
            answers = [1, 1, 1, right]
            write_run(tmp_path / f"runs/seed-{seed}/fold-{fold}", answers, seed=seed, fold=fold, first=4 * fold)
    for folder in (tmp_path / "runs").glob("seed-*/fold-*"):
        config = json.loads((folder / "config.json").read_text())
        config["data"]["folder"] = str(tmp_path / "clips")
        (folder / "config.json").write_text(json.dumps(config))
        text = (folder / "metrics.json").read_text()
        (folder / "metrics.json").write_text(text.replace(str(folder / "clips"), str(tmp_path / "clips")))
    done = run_command("edgehar", "eval", tmp_path / "runs", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/eval.json").read_text())
    assert found["seeds"] == [0, 1]
    assert found["folds"] == 2
    assert found["clip"]["clips"] == 8
    assert found["clip"]["rows"] == 16
    assert found["clip"]["top1"] == pytest.approx(0.875)
    assert [row["top1"] for row in found["per_seed"]] == [1.0, 0.75]
    assert "seed 0 1.000, seed 1 0.750; standard deviation 0.177" in done.stdout
    assert found["window"] == {"top1": 0.5}
    page = read_page(tmp_path / "out/report.html")
    assert "seed-1/fold-0" in page
    assert "WARNING: 4 groups only" in done.stdout

    (tmp_path / "runs/seed-1/fold-1/metrics.json").unlink()
    done = run_command("edgehar", "eval", tmp_path / "runs")
    assert "WARNING: 3 of 4 runs are finished" in done.stdout


@pytest.mark.parametrize("kind", ["random", "group"])
def test_a_leaky_split_is_flagged_however_it_was_made(tmp_path, kind):
    run = write_run(tmp_path / "run", [1, 0, 1, 1], kind=kind)
    if kind == "group":
        splits = run / "splits.csv"
        splits.write_text(splits.read_text().replace("street0", "place1"))
    done = run_command("edgehar", "eval", run, "--stored", "--out", tmp_path / "out")
    assert done.stdout.startswith("WARNING: LEAKY SPLIT"), done.stderr
    assert json.loads((tmp_path / "out/eval.json").read_text())["leaky"] is True
    assert re.search(r'<p class="warning"[^>]*>LEAKY SPLIT', read_page(tmp_path / "out/report.html"))


def test_a_split_without_groups_is_flagged(tmp_path):
    run = write_run(tmp_path / "run", [1, 0, 1, 1])
    splits = run / "splits.csv"
    lines = splits.read_text().splitlines()
    rows = [",".join([*(cells := line.split(","))[:2], cells[0], *cells[3:]]) for line in lines[1:]]
    splits.write_text("\n".join([lines[0], *rows]) + "\n")
    done = run_command("edgehar", "eval", run, "--stored")
    assert done.stdout.startswith("WARNING: NO GROUPS: every clip is a group of its own"), done.stderr


def test_a_single_stored_run_shows_its_curves(tmp_path):
    run = write_run(tmp_path / "run", [1, 0, 1, 1])
    done = run_command("edgehar", "eval", run, "--stored", "--json", "--out", tmp_path / "out")
    assert json.loads(done.stdout)["clip"]["top1"] == 0.75
    assert json.loads(done.stdout)["leaky"] is False
    page = read_page(tmp_path / "out/report.html")
    assert "training windows" in page
    assert "validation clips" in page


def test_two_runs_are_compared_by_the_exact_test(tmp_path):
    """Of 20 clips 2 are right in the first only and 10 in the second only: binomial p is 0.0386."""
    first = write_run(tmp_path / "first", [1] * 2 + [0] * 10 + [1] * 8)
    second = write_run(tmp_path / "second", [0] * 2 + [1] * 10 + [1] * 8, model="convlstm")
    done = run_command("edgehar", "compare", first, second, "--html", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "+0.400" in done.stdout
    assert "0.0386" in done.stdout
    assert "float convlstm" in done.stdout
    assert "+0.400" in read_page(tmp_path / "page.html")
    found = json.loads(run_command("edgehar", "compare", first, second, "--json", "--no-cost").stdout)
    test = found["tests"][0]
    assert (test["only_first_right"], test["only_second_right"], test["clips"]) == (2, 10, 20)
    assert test["mcnemar_p"] == pytest.approx(0.03857, abs=1e-4)
    assert test["interval_95"][0] < 0.4 < test["interval_95"][1]
    assert not any("DIFFERENT" in text for text in found["warnings"])


def test_what_makes_a_comparison_unfair_is_said(tmp_path):
    first = write_run(tmp_path / "first", [1] * 8)
    second = write_run(tmp_path / "second", [1] * 8, protocol="random (leaky) hold-out of 25%", kind="random", first=4)
    found = json.loads(run_command("edgehar", "compare", first, second, "--json", "--no-cost").stdout)
    assert any("DIFFERENT PROTOCOLS" in text for text in found["warnings"])
    assert any("DIFFERENT CLIPS" in text and "4 common clips" in text for text in found["warnings"])
    assert any("LEAKY" in text for text in found["warnings"])
    assert found["tests"][0]["clips"] == 4
    far = write_run(tmp_path / "far", [1] * 8, first=100)
    assert_one_line_error(run_command("edgehar", "compare", first, far), 1, "no clip in common")
    other = write_run(tmp_path / "other", [1] * 9, labels=["calm", "fight", "push"])
    assert_one_line_error(run_command("edgehar", "compare", first, other), 1, "different labels", "push")


def test_seeds_are_compared_by_the_bootstrap(tmp_path):
    for name, hits in (("a", 10), ("b", 14)):
        for seed in (0, 1):
            folder = write_run(tmp_path / f"{name}/seed-{seed}", [1] * hits + [0] * (16 - hits), seed=seed)
            text = (folder / "metrics.json").read_text()
            (folder / "metrics.json").write_text(text.replace(str(folder / "clips") + "/", ""))
    done = run_command("edgehar", "compare", tmp_path / "a", tmp_path / "b", "--json", "--no-cost")
    test = json.loads(done.stdout)["tests"][0]
    assert test["mcnemar_p"] is None
    assert test["difference"] == pytest.approx(0.25)
    assert 0 < test["bootstrap_p"] < 1


def test_wrong_input_is_told_in_one_line(clips, tiny_bundle, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    run = write_run(tmp_path / "run", [1, 1, 0])
    assert_one_line_error(run_command("edgehar", "eval", empty), 2, "neither a run")
    assert_one_line_error(run_command("edgehar", "eval", tmp_path / "none"), 2, "no such")
    assert_one_line_error(run_command("edgehar", "eval", tiny_bundle), 2, "--data")
    assert_one_line_error(run_command("edgehar", "eval", tiny_bundle, "--data", empty), 1, str(empty))
    assert_one_line_error(run_command("edgehar", "eval", tiny_bundle, "--data", clips, "--hop", 9), 2, "1 to 4")
    assert_one_line_error(run_command("edgehar", "eval", tiny_bundle, "--annotate", "x.mp4"), 2, "--out FILE.mp4")
    assert_one_line_error(run_command("edgehar", "eval", run, "--int8"), 1, "no int8 predictions", "--int8")
    assert_one_line_error(run_command("edgehar", "eval", run, "--stored", "--data", clips), 2, "--data")
    assert_one_line_error(run_command("edgehar", "compare", run), 2, "two runs")
    (run / "metrics.json").unlink()
    assert_one_line_error(run_command("edgehar", "eval", run, "--stored"), 1, "--resume")
    (run / "metrics.json").write_text("{")
    assert_one_line_error(run_command("edgehar", "eval", run, "--stored"), 1, "metrics.json")


def test_a_part_of_a_video_is_named_with_its_times(tmp_path):
    whole = Clip(str(tmp_path / "a/b.avi"), "run", "g")
    assert clip_name(whole, tmp_path) == "a/b.avi"
    part = Clip(whole.path, "run", "g", 1.2, 3.0)
    assert clip_name(part, tmp_path) == "a/b.avi#t=1.2,3"
    assert clip_name(Clip("synthetic:x", "run", "g", None, 3.5), tmp_path) == "synthetic:x#t=,3.5"


@pytest.mark.parametrize(
    ("trained", "tested", "same"),
    [
        ("kth", "kth", "yes"),
        ("ucf50", "ucf101", "yes"),
        ("kth", "ucf101", "no"),
        ("synthetic", "folder", "no"),
        ("folder", "kth", "unknown"),
        ("folder", "folder", "unknown"),
    ],
)
def test_whether_clips_may_have_been_trained_on(trained, tested, same):
    from edgehar_training.evaluation.evaluated import may_be_same

    assert may_be_same(trained, tested) == same


def test_manifests_say_the_data_in_the_words_that_are_compared(tmp_path):
    """A bundle tells its data set as `describe_data` does; else its training clips would not be recognised."""
    from edgehar_training.data.datasets import describe_data

    shipped = run_command("edgehar", "inspect", "actions-synthetic", "--json")
    if shipped.returncode:
        pytest.skip("the shipped models are not installed")
    assert msgspec.json.decode(shipped.stdout)["provenance"]["dataset"] == describe_data("synthetic", None)


@pytest.mark.parametrize("broken", ["[]", '{"test": {"top1": 1, "predictions": [{"clip": "a"}]}}'])
def test_metrics_of_another_shape_are_told_in_one_line(tmp_path, broken):
    run = write_run(tmp_path / "run", [1, 1, 0])
    (run / "metrics.json").write_text(broken)
    assert_one_line_error(run_command("edgehar", "eval", run, "--stored"), 1, "metrics.json", "train the run again")


def test_false_alarms_of_ordinary_footage_stand_beside_the_accuracy(clips, tmp_path):
    """A dark yard, and one where a lamp shines for two seconds: one alarm in 20 s."""
    for name, levels in {"calm": [40] * 250, "lamp": [40] * 100 + [220] * 50 + [40] * 100}.items():
        (tmp_path / "yard").mkdir(exist_ok=True)
        write_video(tmp_path / "yard" / f"{name}.mp4", flat_frames(levels))
    bundle = write_tiny_bundle(tmp_path / "quiet.edgehar", background=["dark"])
    arguments = ("eval", bundle, "--data", clips, "--ordinary", tmp_path / "yard", "--out", tmp_path / "report")
    done = run_command("edgehar", *arguments, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("false alarms"))
    assert "1 in 0.3 min" in line
    alarms = json.loads((tmp_path / "report" / "eval.json").read_text())["ordinary"]["as_decided"]["false_alarms"]
    assert alarms["per_hour"] == pytest.approx(180, rel=0.02)
    assert "False alarms on ordinary footage" in (tmp_path / "report" / "report.html").read_text()
    assert_one_line_error(run_command("edgehar", "eval", bundle, "--data", clips, "--jobs", 1), 2, "--ordinary")
