"""Official splits through edgehar-train."""

import csv
import json

import pytest
from support.helpers import assert_one_line_error, flat_frames, write_video
from support.warm import run_command

pytest.importorskip("keras", reason="needs the train extra")

pytestmark = pytest.mark.training

SMALL = ("--window", 4, "--epochs", 1, "--batch-size", 8, "--split", "official")


def write_clip(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, flat_frames([level] * 12, 32, 32))


@pytest.fixture(scope="module")
def kth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("KTH")
    lines = []
    for action, level in (("boxing", 60), ("walking", 200)):
        for person in (1, 2, 11, 12):
            write_clip(folder / action / f"person{person:02d}_{action}_d1_uncomp.avi", level + person)
            lines.append(f"person{person:02d}_{action}_d1\t\tframes\t1-6, 7-12\r\n")
    (folder / "00sequences.txt").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def ucf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("UCF") / "UCF-101"
    for action in ("Biking", "Diving"):
        for group in range(1, 5):
            write_clip(folder / action / f"v_{action}_g{group:02d}_c01.avi", group)
    return folder


def test_kth_is_trained_and_tested_on_its_persons(kth, tmp_path):
    out = tmp_path / "run"
    done = run_command(
        "edgehar-train",
        "--dataset",
        "kth",
        "--data",
        kth,
        *SMALL,
        "--cache",
        tmp_path / "c",
        "--out",
        out,
    )
    assert done.returncode == 0, done.stderr
    assert "official split (KTH, by person)" in done.stdout
    with (out / "splits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["group"], row["part"]) for row in rows} == {
        ("person01", "val"), ("person02", "test"), ("person11", "train"), ("person12", "train"),
    }  # fmt: skip
    assert {(row["start_s"], row["end_s"]) for row in rows} == {("0.0", "0.22"), ("0.22", "0.46")}
    assert json.loads((out / "metrics.json").read_text())["test"]["clips"] == 4


def test_what_is_missing_is_said_before_anything_is_decoded(ucf, tmp_path):
    cache = tmp_path / "cache"
    command = ("edgehar-train", "--data", ucf, *SMALL, "--cache", cache, "--out", tmp_path / "run")
    assert_one_line_error(run_command(*command, "--dataset", "ucf50"), 2, "--folds 4")
    assert_one_line_error(run_command(*command, "--dataset", "folder"), 2, "has no split of its own")
    assert_one_line_error(run_command(*command, "--dataset", "ucf101"), 1, "trainlist01.txt")
    assert_one_line_error(run_command(*command, "--dataset", "hmdb51"), 1, "testTrainMulti_7030_splits")
    assert not cache.exists()
