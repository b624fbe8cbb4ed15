"""edgehar operate on footage, with a bundle that tells bright from dark: every alarm is known beforehand."""

import csv
import json
import shutil
import signal
from xml.dom import minidom

import pytest
from support.helpers import assert_one_line_error, flat_frames, start_command, write_video
from support.tiny_bundle import write_tiny_bundle
from support.warm import run_command

from edgehar import ModelBundle
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.splits import Split, write_splits
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import DataSettings, NetworkSettings, SplitSettings

DARK, BRIGHT = 40, 220
RATE_HZ = 25


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def seconds(*parts):
    """Levels of frames: pairs of a level and how many seconds it lasts."""
    return [level for level, lasts_s in parts for _ in range(int(lasts_s * RATE_HZ))]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A dark yard; a bright one, where an alarm of 40 s rings; and two recordings with incidents."""
    folder = tmp_path_factory.mktemp("footage") / "place"
    for name, levels in {
        "ordinary/dark.mp4": seconds((DARK, 20)),
        "ordinary/bright.mp4": seconds((DARK, 10), (BRIGHT, 40), (DARK, 10)),
        "incident/long.mp4": seconds((DARK, 10), (BRIGHT, 4), (DARK, 16)),
        "incident/short.mp4": seconds((BRIGHT, 1)),
        "incident/missed.mp4": seconds((DARK, 2)),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / name, flat_frames(levels))
    (folder / "groups.csv").write_text("clip,group\nordinary/bright.mp4,lamp\nincident/long.mp4,lamp\n")
    (folder / "events.csv").write_text("clip,label,start_s,end_s\nincident/long.mp4,bright,10,14\n")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.edgehar", background=["dark"])


def operate(target, data, *arguments):
    return run_command(
        "edgehar", "operate", target, "--ordinary", data / "ordinary", "--incident", data / "incident", *arguments,
    )  # fmt: skip


def test_a_bundle_is_measured_as_it_is_shipped(bundle, data, tmp_path):
    done = operate(bundle, data, "--out", tmp_path, "--thresholds", 0.9, 0.5)
    assert done.returncode == 0, done.stderr
    assert "2 ordinary, 3 with incidents, 4 cameras" in done.stdout
    found = json.loads((tmp_path / "alarms.json").read_text())
    decided = found["as_decided"]
    alarms = decided["false_alarms"]
    # An alarm of 40 s counts twice, over 80 s of footage, but for the last frames that make no whole hop.
    assert alarms["alarms"] == 2
    assert 3600 * alarms["hours"] == pytest.approx(80, abs=0.5)
    assert alarms["per_hour"] == pytest.approx(90, rel=0.02)
    assert alarms["share_of_time"] == pytest.approx(0.5, abs=0.02)
    # The long recording has 30 s; its incident and the borders take 10 s.
    assert 3600 * decided["outside_incidents"]["hours"] == pytest.approx(20, abs=0.5)
    assert decided["outside_incidents"]["alarms"] == 0
    assert (decided["found"]["found"], decided["found"]["incidents"]) == (2, 3)
    assert (decided["found_from_quiet"]["found"], decided["found_from_quiet"]["incidents"]) == (1, 1)
    assert decided["found"]["delay_s"]["median"] < 0.8
    assert decided["missed"][0]["recording"] == "place/incident/missed.mp4"
    ordinary, incident = decided["per_folder"]
    assert (ordinary["folder"], ordinary["recordings"], ordinary["with_false_alarms"]) == ("place/ordinary", 2, 1)
    assert (incident["folder"], incident["incidents"], incident["found"]) == ("place/incident", 3, 2)
    lamp = next(row for row in decided["per_camera"] if row["camera"] == "place:lamp")
    assert (lamp["recordings"], lamp["false_alarms"], lamp["found"]) == (2, 2, 1)
    # Two alarms in 80 s are far more than 6 an hour: only silence is few enough, as no score reaches 1.
    assert found["chosen"]["false_alarms"]["alarms"] == 0
    with (tmp_path / "alarms.csv").open(newline="") as file:
        assert [float(row["threshold"]) for row in csv.DictReader(file)] == [0.5, 0.9]
    with (tmp_path / "recordings.csv").open(newline="") as file:
        rows = {row["recording"]: row for row in csv.DictReader(file)}
    assert rows["place/ordinary/dark.mp4"]["alarms_from_to_s"] == ""
    start_s, _, end_s = rows["place/ordinary/bright.mp4"]["alarms_from_to_s"].partition("-")
    assert (float(start_s), float(end_s)) == pytest.approx((10, 50), abs=0.5)
    page = (tmp_path / "alarms.html").read_text()
    assert "://" not in page
    minidom.parseString(page[page.index("<svg") : page.index("</svg>") + 6])


def test_rules_of_the_bundle_and_of_the_command_line_decide(data, tmp_path):
    slow = write_tiny_bundle(
        tmp_path / "slow.edgehar", background=["dark"], smoothing="cusum", cusum_seconds=3.0, threshold=0.5
    )
    done = operate(slow, data, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # A score near 1 needs 3 s: the long incident is found late, the short one not at all.
    assert found["as_decided"]["found"]["found"] == 1
    assert found["as_decided"]["found"]["delay_s"]["median"] > 2.5
    again = json.loads(operate(slow, data, "--json", "--decision", "smoothing=none").stdout)
    assert again["as_decided"]["found"]["found"] == 2
    assert again["as_decided"]["found"]["delay_s"]["median"] < 1


def test_a_bundle_holds_what_was_measured_with_its_rules_until_they_change(bundle, data, tmp_path, monkeypatch):
    assert operate(bundle, data, "--out", tmp_path / "out").returncode == 0
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    told = tmp_path / "share/edgehar/models/told.edgehar"
    told.parent.mkdir(parents=True)
    done = run_command("edgehar-convert", bundle, "--out", told, "--name", "told", "--alarms", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    manifest = ModelBundle.open(told).manifest
    alarms = manifest.provenance.alarms
    assert (manifest.schema_version, alarms.labels, alarms.seeds) == (6, ["bright"], [])
    assert (alarms.false_alarms, alarms.found, alarms.incidents) == (2, 2, 3)
    assert alarms.hours == pytest.approx(80 / 3600, rel=0.02)
    listed = run_command("edgehar", "models").stdout
    shown = listed[listed.index("told (") :]
    assert "false: 90 an hour (95 % interval 11 to 326) in 1 minute of ordinary footage" in shown
    assert "of 3 incidents, after a median of 0." in shown
    facts = [json.loads(line) for line in run_command("edgehar", "models", "--json").stdout.splitlines()]
    assert next(one for one in facts if one["name"] == "told")["alarms"]["false_alarms"] == 2
    assert "\nfound          67% (95 % interval" in run_command("edgehar", "inspect", told).stdout
    # A name changes nothing that was measured, a rule does.
    for words, kept in ((("--name", "other"), True), (("--decision", "hysteresis=0.2"), False)):
        assert run_command("edgehar-convert", told, "--out", tmp_path / "new.edgehar", *words).returncode == 0
        new = ModelBundle.open(tmp_path / "new.edgehar").manifest
        assert (new.provenance.alarms == alarms, new.schema_version) == (kept, 6 if kept else 2)


def test_figures_of_other_rules_are_refused(bundle, data, tmp_path):
    out, new = tmp_path / "out", tmp_path / "new.edgehar"

    def refused(told, *words):
        assert_one_line_error(run_command("edgehar-convert", bundle, "--out", new, "--alarms", out, *words), 2, told)
        assert not new.exists()

    refused("alarms.json cannot be read")
    assert operate(bundle, data, "--out", out).returncode == 0
    refused("measured with decision 'threshold=0', but the bundle has 'threshold=0.6'", "--threshold", 0.6)
    refused("measured with background 'dark'", "--background", "bright")
    summary = json.loads((out / "alarms.json").read_text())
    for change, told in (
        ({"labels": ["a", "b"]}, "measured with labels 'a, b'"),
        ({"as_decided": {**summary["as_decided"], "false_alarms": None}}, "no ordinary footage was watched"),
        ({"as_decided": {}}, "is not a file of edgehar operate"),
        ({"seeds": "none"}, "is not a file of edgehar operate"),
    ):
        (out / "alarms.json").write_text(json.dumps(summary | change))
        refused(told)


def test_clips_are_scored_once(bundle, data, tmp_path):
    cache = tmp_path / "scores"
    assert operate(bundle, data, "--cache", cache, "--json").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in cache.glob("*.npz")}
    assert len(before) == 5
    copy = shutil.copytree(data, tmp_path / "place")
    done = operate(bundle, copy, "--cache", cache, "--json", "--jobs", 2, "--decision", "hysteresis=0.1")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*.npz")} == before


def test_a_recording_that_cannot_be_read_is_said_and_left_out(bundle, data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "place")
    (copy / "ordinary" / "broken.mp4").write_bytes(b"not a video")
    done = operate(bundle, copy, "--json")
    assert done.returncode == 0, done.stderr
    assert "1 of 6 recordings cannot be read" in " ".join(json.loads(done.stdout)["warnings"])


def test_ctrl_c_ends_it_cleanly(bundle, tmp_path):
    for number in range(12):
        write_video(tmp_path / f"{number}.mp4", flat_frames([number] * 4000))
    process = start_command("edgehar", "operate", bundle, "--ordinary", tmp_path, "--cache", tmp_path / "scores")
    while not list((tmp_path / "scores").glob("*.npz")):
        assert process.poll() is None, "ended before it was interrupted"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in errors
    assert not list((tmp_path / "scores").glob("*.tmp*"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data, bundle):
    """Two folds over three cameras of a data set of their own."""
    folder = tmp_path_factory.mktemp("runs")
    clips = []
    for label, level in {"bright": BRIGHT, "dark": DARK}.items():
        for place in range(3):
            path = folder / "own" / label / f"{place}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            clips.append(Clip(str(write_video(path, flat_frames([level] * 50))), label, f"place{place}"))
    for fold in range(2):
        run = folder / "runs" / "seed-0" / f"fold-{fold}"
        run.mkdir(parents=True)
        RunConfig(
            data=DataSettings(folder=str(folder / "own")),
            split=SplitSettings(folds=2),
            network=NetworkSettings(size=16, window=4, rate_hz=10.0),
            labels=["bright", "dark"],
            protocol="group-disjoint 2-fold",
            fold=fold,
        ).write(run)
        write_splits(
            run / "splits.csv",
            clips,
            Split(train=[2, 5], val=[1 - fold, 4 - fold], test=[fold, 3 + fold]),
            folder / "own",
        )
        shutil.copy(bundle, run / "model.edgehar")
        (run / "metrics.json").write_text("{}")
    return folder / "runs"


def test_folds_judge_what_they_have_not_seen(runs, data):
    own = runs.parent / "own"
    done = run_command(
        "edgehar", "operate", runs, "--background", "dark", "--ordinary", own / "dark", data / "ordinary",
        "--incident", own / "bright", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["seeds"] == [0]
    # The third place was trained on by both.
    assert any("left out" in text for text in found["warnings"])
    assert found["as_decided"]["false_alarms"]["recordings"] == 4
    assert found["as_decided"]["found"]["incidents"] == 2
    assert sorted(found["chosen"]["runs"]) == ["seed-0/fold-0", "seed-0/fold-1"]


def test_what_is_wrong_is_said_in_a_line(bundle, data, runs, tmp_path):
    assert_one_line_error(run_command("edgehar", "operate", bundle), 2, "--ordinary")
    assert_one_line_error(run_command("edgehar", "operate", bundle, "--incident", data / "incident"), 2, "--ordinary")
    assert_one_line_error(operate(tmp_path / "none.edgehar", data), 2, "no such model bundle")
    assert_one_line_error(operate(bundle, data, "--label", "brihgt"), 2, "'brihgt' is not a label")
    assert_one_line_error(operate(bundle, data, "--label", "dark"), 2, "no label is an alarm")
    assert_one_line_error(operate(bundle, data, "--decision", "k=9"), 2, "k is 9")
    assert_one_line_error(operate(bundle, data, "--tolerance-s", -1), 2, "--tolerance-s")
    assert_one_line_error(operate(bundle, data, "--hop", 99), 2, "hop is 99")
    assert_one_line_error(operate(bundle, tmp_path), 2, "no such folder")
    one = run_command("edgehar", "operate", runs / "seed-0" / "fold-0", "--ordinary", data / "ordinary")
    assert_one_line_error(one, 1, "give footage of more cameras")
