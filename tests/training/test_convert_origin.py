"""Origin of a converted model: accuracy and alarms measured elsewhere, and the commit."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")

from support.small_run import WINDOW, small_run
from support.warm import run_command

from edgehar import ModelBundle
from edgehar.errors import ConfigError
from edgehar_training.quantize import provenance
from edgehar_training.quantize.provenance import evaluation_accuracy

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def motion_run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("motion"), kind="motion")


@pytest.fixture
def spare_run(motion_run, tmp_path):
    """A copy of the run's folder to change."""
    return Path(shutil.copytree(motion_run.path, tmp_path / "run"))


def test_alarms_measured_with_the_same_rules_are_in_the_manifest_and_on_the_card(motion_run, tmp_path):
    out, measured = tmp_path / "small.edgehar", tmp_path / "alarms" / "alarms.json"
    alarms = {"alarms": 3, "hours": 0.5, "interval_95": [1.24, 17.5]}
    found = {"found": 3, "incidents": 4, "interval_95": [0.25, 1.0], "delay_s": {"median": 1.52}}
    summary = {
        "protocol": "camera-disjoint 3-fold", "labels": ["left", "right"], "alarm_labels": ["right"],
        "background": ["left"], "decision": "threshold=0.4", "seeds": [0],
        "as_decided": {"false_alarms": alarms, "found": found},
    }  # fmt: skip
    measured.parent.mkdir()
    measured.write_text(json.dumps(summary))
    command = (
        "edgehar-convert", motion_run.path, "--out", out, "--max-drop", 100, "--no-remember", "--background", "left",
        "--alarms", measured.parent,
    )  # fmt: skip
    other = run_command(*command, "--threshold", 0.5)
    assert (other.returncode, out.exists()) == (2, False)
    assert "measured with decision 'threshold=0.4', but the bundle has 'threshold=0.5'" in other.stderr
    done = run_command(*command, "--threshold", 0.4)
    assert done.returncode == 0, done.stderr
    bundle = ModelBundle.open(out)
    written = bundle.manifest.provenance.alarms
    assert (written.protocol, written.false_alarms, written.found, written.delay_s) == (
        *("camera-disjoint 3-fold", 3, 3, 1.52),
    )
    card = bundle.read("MODEL_CARD.md").decode()
    assert "| false alarms | 6 an hour (95 % interval 1.2 to 18) in 30 minutes of ordinary footage |" in card
    assert "| incidents found | 75% (95 % interval 25% to 100%) of 4 incidents, after a median of 1.5 s |" in card


def test_evaluation_of_another_network_is_refused(motion_run, spare_run):
    config = spare_run / "config.json"
    network = {"input": "motion", "window": WINDOW + 1, "rate_hz": 25.0}
    config.write_text(json.dumps({**json.loads(config.read_text()), "network": network}))
    with pytest.raises(ConfigError, match=r"measured a network with network\.window 5, but this one has 4"):
        evaluation_accuracy(spare_run, motion_run.config)


def test_evaluation_over_folds_and_seeds(motion_run, spare_run):
    figures = {"clips": 12, "top1": 0.75, "interval_95": [0.5, 0.9]}
    int8 = {**figures, "top1": 0.7, "interval_95": [0.4, 0.8]}
    pooled = {"protocol": "group-disjoint 3-fold", "seeds": [0, 1], "folds": 3, **figures, "int8": int8}
    (spare_run / "metrics.json").write_bytes(msgspec.json.encode(pooled))
    accuracy = evaluation_accuracy(spare_run, motion_run.config)
    assert (accuracy.protocol, accuracy.clips, accuracy.seeds) == ("group-disjoint 3-fold", 12, [0, 1])
    assert (accuracy.float_top1, accuracy.int8_top1, accuracy.interval_95) == (0.75, 0.7, (0.4, 0.8))


def test_a_commit_with_changes_says_so(tmp_path, monkeypatch):
    """Nobody can find the code of a changed checkout again, so a bundle of it must not look reproducible."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    package = tmp_path / "edgehar"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(provenance.edgehar, "__file__", str(package / "__init__.py"))
    assert provenance.commit() == "unknown"
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, *command], check=True)
    clean = provenance.commit()
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (package / "__init__.py").write_text("changed = True\n")
    assert provenance.commit() == f"{clean}, unknown changes"
