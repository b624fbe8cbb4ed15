"""edgehar-convert --temperature: the int8 scores are those of logits divided by it, and the bundle says so."""

import re

import numpy as np
import pytest
from support.helpers import assert_one_line_error

pytest.importorskip("keras", reason="needs the train extra")

import keras
from support.small_run import WINDOW, small_run
from support.warm import run_command

from edgehar.errors import ConversionError
from edgehar.model.bundle import ModelBundle
from edgehar_training.models.layers import whole
from edgehar_training.operating.temperature import at_temperature
from edgehar_training.quantize.temperature import tempered, tempered_ranges
from edgehar_training.scoring.clips import score_bundle

pytestmark = pytest.mark.training
TEMPERATURE = 2.5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("run") / "run")


def converted(run, path, *options):
    done = run_command("edgehar-convert", run.path, "--out", path, "--max-drop", 100, *options)
    assert done.returncode == 0, done.stderr
    return path


def scores(run, bundle):
    clips = [run.device_clip(clip) for part in ("val", "test") for clip in run.clips(part)]
    return np.concatenate(score_bundle(bundle, clips, hop=1))


def test_int8_scores_are_those_of_divided_logits(run, tmp_path):
    plain = converted(run, tmp_path / "plain.edgehar")
    calm = converted(run, tmp_path / "calm.edgehar", "--temperature", TEMPERATURE)
    before, after = scores(run, plain), scores(run, calm)
    # Scores near 0 or 1 have lost their logit in steps of 1/256.
    known = (before > 0.02).all(axis=1) & (before < 0.98).all(axis=1)
    assert known.sum() > 10
    expected = at_temperature(before, TEMPERATURE)
    np.testing.assert_allclose(after[known], expected[known], atol=0.02)
    assert np.abs(after - before).max() > 0.1
    assert ((before[:, 0] > 0.51) <= (after[:, 0] > 0.5)).all()
    manifest = ModelBundle.open(calm).manifest
    assert manifest.provenance.temperature == TEMPERATURE
    assert ModelBundle.open(plain).manifest.provenance.temperature == 1.0
    # Compared with the float network of the same temperature, int8 is as close as without.
    parities = [ModelBundle.open(path).manifest.provenance.parity.max_score_difference for path in (calm, plain)]
    assert parities[0] <= parities[1] + 0.01
    card = run_command("edgehar", "inspect", calm, "--card").stdout
    assert "divided by a temperature of 2.5" in re.sub(r"\s+", " ", card)
    assert "not calibrated" not in card


def test_a_temperature_that_is_none_is_refused(run, tmp_path):
    done = run_command("edgehar-convert", run.path, "--out", tmp_path / "a.edgehar", "--temperature", 0)
    assert_one_line_error(done, 2, "temperature is 0", "more than 0")


def network(*ends):
    frame, features = keras.Input((8, 8, 3)), keras.Input((WINDOW, 192))
    encoder = keras.Model(frame, keras.layers.Flatten()(frame), name="encoder")
    values = keras.layers.Flatten()(features)
    for end in ends:
        values = end(values)
    return whole(encoder, keras.Model(features, values, name="head"), "small")


def test_the_network_given_stays_as_it_is():
    model = network(keras.layers.Dense(2, "softmax", name="answer"))
    windows = np.random.default_rng(0).random((3, WINDOW, 8, 8, 3), np.float32)
    before = model.predict(windows, verbose=0)
    calm = tempered(model, TEMPERATURE).predict(windows, verbose=0)
    np.testing.assert_allclose(calm, at_temperature(before, TEMPERATURE), atol=1e-5)
    np.testing.assert_array_equal(model.predict(windows, verbose=0), before)
    limits = {"seam": (0.0, 1.0), "head/answer": (-5.0, 10.0)}
    assert tempered_ranges(model.get_layer("head"), limits, TEMPERATURE) == {**limits, "head/answer": (-2.0, 4.0)}
    assert tempered_ranges(model.get_layer("head"), None, TEMPERATURE) is None


@pytest.mark.parametrize("kind", ["softmax-layer", "sigmoid"])
def test_another_last_layer_is_refused(kind):
    last = {
        "softmax-layer": (keras.layers.Dense(2), keras.layers.Softmax()),
        "sigmoid": (keras.layers.Dense(2, "sigmoid"),),
    }[kind]
    with pytest.raises(ConversionError, match="Dense with softmax only"):
        tempered(network(*last), TEMPERATURE)
