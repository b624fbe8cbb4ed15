"""`edgehar data import-inbox`: labels of devices become a data set that the loaders read."""

import shutil

import numpy as np
import pytest
from support.helpers import assert_one_line_error, run_command, write_video
from support.moments import facts_of

from edgehar.teaching.inbox import Inbox
from edgehar.teaching.labels import Label, write_label

pytest.importorskip("edgehar_training")


def add(inbox, number, label, *, clip=True, seed=0):
    """A labeled moment with a clip of three seconds, of which the last two are the moment."""
    features = np.random.default_rng(1000 * seed + number).integers(-128, 127, (20, 8)).astype(np.int8)
    path = None
    if clip:
        inbox.folder.mkdir(parents=True, exist_ok=True)
        path = write_video(
            inbox.folder / "new.mp4", [np.full((32, 32, 3), 10 * number + seed, np.uint8)] * 30, rate_hz=10
        )
    facts = facts_of(6 * number, start_s=100.0, end_s=102.0, clip_offset_s=1.0)
    item = inbox.add(facts, features, path)
    write_label(item.base, Label(label, "bright"))
    return item


@pytest.fixture
def devices(tmp_path):
    found = [Inbox(tmp_path / name) for name in ("hall", "yard")]
    for seed, inbox in enumerate(found):
        for number in range(6):
            add(inbox, number, "fall" if number % 2 else "ordinary", seed=seed)
    add(found[0], 9, "fall", clip=False)
    return found


def test_labels_of_two_devices_are_merged_with_groups(devices, tmp_path):
    out = tmp_path / "clips"
    done = run_command(
        "edgehar", "data", "import-inbox", *(inbox.folder for inbox in devices), "--out", out, "--ordinary", "noFight"
    )
    assert done.returncode == 0, done.stderr
    assert "6 fall, 6 noFight" in done.stdout
    assert "1 moments have no clip" in done.stderr
    listed = run_command("edgehar", "data", "list", out / "clips.csv", "--dataset", "csv")
    assert listed.returncode == 0, listed.stderr
    rows = [line.split(",") for line in listed.stdout.splitlines()]
    header, rows = rows[0], [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert {"path", "label", "group"} <= set(header)
    assert len(rows) == 12
    # Two days of four and two moments of each device.
    assert len({row["group"] for row in rows}) == 4
    assert {row["group"].split("/")[0] for row in rows} == {"hall", "yard"}
    assert {(float(row["start_s"]), float(row["end_s"])) for row in rows} == {(1.0, 3.0)}
    checked = run_command("edgehar", "data", "check", out / "clips.csv", "--dataset", "csv")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_moment_that_two_inboxes_hold_is_taken_once(devices, tmp_path):
    shutil.copytree(devices[0].folder, tmp_path / "copy")
    done = run_command("edgehar", "data", "import-inbox", devices[0].folder, tmp_path / "copy", "--out", tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert "6 moments are in several inboxes" in done.stderr


def test_contradicting_labels_are_refused(devices, tmp_path):
    shutil.copytree(devices[0].folder, tmp_path / "copy")
    item = next(item for item in Inbox(tmp_path / "copy").items() if item.clip)
    write_label(item.base, Label("hug", "bright"))
    done = run_command("edgehar", "data", "import-inbox", devices[0].folder, tmp_path / "copy", "--out", tmp_path / "c")
    assert_one_line_error(done, 2, "contradicting labels", "'hug'")
    assert not (tmp_path / "c").exists()


def test_what_cannot_be_imported_is_said(devices, tmp_path):
    features = Inbox(tmp_path / "features")
    add(features, 1, "fall", clip=False)
    out = tmp_path / "c"
    done = run_command("edgehar", "data", "import-inbox", features.folder, "--out", out)
    assert_one_line_error(done, 1, "none with a clip", '"clips"')
    same = tmp_path / "x" / "hall"
    done = run_command("edgehar", "data", "import-inbox", devices[0].folder, same, "--out", out)
    assert_one_line_error(done, 2, "two inboxes are named 'hall'", "NAME=DIR")
    out.mkdir(exist_ok=True)
    (out / "old").write_text("x")
    done = run_command("edgehar", "data", "import-inbox", devices[0].folder, "--out", out)
    assert_one_line_error(done, 1, "is not empty")
