"""`edgehar eval` on bundles: nothing here needs the training extra."""

import base64
import csv
import json
import os
import re
import subprocess
import sys

import av
import numpy as np
import pytest
from support.helpers import assert_one_line_error, flat_frames, write_video
from support.html_pages import read_page
from support.warm import run_command


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def test_a_bundle_is_measured_and_reported(clips, tiny_bundle, tmp_path):
    done = run_command("edgehar", "eval", tiny_bundle, "--data", clips, "--out", tmp_path / "out", "--windows-csv")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^WARNING: MAY INCLUDE TRAINING CLIPS", done.stdout, re.MULTILINE)
    assert re.search(r"^accuracy +0\.667 \(95 % interval 0\.000 to 1\.000\) on 6 clips in 3 groups$", done.stdout, re.M)
    assert re.search(r"^bright +0\.667 +0\.667 +0\.667", done.stdout, re.MULTILINE)
    found = json.loads((tmp_path / "out/eval.json").read_text())
    assert found["includes_training_clips"] == "unknown"
    assert found["clip"]["confusion"] == [[2, 1], [1, 2]]
    assert [row["top1"] for row in found["per_group"]] == [0.0, 1.0, 1.0]
    assert {(row["clip"], row["predicted"]) for row in found["worst"]} == {
        ("bright/2.mp4", "dark"),
        ("dark/2.mp4", "bright"),
    }
    rows, windows = table(tmp_path / "out/predictions.csv"), table(tmp_path / "out/windows.csv")
    assert [row["right"] for row in rows] == ["1", "1", "0"] * 2
    assert found["window"]["windows"] == len(windows) > len(rows)
    of_first = [float(row["score_bright"]) for row in windows if row["clip"] == rows[0]["clip"]]
    assert float(rows[0]["score_bright"]) == pytest.approx(np.mean(of_first), abs=1e-4)
    page = read_page(tmp_path / "out/report.html")
    assert "MAY INCLUDE TRAINING CLIPS" in page
    assert page.count('src="data:image/jpeg;base64,') == 2
    picture = base64.b64decode(re.search(r'base64,([^"]+)"', page)[1])
    assert picture.startswith(b"\xff\xd8")
    again = run_command("edgehar", "eval", tiny_bundle, "--data", clips, "--out", tmp_path / "bare", "--no-thumbnails")
    assert again.returncode == 0
    assert "<img" not in read_page(tmp_path / "bare/report.html")


