"""edgehar eval --conditions as a user runs it: seeds with bundles of their own, one bundle, and what is refused."""

import csv
import json
import shutil

import pytest
from support.helpers import assert_one_line_error
from support.tiny_bundle import write_tiny_bundle

pytest.importorskip("keras", reason="needs the train extra")

from support.small_run import SPLIT, WINDOW, small_run
from support.warm import run_command

pytestmark = pytest.mark.training
LABELS = ("bright", "dark")
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of two seeds on the same clips, each with a bundle."""
    folder = tmp_path_factory.mktemp("runs")
    first = small_run(folder / "seed-0", labels=LABELS).path
    write_tiny_bundle(first / "model.edgehar", size=60, window=WINDOW, rate_hz=25.0)
    shutil.copytree(first, folder / "seed-1", ignore=shutil.ignore_patterns("clips", "cache"))
    config = json.loads((first / "config.json").read_text())
    config["split"]["seed"] = 1
    (folder / "seed-1/config.json").write_text(json.dumps(config))
    return folder


def test_folds_and_seeds_are_pooled_under_every_condition(runs, tmp_path):
    done = run_command("edgehar", "eval", runs, "--conditions", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "out/conditions.json").read_text())
    rows = figures["conditions"]
    assert (figures["seeds"], figures["clips"]) == (list(SEEDS), len(SPLIT.test))
    assert rows[0]["condition"] == "as-recorded"
    assert len(rows) == 15
    assert all(row["difference"] == pytest.approx(row["top1"] - rows[0]["top1"]) for row in rows[1:])
    assert all(row["condition"] in done.stdout for row in rows)
    assert "15 conditions: 3 of 3 clips" in done.stderr
    page = (tmp_path / "out/report.html").read_text()
    assert "<h2>Changed video</h2>" in page
    assert page.count('fill="#bcd4ea"') >= len(rows)
    with (tmp_path / "out/conditions.csv").open(newline="") as file:
        assert [line["condition"] for line in csv.DictReader(file)] == [row["condition"] for row in rows]
    whole = json.loads((tmp_path / "out/eval.json").read_text())
    assert whole["clip"]["top1"] == pytest.approx(rows[0]["top1"])


def test_a_bundle_is_as_good_on_clips_as_recorded_as_without_conditions(runs):
    bundle, run = runs / "seed-0/model.edgehar", runs / "seed-0"
    chosen = ["--conditions", "mirrored", "--json", "--hop", 1]
    figures = json.loads(run_command("edgehar", "eval", bundle, "--run", run, *chosen).stdout)
    plain = json.loads(run_command("edgehar", "eval", bundle, "--run", run, "--json", "--hop", 1).stdout)
    assert [row["condition"] for row in figures["conditions"]] == ["as-recorded", "mirrored"]
    assert figures["conditions"][0]["top1"] == pytest.approx(plain["clip"]["top1"])
    assert figures["conditions"][1]["difference"] == 0  # it tells bright from dark only
    assert figures["warnings"] == plain["warnings"]


def test_what_does_not_go_together_is_told(runs, tmp_path):
    assert_one_line_error(run_command("edgehar", "eval", runs, "--conditions", "fog"), 2, "fog", "half-rate")
    assert_one_line_error(run_command("edgehar", "eval", runs, "--jobs", 2), 2, "--conditions")
    assert_one_line_error(run_command("edgehar", "eval", runs, "--conditions", "--stored"), 2, "--stored")
    shutil.copytree(runs / "seed-0", tmp_path / "run", ignore=shutil.ignore_patterns("model.edgehar"))
    done = run_command("edgehar", "eval", tmp_path / "run", "--conditions", "dark")
    assert_one_line_error(done, 1, "model.edgehar", "--int8")
