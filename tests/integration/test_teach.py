"""`edgehar teach`, as a user calls it: real clips, a bundle that runs, and clear refusals."""

import json
import shutil

import numpy as np
import pytest
from support.disks import fill_up, small_disk
from support.helpers import assert_one_line_error, run_command, write_video
from support.samples import sample_alarms
from support.tiny_bundle import remember, write_tiny_bundle

from edgehar import ModelBundle
from edgehar.model.bundle import write_bundle
from edgehar.model.remembered import REMEMBERED_FILE, parse

RATE_HZ = 10


def write_clip(path, levels):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, [np.full((32, 32, 3), level, np.uint8) for level in levels], rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three kinds of clips that differ in brightness over time, of three cameras each."""
    folder = tmp_path_factory.mktemp("clips")
    rows = ["clip,group"]
    for number in range(6):
        small = 3 * number
        kinds = {
            "blinking": [20 + small, 235 - small] * 6,
            "bright": [225 - small] * 12,
            "ordinary": [120 + small] * 12,
        }
        for label, levels in kinds.items():
            write_clip(folder / label / f"{number}.mp4", levels)
            rows.append(f"{label}/{number}.mp4,camera {number // 2}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    return folder


def teach(bundle, data, out, *extra):
    return run_command("edgehar", "teach", bundle, "--data", data, "--out", out, *extra)


def test_a_new_class_is_taught_and_runs(tiny_bundle, clips, tmp_path):
    out = tmp_path / "taught.edgehar"
    done = teach(tiny_bundle, clips, out)
    assert done.returncode == 0, done.stderr
    assert "3 folds, groups held out" in done.stdout
    manifest = ModelBundle.open(out).manifest
    assert manifest.labels == ["bright", "dark", "blinking", "ordinary"]
    assert manifest.decision.background == ["ordinary"]
    assert manifest.provenance.taught.clips == {"blinking": 6, "bright": 6, "ordinary": 6}
    assert manifest.provenance.taught.after > manifest.provenance.taught.before
    answers = run_command("edgehar-run", "--source", clips / "blinking" / "0.mp4", "--model", out)
    labels = {json.loads(line)["label"] for line in answers.stdout.splitlines() if '"prediction"' in line}
    assert labels == {"blinking"}
    assert run_command("edgehar", "inspect", out, "--verify", "--windows", "50").returncode == 0
    assert "Taught on a device" in run_command("edgehar", "inspect", out, "--card").stdout


def test_what_does_not_help_is_refused_and_nothing_is_written(tiny_bundle, clips, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(clips / "bright", data / "bright")
    for number in range(6):
        write_clip(data / "dark" / f"{number}.mp4", [224 - 3 * number] * 11)
    done = teach(tiny_bundle, data, tmp_path / "taught.edgehar")
    assert done.returncode == 1
    assert "not written" in done.stderr
    assert "old head" in done.stdout
    assert list(tmp_path.glob("*.edgehar")) == []


def test_one_clip_under_two_labels_is_refused(tiny_bundle, clips, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(clips, data)
    shutil.copy(clips / "bright" / "2.mp4", data / "ordinary" / "again.mp4")
    done = teach(tiny_bundle, data, tmp_path / "taught.edgehar")
    assert_one_line_error(done, 2, "contradicting labels", "bright/2.mp4", "ordinary/again.mp4")


def test_a_damaged_clip_is_left_out_and_named(tiny_bundle, clips, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(clips, data)
    (data / "bright" / "damaged.mp4").write_bytes(b"not a video")
    done = teach(tiny_bundle, data, tmp_path / "taught.edgehar")
    assert done.returncode == 0, done.stderr
    assert "damaged.mp4" in done.stderr


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({"blinking": 6}, "only one label"),
        ({"blinking": 2, "bright": 6}, "'blinking': 2 readable clips"),
        ({}, "holds no clip"),
    ],
)
def test_too_little_is_refused(tiny_bundle, clips, tmp_path, kept, words):
    data = tmp_path / "data"
    data.mkdir()
    for label, count in kept.items():
        for path in sorted((clips / label).iterdir())[:count]:
            (data / label).mkdir(exist_ok=True)
            shutil.copy(path, data / label)
    done = teach(tiny_bundle, data, tmp_path / "taught.edgehar")
    assert_one_line_error(done, 2, words)


def test_one_group_cannot_be_held_out(tiny_bundle, clips, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(clips, data)
    table = (data / "groups.csv").read_text().splitlines()
    (data / "groups.csv").write_text("\n".join([table[0], *(f"{row.split(',')[0]},hall" for row in table[1:])]))
    assert_one_line_error(teach(tiny_bundle, data, tmp_path / "taught.edgehar"), 2, "one group")


@pytest.mark.parametrize(
    ("out", "words"), [("taught.zip", "NAME.edgehar"), ("a b.edgehar", "NAME.edgehar"), ("no/x.edgehar", "no")]
)
def test_a_place_that_cannot_be_written_is_said(tiny_bundle, clips, tmp_path, out, words):
    done = teach(tiny_bundle, clips, tmp_path / out)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_no_bundle(tiny_bundle, clips, tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk:
        fill_up(disk)
        done = teach(tiny_bundle, clips, disk / "taught.edgehar")
        assert_one_line_error(done, 1, "taught.edgehar", "No space left")
        assert [path.name for path in disk.iterdir()] == ["ballast"]


@pytest.fixture
def remembering(tmp_path):
    """A bundle that remembers twelve bright windows, which its head names."""
    path = write_tiny_bundle(tmp_path / "tiny.edgehar", threshold=0.6, background=["dark"], alarms=sample_alarms())
    return remember(path, bright=range(215, 227))


def test_what_is_not_forgotten_is_recorded_and_remembered_again(remembering, clips, tmp_path):
    data, out = tmp_path / "data", tmp_path / "taught.edgehar"
    for label in ("blinking", "ordinary"):
        shutil.copytree(clips / label, data / label)
    shutil.copy(clips / "groups.csv", data)
    done = teach(remembering, data, out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "remembered training windows" in done.stdout
    taught = ModelBundle.open(out)
    record = taught.manifest.provenance.taught
    assert (record.kept["bright"].before, record.kept["bright"].after, record.reach) == (12, 12, 1.0)
    # What was measured with the old head is not said of the new one.
    assert ModelBundle.open(remembering).manifest.provenance.alarms is not None
    assert (taught.manifest.provenance.alarms, taught.manifest.schema_version) == (None, 5)
    assert "names 12 of 12 of `bright`" in " ".join(taught.read("MODEL_CARD.md").decode().split())
    windows = parse(taught.read(REMEMBERED_FILE), "taught")
    assert (windows.head, list(windows.labels)) == (taught.manifest.files["head.tflite"], taught.manifest.labels)
    assert windows.truth.tolist() == [0] * 12
    again = teach(out, clips, tmp_path / "again.edgehar", "--json")
    assert json.loads(again.stdout.splitlines()[-1])["kept"]["bright"]["before"] == 12


def test_a_lesson_that_forgets_an_action_is_refused(remembering, clips, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(clips / "bright", data / "dark")
    rows = (clips / "groups.csv").read_text().replace("bright/", "dark/")
    (data / "groups.csv").write_text(rows)
    done = teach(remembering, data, tmp_path / "taught.edgehar")
    assert done.returncode == 1, done.stdout
    assert "not written: the new head names only" in done.stderr
    assert "of 12 training windows of 'bright'" in done.stderr
    assert "the correction reaches 35% as far" in done.stdout
    assert not (tmp_path / "taught.edgehar").exists()
    # Without remembered windows nobody notices.
    plain = write_tiny_bundle(tmp_path / "plain.edgehar", threshold=0.6, background=["dark"])
    done = teach(plain, data, tmp_path / "taught.edgehar")
    assert done.returncode == 0, done.stderr
    assert "the model remembers no training windows" in done.stdout
    card = ModelBundle.open(tmp_path / "taught.edgehar").read("MODEL_CARD.md").decode()
    assert "was not measured" in card


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content + bytes(2_000_000)])
def test_a_damaged_memory_is_refused(remembering, clips, tmp_path, damage):
    bundle = ModelBundle.open(remembering)
    write_bundle(remembering, bundle.manifest, {**bundle.files, REMEMBERED_FILE: damage(bundle.read(REMEMBERED_FILE))})
    done = teach(remembering, clips, tmp_path / "taught.edgehar")
    assert_one_line_error(done, 1, REMEMBERED_FILE, "convert the model again")
