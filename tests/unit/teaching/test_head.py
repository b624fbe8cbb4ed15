"""Heads that teaching makes, against numpy, for every kind of head that is shipped."""

import numpy as np
import pytest

from edgehar import BundleError, ModelBundle
from edgehar.model.interpreter import TfliteModel
from edgehar.model.network import Network
from edgehar.teaching.features import Probe
from edgehar.teaching.head import (
    STATISTICS,
    Correction,
    Gate,
    corrected_head,
    everywhere,
    probe_head,
    squared_distances,
)

MODELS = ("fight", "interactions", "actions-synthetic")


def random_windows(network, count=8):
    shape = (count, *network.head.input_shape[1:])
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


@pytest.fixture(params=MODELS)
def network(request):
    with Network(request.param) as network:
        yield network


def test_the_probe_pools_features_over_time(network):
    windows, seam = random_windows(network), network.bundle.manifest.quantization.seam
    _, pooled = Probe.of(network.bundle).run(windows)
    real = (windows.astype(np.float32) - seam.zero_point) * np.float32(seam.scale)
    expected = np.concatenate([real.mean(axis=1), real.max(axis=1), real.std(axis=1)], axis=1)
    assert pooled == pytest.approx(expected, abs=1e-4)


def test_without_a_correction_the_scores_stay(network):
    pooled, labels = STATISTICS * network.head.input_shape[2], len(network.bundle.manifest.labels)
    nothing = Correction(np.zeros((pooled, labels), np.float32), np.zeros(labels, np.float32), everywhere(pooled))
    head = TfliteModel(corrected_head(network.bundle.read("head.tflite"), nothing, "head"), name="head")
    for window in random_windows(network):
        before, after = (model.run(window).astype(int) for model in (network.head, head))
        # Rounded once from float, where the old head may have rounded logits to int8 before.
        assert np.abs(before - after).max() <= 2


@pytest.mark.parametrize("nearness", ["everywhere", "some", "nowhere"])
@pytest.mark.parametrize("new", [0, 2])
def test_a_correction_is_computed_as_in_numpy(network, nearness, new):
    rng = np.random.default_rng(1)
    labels = len(network.bundle.manifest.labels) + new
    windows = random_windows(network)
    old, pooled = Probe.of(network.bundle).run(windows)
    gate = everywhere(pooled.shape[1])
    if nearness != "everywhere":
        scale = rng.uniform(0.005, 0.02, pooled.shape[1]).astype(np.float32)
        centres = ((pooled[:3] + (50 if nearness == "nowhere" else 0)) * scale).astype(np.float32)
        # The windows of the middles are near, the others about at the border.
        radius = squared_distances(pooled * scale, pooled[:3] * scale).min(axis=1).mean()
        radii = np.array([0.8, 1.0, 1.3], np.float32) * np.float32(radius)
        gate = Gate(scale, centres, radii, np.array([0.0, 0.0, 8.0], np.float32), actions=(0,))
    correction = Correction(
        rng.normal(0, 0.02, (pooled.shape[1], labels)).astype(np.float32),
        rng.normal(size=labels).astype(np.float32),
        gate,
    )
    head = TfliteModel(corrected_head(network.bundle.read("head.tflite"), correction, "head"), name="head")
    shares = gate.share(old, pooled)
    logits = correction.logits(old, pooled)
    exact = np.exp(logits - logits.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    found = np.stack([head.run(window).reshape(-1).astype(int) + 128 for window in windows])
    # Distances are differences of large sums in 32 bits.
    assert np.abs(found - np.clip(exact * 256, 0, 255)).max() <= 1.1
    if nearness == "everywhere":
        assert shares.min() == 1
    elif nearness == "some":
        assert (shares[:3] > 0.99).all()
        assert shares.min() < 1
    else:
        assert shares.max() == 0
        before = np.stack([network.head.run(window).reshape(-1).astype(int) + 128 for window in windows])
        assert np.abs(found[:, : labels - new] - before).max() <= 2
        assert found[:, labels - new :].max(initial=0) <= 1


def test_a_head_without_a_softmax_is_refused():
    encoder = ModelBundle.open("fight").read("encoder.tflite")
    with pytest.raises(BundleError, match="softmax"):
        probe_head(encoder, "encoder.tflite")


def test_what_is_not_a_model_is_refused():
    with pytest.raises(BundleError, match="nothing"):
        probe_head(b"nothing at all", "nothing")
