"""`edgehar explain`: what it names must matter more than what it does not, on people the model has not seen."""

import itertools

import av
import cv2
import numpy as np
import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, write_video

from edgehar.errors import ConfigError
from edgehar.inspect.occlusion import CELLS, explain, overlay
from edgehar.model.bundle import ModelBundle
from edgehar.model.classifier import Classifier
from edgehar.pictures import as_bgr
from edgehar.sources import open_source

CLIPS = [f"synthetic:{action}?subject={subject}&duration_s=2.5" for action, subject in
         itertools.product(("boxing", "handclapping", "handwaving"), (47, 52))]  # fmt: skip
COVERED = 6


@pytest.fixture(scope="module")
def bundle():
    return ModelBundle.open("actions-synthetic")


@pytest.fixture(scope="module")
def explanations(bundle):
    found = []
    for clip in CLIPS:
        with open_source(clip) as source:
            found.append(explain(source, bundle))
    return found


def loss(bundle, found, cells):
    """How much of the score goes when some cells are covered together."""
    height, width = found.frames[0].shape[:2]
    mean = np.mean(found.frames, axis=0).round().astype(np.uint8)
    mask = cv2.resize(cells.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    with Classifier(bundle, hop=1) as classifier:
        answers = [classifier.push(np.where(mask[..., None], mean, frame).astype(np.uint8)) for frame in found.frames]
    return found.score - answers[-1].scores[found.label]


def test_what_it_names_matters_more_than_anything_else(bundle, explanations):
    generator = np.random.default_rng(0)
    named, others = [], []
    for found in explanations:
        top = np.zeros(CELLS**2, bool)
        top[np.argsort(found.cells.ravel())[-COVERED:]] = True
        named.append(loss(bundle, found, top.reshape(CELLS, CELLS)))
        for _ in range(5):
            some = np.zeros(CELLS**2, bool)
            some[generator.choice(CELLS**2, COVERED, replace=False)] = True
            others.append(loss(bundle, found, some.reshape(CELLS, CELLS)))
    assert np.mean(named) > 3 * max(np.mean(others), 0.01)


def test_the_window_is_the_surest_of_the_class_that_is_asked_for(bundle):
    with open_source("synthetic:all?subject=47&duration_s=3") as source:
        found = explain(source, bundle, "handwaving")
    assert (found.label, found.score > 0.9) == ("handwaving", True)
    window = bundle.manifest.temporal.window
    assert len(found.frames) == window
    assert overlay(found, 0).shape == (480 + 44, 640, 3)
    with open_source(CLIPS[0]) as source, pytest.raises(ConfigError, match="knows boxing"):
        explain(source, bundle, "nothing")


@pytest.fixture
def clip(tmp_path):
    with open_source("synthetic:handwaving?duration_s=2") as source:
        return write_video(tmp_path / "clip.mp4", [as_bgr(frame) for frame in source], codec="libx264")


def test_the_command_writes_a_picture_or_a_video(clip, tmp_path):
    picture, video = tmp_path / "why.png", tmp_path / "why.mp4"
    for out in (picture, video):
        done = run_command("edgehar", "explain", clip, "--model", "actions-synthetic", "--out", out)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("handwaving 1.00, 0.")
    assert cv2.imread(str(picture)).shape[1] == 640
    with av.open(str(video)) as file:
        assert len(list(file.decode(video=0))) == 20


def test_a_clip_shorter_than_a_window_is_explained(tiny_bundle, tmp_path):
    short = write_video(tmp_path / "short.mp4", flat_frames([200, 200]))
    done = run_command("edgehar", "explain", short, "--model", tiny_bundle, "--out", tmp_path / "why.jpg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bright ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("clip.mp4", "--out", "why.txt"), 2, "write a .png, .jpg or .mp4"),
        (("missing.mp4",), 1, "missing.mp4"),
        (("clip.mp4", "--label", "x"), 2, "knows"),
        (("clip.mp4", "--model", "x"), 2, "x"),
    ],
)
def test_what_cannot_be_explained_is_an_error(clip, tmp_path, arguments, code, message):
    assert_one_line_error(run_command("edgehar", "explain", *arguments, cwd=tmp_path), code, message)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