def test_a_device_without_the_training_extra_evaluates(clips, tiny_bundle, tmp_path):
    done = run_without("sklearn keras tensorflow matplotlib scipy", tiny_bundle, clips, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").exists()


def test_without_jinja2_only_the_page_is_missing(clips, tiny_bundle, tmp_path):
    done = run_without("jinja2", tiny_bundle, clips)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^accuracy +0\.667", done.stdout, re.MULTILINE)
    refused = run_without("jinja2", tiny_bundle, clips, "--out", tmp_path / "out")
    assert_one_line_error(refused, 2, "--out", "pip install 'edgehar[report]'")
    assert not (tmp_path / "out").exists()


def run_without(packages, bundle, clips, *arguments):
    """`edgehar eval` in a Python without these packages."""
    command = ["eval", *map(str, (bundle, "--data", clips, *arguments))]
    code = (
        f"import sys\nfor name in {packages.split()!r}: sys.modules[name] = None\n"
        f"from edgehar.cli.main import main\nsys.exit(main({command!r}))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_names_of_labels_and_clips_are_escaped(tiny_bundle, tmp_path):
    for label, level in (("bright", 220), ("<b>&", 30)):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(2):
            write_video(tmp_path / "clips" / label / f"{number}<i>.mp4", flat_frames([level] * 20))
    arguments = ("--data", tmp_path / "clips", "--allow-unknown", "--out", tmp_path / "out")
    done = run_command("edgehar", "eval", tiny_bundle, *arguments)
    assert done.returncode == 0, done.stderr
    page = read_page(tmp_path / "out/report.html")
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_clips_of_labels_that_the_model_does_not_know(clips, tiny_bundle, tmp_path):
    grey = tmp_path / "clips"
    (grey / "grey").mkdir(parents=True)
    (grey / "bright").mkdir()
    for number, level in enumerate((128, 129, 235)):
        write_video(grey / "grey" / f"{number}.mp4", flat_frames([level] * 20))
        write_video(grey / "bright" / f"{number}.mp4", flat_frames([225 + number] * 20))
    refused = run_command("edgehar", "eval", tiny_bundle, "--data", grey)
    assert_one_line_error(refused, 1, "does not know the label grey (3 clips)", "--allow-unknown")
    arguments = ("--data", grey, "--allow-unknown", "--threshold", 0.9, "--out", tmp_path / "out")
    done = run_command("edgehar", "eval", tiny_bundle, *arguments)
    assert done.returncode == 0, done.stderr
    unknown = json.loads((tmp_path / "out/eval.json").read_text())["unknown"]
    assert unknown["labels"] == {"grey": 3}
    assert unknown["abstained"] == pytest.approx(2 / 3)
    assert unknown["known_abstained"] == 0.0
    assert unknown["answers"] == {"bright": 1}
    assert "66.7%" in read_page(tmp_path / "out/report.html")

    (grey / "bright").rename(grey / "pink")
    refused = run_command("edgehar", "eval", tiny_bundle, "--data", grey)
    assert_one_line_error(refused, 1, "bright, dark", "grey, pink", "no label in common")
    done = run_command("edgehar", "eval", tiny_bundle, "--data", grey, "--allow-unknown", "--out", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    assert "accuracy" not in done.stdout
    read_page(tmp_path / "none/report.html")


def test_one_folder_of_unknown_clips_is_enough(tiny_bundle, tmp_path):
    """What a detector answers to everything else: the command of docs/evaluate.md, on a single folder of clips."""
    (tmp_path / "everyday/street").mkdir(parents=True)
    write_video(tmp_path / "everyday/street/a.mp4", flat_frames([230] * 20))
    arguments = ("--data", tmp_path / "everyday", "--allow-unknown", "--threshold", 0.7)
    done = run_command("edgehar", "eval", tiny_bundle, *arguments)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^unknown labels +1 clips, 0\.0% not answered under 0\.7$", done.stdout, re.MULTILINE)
    assert re.search(r"^answered as +bright 1$", done.stdout, re.MULTILINE)
    # Clips of one label that the model knows are measured without the option.
    (tmp_path / "everyday/street").rename(tmp_path / "everyday/bright")
    done = run_command("edgehar", "eval", tiny_bundle, "--data", tmp_path / "everyday")
    assert re.search(r"^accuracy +1\.000 .* on 1 clips in 1 groups$", done.stdout, re.MULTILINE), done.stderr


def test_file_names_that_are_not_utf8_are_evaluated_and_reported(tiny_bundle, tmp_path):
    name = os.fsdecode(b"lat\xe9.mp4")
    for label, level in (("bright", 230), ("dark", 230)):
        (tmp_path / "clips" / label).mkdir(parents=True)
        write_video(tmp_path / "clips" / label / "a.mp4", flat_frames([level] * 20))
        (tmp_path / "clips" / label / "a.mp4").rename(tmp_path / "clips" / label / name)
    arguments = ("--data", tmp_path / "clips", "--out", tmp_path / "out", "--windows-csv")
    done = run_command("edgehar", "eval", tiny_bundle, *arguments)
    assert done.returncode == 0, done.stderr
    assert {row["clip"] for row in table(tmp_path / "out/predictions.csv")} == {
        r"bright/lat\xe9.mp4",
        r"dark/lat\xe9.mp4",
    }
    assert r"dark/lat\xe9.mp4" in read_page(tmp_path / "out/report.html")
    assert {row["clip"] for row in json.loads((tmp_path / "out/eval.json").read_text())["worst"]} == {
        r"dark/lat\xe9.mp4"
    }
    assert not [path for path in (tmp_path / "out").iterdir() if ".tmp" in path.name]


def test_a_clip_that_cannot_be_read_is_named_and_left_out(clips, tiny_bundle, tmp_path):
    broken = tmp_path / "clips"
    for label, level in (("bright", 220), ("dark", 20)):
        (broken / label).mkdir(parents=True)
        for number in range(2):
            write_video(broken / label / f"{number}.mp4", flat_frames([level] * 20))
    (broken / "dark/1.mp4").write_bytes(b"no video")
    done = run_command("edgehar", "eval", tiny_bundle, "--data", broken)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^WARNING: 1 unreadable clip was left out; .*dark/1\.mp4", done.stdout, re.MULTILINE)
    assert "on 3 clips" in done.stdout


def test_every_frame_gets_label_and_confidence(clips, tiny_bundle, tmp_path):
    frames = flat_frames([230] * 30 + [20] * 30)
    video = write_video(tmp_path / "clip.mp4", frames, rate_hz=10)
    done = run_command("edgehar", "eval", tiny_bundle, "--annotate", video, "--out", tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr
    assert "57 answers on 60 frames" in done.stderr
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(shown) == 60
    assert shown[0].shape[1] > shown[0].shape[0]
    panels = [picture[:, -100:].astype(int) for picture in shown]
    assert np.abs(panels[25] - panels[55]).max() > 50
    short = write_video(tmp_path / "short.mp4", flat_frames([230] * 2), rate_hz=10)
    done = run_command("edgehar", "eval", tiny_bundle, "--annotate", short, "--out", tmp_path / "short-out.mp4")
    assert "1 answers on 2 frames" in done.stderr
