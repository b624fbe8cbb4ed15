"""`edgehar sweep`: a sweep whose driver is killed goes on, and ends in a recipe."""

import csv
import re

import pytest
from support.helpers import run_command, start_command
from support.moving import write_moving_bars

pytest.importorskip("ray", reason="needs Ray: pip install 'edgehar[cluster]'")
pytest.importorskip("optuna", reason="needs Optuna: pip install 'edgehar[cluster]'")
pytest.importorskip("keras", reason="needs the train extra")

from edgehar_training.settings.recipe import read_recipe

pytestmark = pytest.mark.training

SPACE = """
[fit]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
[network]
scaling = ["unit", "imagenet"]
"""


@pytest.mark.usefixtures("source_tree")
def test_a_sweep_whose_driver_is_killed_goes_on(cluster, tmp_path):
    data = write_moving_bars(tmp_path / "bars")
    (tmp_path / "recipe.toml").write_text("[network]\nwindow = 4\n[fit]\nepochs = 2\nbatch_size = 4\n")
    (tmp_path / "space.toml").write_text(SPACE)
    command = ["edgehar", "sweep", tmp_path / "recipe.toml", "--space", tmp_path / "space.toml", "--trials", 3]
    command += ["--data", data, "--cache", tmp_path / "cache", "--inner-folds", 2, "--ray", cluster.address]
    command += ["--out", tmp_path / "sweep"]
    with start_command(*command) as process:
        before = next((line.partition(" 1 of 3: ")[2] for line in process.stderr if "trial 1 of 3" in line), "")
        process.kill()
    assert before
    done = run_command(*command, "--resume", timeout_s=400)
    assert done.returncode == 0, done.stderr
    # What was done before goes on, and ends the same.
    assert before in done.stderr
    assert re.match(r"3 trials, [0-3] failed; best: fit.learning_rate [0-9.]+, network.scaling unit\n", done.stdout)
    with (tmp_path / "sweep" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["trial"] for row in rows}) == 3
    # Motion cannot be scaled like colors, so such a trial fails; the first one has the settings of the recipe.
    assert all((row["state"] == "failed") == (row["network.scaling"] == "imagenet") for row in rows)
    assert (rows[0]["state"], float(rows[0]["fit.learning_rate"])) == ("done", 1e-3)
    best = max((row for row in rows if row["state"] != "failed"), key=lambda row: float(row["accuracy"]))
    recipe = read_recipe(str(tmp_path / "sweep" / "best.toml"))
    assert recipe.settings["network"]["scaling"] == "unit"
    assert recipe.sweep.accuracy == pytest.approx(float(best["accuracy"]), abs=1e-4)
    assert not list((tmp_path / "sweep").rglob("last.npz"))
