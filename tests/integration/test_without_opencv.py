"""The slim installation: OpenCV is not there, and only what needs it says so."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from support.helpers import flat_frames, write_video

# `cv2` is blocked in this process as if it were not installed.
RUN = """
import sys
sys.modules["cv2"] = None
from edgehar.cli.COMMAND import main
sys.exit(main(sys.argv[1:]))
"""


def run(command, *arguments):
    return subprocess.run(
        [sys.executable, "-c", RUN.replace("COMMAND", command), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def bright_video(tmp_path):
    return write_video(tmp_path / "bright.mp4", flat_frames([20] * 25 + [235] * 50))


def test_a_video_is_classified_recorded_and_drawn(tmp_path, tiny_bundle, bright_video):
    record = tmp_path / "rec"
    done = run("run", "--source", bright_video, "--model", tiny_bundle, "--record", record)
    assert done.returncode == 0, done.stderr
    assert "phase" in done.stdout, done.stdout
    pictures = sorted(cv2.imread(str(path)).mean() for path in record.rglob("*.jpg"))
    assert pictures == pytest.approx([20, 235], abs=4), done.stderr
    drawn = run("main", "demo", "--source", bright_video, "--out", tmp_path / "demo.mp4")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "demo.mp4").stat().st_size > 1000


def test_images_are_classified(tmp_path, tiny_bundle):
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), 200, np.uint8))
    done = run("run", "--source", tmp_path, "--model", tiny_bundle)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["label"]


@pytest.mark.parametrize("source", ["camera:0", "synthetic:walking"])
def test_sources_that_need_it_name_the_package(tiny_bundle, source):
    done = run("run", "--source", source, "--model", tiny_bundle)
    assert done.returncode == 1
    assert (
        f"{source.partition('?')[0]}: this source needs OpenCV; run: pip install opencv-python-headless" in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_the_doctor_and_the_benchmark_name_the_package(tmp_path, tiny_bundle, bright_video):
    done = run("main", "doctor", "--json", "--source", bright_video, "--model", tiny_bundle)
    found = {finding["check"]: finding for finding in json.loads(done.stdout)["checks"]}
    assert found["source v4l2"]["level"] == "warn"
    assert found["source v4l2"]["fix"] == "pip install opencv-python-headless"
    assert found["source images"]["level"] == found["source video"]["level"] == "ok"
    measured = run("main", "bench", "preprocess", "--quick")
    assert measured.returncode == 1
    assert "edgehar bench needs OpenCV; run: pip install opencv-python-headless" in measured.stderr
