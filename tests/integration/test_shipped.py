"""The shipped models: found by name, whole, honest about themselves, and right about what they were made for."""

import itertools
from collections import deque

import numpy as np
import pytest
from support.helpers import run_command

from edgehar import Classifier, ModelBundle, open_source
from edgehar.cli.run import DEFAULT_MODEL
from edgehar.model.interpreter import TfliteModel
from edgehar.sources.synthetic.people import ACTIONS

SHIPPED = ("fight", "interactions", "fall", "actions-synthetic")


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_found_by_name_and_says_where_it_comes_from(name):
    bundle = ModelBundle.open(name)
    origin = bundle.manifest.provenance
    assert bundle.manifest.name == name
    assert origin.parity.clips > 0
    # One clip of a small validation part is some points; int8 may lose that and no more.
    assert origin.parity.float_top1 - origin.parity.int8_top1 <= max(0.01, 1 / origin.parity.clips) + 1e-9
    assert origin.accuracy
    for accuracy in origin.accuracy:
        assert "group" in accuracy.protocol
        assert "random" not in accuracy.protocol
        assert accuracy.int8_top1 is not None
        low, high = accuracy.interval_95
        assert low <= accuracy.int8_top1 <= high
    card = bundle.read("MODEL_CARD.md").decode()
    for section in (
        "Intended use",
        "Out of scope",
        "Data",
        "Accuracy",
        "Limits and known failures",
        "Privacy and ethics",
    ):
        assert f"## {section}\n" in card
    assert run_command("edgehar", "inspect", name, "--card").stdout == card


@pytest.mark.parametrize("name", SHIPPED)
def test_streaming_equals_its_whole_window_model(name):
    bundle = ModelBundle.open(name)
    whole = TfliteModel(bundle.read("window.tflite"), name="window.tflite")
    temporal = bundle.manifest.temporal
    resizer, recent = bundle.make_resizer(), deque(maxlen=temporal.window)
    frames = itertools.islice(open_source("synthetic:running?duration_s=4"), 2 * temporal.window + temporal.lead_in)
    compared = 0
    with Classifier(bundle, hop=3) as classifier:
        for frame in frames:
            recent.append(resizer.resize(frame.data))
            if (prediction := classifier.push(frame.data)) is not None:
                assert prediction.raw.tobytes() == whole.run(np.stack(recent)).tobytes()
                compared += 1
    assert compared == 1 + temporal.window // 3


def test_strangers_are_named_right():
    with Classifier("actions-synthetic") as classifier:
        answers = {
            (action, subject): classifier.classify(f"synthetic:{action}?subject={subject}").label
            for action in ACTIONS
            for subject in (41, 42)
        }
    assert np.mean([label == action for (action, _), label in answers.items()]) >= 0.8, answers


def test_a_still_scene_is_no_fight():
    with Classifier("fight", hop=1) as classifier:
        frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        temporal = classifier.bundle.manifest.temporal
        pushes = temporal.window + temporal.lead_in + 5
        answers = [answer.label for _ in range(pushes) if (answer := classifier.push(frame)) is not None]
    assert answers == ["noFight"] * 6


def test_the_default_model_is_shipped_and_knows_what_is_no_event():
    manifest = ModelBundle.open(DEFAULT_MODEL).manifest
    assert manifest.labels == ["fight", "noFight"]
    assert manifest.decision.background == ["noFight"]


@pytest.mark.parametrize(("name", "quiet"), [("fight", "noFight"), ("interactions", "none"), ("fall", "none")])
def test_real_models_bring_their_own_rules(name, quiet):
    decision = ModelBundle.open(name).manifest.decision
    assert decision.background == [quiet]
    assert decision.smoothing == "ema"
    # Evidence is 0 for scores that are more likely an action than not.
    least = 0.2 if decision.counts_evidence and decision.evidence_from > 0.5 else 0.5
    assert max(decision.threshold, *decision.thresholds.values()) >= least


@pytest.mark.parametrize("name", ["fight", "interactions", "fall"])
def test_weights_of_others_are_attributed(name):
    card = " ".join(ModelBundle.open(name).read("MODEL_CARD.md").decode().split())
    assert "MobileNetV1 0.5 trained on ImageNet, published by Google Coral under Apache-2.0" in card
