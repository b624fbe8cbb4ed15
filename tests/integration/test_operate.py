"""edgehar operate on runs laid out as edgehar-train leaves them; the bundle tells bright from dark, so all is known."""

import csv
import json
import re
import shutil
from xml.dom import minidom

import pytest
from support.helpers import assert_one_line_error, flat_frames, write_video
from support.tiny_bundle import write_tiny_bundle
from support.warm import run_command

from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.splits import Split, write_splits
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import DataSettings, NetworkSettings, SplitSettings

# The score of "bright" rises with the level and is 1/2 at 127.5; one clip of each label looks like the other.
LEVELS = {"bright": [160] * 5 + [60], "dark": [90] * 5 + [170]}
FOLDS = 2


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folds: each clip with an odd number is in the test part of one; the clips that mislead are tested in both."""
    folder = tmp_path_factory.mktemp("operate")
    clips = [
        Clip(str(write_video(folder / f"{label}-{n}.mp4", flat_frames([level] * 50))), label, f"place{n}")
        for label, levels in LEVELS.items()
        for n, level in enumerate(levels)
    ]
    bundle = write_tiny_bundle(folder / "model.edgehar")
    for fold in range(FOLDS):
        test = [i for i, clip in enumerate(clips) if clip.group in (f"place{2 * fold + 1}", "place5")]
        val = [i for i, clip in enumerate(clips) if clip.group == "place0"]
        run = folder / "runs" / "seed-0" / f"fold-{fold}"
        run.mkdir(parents=True)
        config = RunConfig(
            data=DataSettings(folder=str(folder)),
            split=SplitSettings(folds=FOLDS),
            network=NetworkSettings(size=16, window=4, rate_hz=10.0),
            labels=list(LEVELS),
            protocol="group-disjoint 2-fold",
            fold=fold,
        )
        config.write(run)
        write_splits(run / "splits.csv", clips, Split(train=[4, 10], val=val, test=test), folder)
        shutil.copy(bundle, run / "model.edgehar")
        metrics = {
            name: {"predictions": [_stored(clips[i]) for i in part]}
            for name, part in {"val": val, "test": test}.items()
        }
        (run / "metrics.json").write_text(json.dumps(metrics))
    return folder / "runs"


def _stored(clip):
    scores = [0.8, 0.2] if clip.label == "bright" else [0.3, 0.7]
    return {"clip": clip.path, "group": clip.group, "label": clip.label, "predicted": clip.label, "scores": scores}


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Clips of other actions, one brighter than any event."""
    folder = tmp_path_factory.mktemp("others")
    for label, level in {"jump": 240, "run": 10}.items():
        (folder / label).mkdir()
        for number in range(2):
            write_video(folder / label / f"{number}.mp4", flat_frames([level] * 20))
    return folder


def operate(*arguments):
    return run_command("edgehar", "operate", *arguments, "--background", "dark")


def test_thresholds_are_measured_on_test_clips(runs, others, tmp_path):
    done = operate(
        runs, "--decision", "smoothing=none", "--context-s", 2, "--unknown", others, "--out", tmp_path,
        "--thresholds", 0.5, 0.995,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "group-disjoint 2-fold" in done.stdout
    assert "2 runs, seeds 0" in done.stdout
    found = json.loads((tmp_path / "operate.json").read_text())
    # Of two bright and two dark clips in each run, one of each misleads: 2 of 4 pairs are in order, by hand.
    assert found["roc"]["clip"]["auc"] == pytest.approx(0.25)
    low, high = found["thresholds"]
    assert low["false_alarms"]["events"] == FOLDS
    seconds = 3600 * low["false_alarms"]["hours"] / FOLDS
    # Four seconds of dark clips, but for the first window.
    assert seconds == pytest.approx(4.0 - 0.3, abs=0.3)
    assert low["false_alarms"]["per_hour"] == pytest.approx(3600 / seconds)
    assert low["alone"]["share"] == 0.5
    assert low["within"]["share"] + low["open_before"] + low["missed"] == pytest.approx(1)
    assert low["unknown"]["events"]["share"] == 0.5
    assert low["unknown"]["answers"] == {"event": 0.5, "background": 0.5, "unknown": 0.0}
    assert high["false_alarms"]["events"] == 0
    assert high["alone"]["share"] == high["within"]["share"] == 0
    # The validation clip of background is under 1/2 all along: any threshold over it has no false alarm.
    assert [row["validation"]["events"] for row in found["chosen"]["runs"]] == [0] * FOLDS
    assert found["chosen"]["median"] < 0.5 < found["chosen"]["decision_thresholds"]["dark"]
    assert [row["of"] for row in found["calibration"]["rows"]] == ["int8 windows", "int8 clips"] + ["float clips"] * 2
    with (tmp_path / "thresholds.csv").open(newline="") as file:
        assert [float(row["false_alarms"]) for row in csv.DictReader(file)] == [FOLDS, 0]
    with (tmp_path / "roc.csv").open(newline="") as file:
        assert {row["of"] for row in csv.DictReader(file)} == {"clip", "window"}
    page = (tmp_path / "operate.html").read_text()
    assert "://" not in page
    charts = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(charts) >= 6
    for chart in charts:
        minidom.parseString(chart)


def test_an_event_is_late_by_its_windows_and_its_votes(runs):
    """More than half of a window of 0.4 s must be bright; two more answers, 0.2 s apart, are two more votes."""
    found = []
    for options in (["smoothing=none"], ["smoothing=k-of-n", "k=3", "n=3"]):
        done = operate(runs, "--decision", *options, "--context-s", 1, "--json", "--thresholds", 0.6)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout)["thresholds"][0])
    plain, voted = (point["latency_s"]["median"] for point in found)
    assert 0.1 <= plain <= 0.5
    assert voted == pytest.approx(plain + 0.4, abs=0.05)


def test_what_cannot_be_measured_is_said(runs, others, tmp_path):
    assert_one_line_error(run_command("edgehar", "operate", runs), 2, "--background", "bright, dark")
    assert_one_line_error(operate(runs, "--thresholds", 2), 2, "--thresholds 2")
    assert_one_line_error(operate(runs, "--decision", "threshold=0.4"), 2, "--thresholds")
    assert_one_line_error(operate(tmp_path / "none"), 2, "no such folder")
    assert_one_line_error(operate(tmp_path), 2, "neither a run")
    copy = shutil.copytree(runs, tmp_path / "copy")
    (copy / "seed-0/fold-1/model.edgehar").unlink()
    assert_one_line_error(operate(copy), 1, "fold-1", "--resume --int8")
    (copy / "seed-0/fold-1/metrics.json").unlink()
    assert_one_line_error(operate(copy), 1, "1 of 2 runs are finished")
    (others / "bright").mkdir()
    for number in range(2):
        write_video(others / "bright" / f"{number}.mp4", flat_frames([0] * 5))
    assert_one_line_error(operate(runs, "--unknown", others), 2, "'bright', which the model knows")
