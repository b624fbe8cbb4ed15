"""The float graphs that become int8 files, against the Keras layers they are made of."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

from edgehar.errors import ConversionError  # noqa: E402
from edgehar.manifest import Affine  # noqa: E402
from edgehar_training.models import build  # noqa: E402
from edgehar_training.quantize.cost import macs  # noqa: E402
from edgehar_training.quantize.export import INPUT, SEAM, Exporter  # noqa: E402
from edgehar_training.quantize.ranges import Ranges  # noqa: E402
from edgehar_training.settings import NetworkSettings  # noqa: E402

pytestmark = pytest.mark.training

RGB, MOTION = Affine(scale=1 / 255, zero_point=-128), Affine(scale=1 / 255, zero_point=0)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(5)
    return build(NetworkSettings(window=6, size=64), 3)


def networks(model):
    return model.get_layer("encoder"), model.get_layer("head")


def sequential(*layers, shape):
    """A functional chain, as the networks have."""
    values = inputs = keras.Input(shape)
    for layer in layers:
        values = layer(values)
    return keras.Model(inputs, values, name="chain")


def test_graphs_compute_what_keras_computes(network):
    encoder, head = networks(network)
    exporter = Exporter(encoder, head, Ranges())
    windows = np.random.default_rng(0).random((3, 6, 64, 64, 3), np.float32)
    features = exporter.encode(tf.constant(windows.reshape(-1, 64, 64, 3))).numpy()
    assert np.allclose(features, encoder.predict(windows.reshape(-1, 64, 64, 3), verbose=0), atol=1e-5)
    # Larger features, so that gates open and close and the order of the gates matters.
    sequences = 20 * features.reshape(3, 6, -1)
    scores = exporter.classify(tf.constant(sequences)).numpy()
    assert np.allclose(scores, head.predict(sequences, verbose=0), atol=1e-5)
    assert np.ptp(scores, axis=0).max() > 0.01


@pytest.mark.parametrize("affine", [RGB, MOTION])
def test_fixed_quantization_is_exact(affine):
    ranges = Ranges()
    ranges.freeze({INPUT: affine})
    levels = (np.arange(-128, 128) - affine.zero_point) * affine.scale
    kept = ranges(INPUT, tf.constant(levels, tf.float32)).numpy()
    assert np.allclose(kept, levels, atol=1e-6)
    outside = ranges(INPUT, tf.constant([-2.0, 2.0])).numpy()
    assert np.allclose(outside, levels[[0, -1]], atol=1e-6)


def test_ranges_cover_what_was_seen_and_zero():
    ranges = Ranges()
    ranges("place", tf.constant([0.5, 2.0]))
    ranges("place", tf.constant([1.0, 3.0]))
    ranges.freeze({})
    kept = ranges("place", tf.constant([-1.0, 0.0, 3.0, 9.0])).numpy()
    assert np.allclose(kept, [0.0, 0.0, 3.0, 3.0], atol=1e-6)


def test_range_is_cut_at_its_bound():
    ranges = Ranges()
    ranges("gates", tf.constant([-50.0, 50.0]), bound=6.0)
    ranges.freeze({})
    assert np.allclose(ranges("gates", tf.constant([-50.0, 50.0])).numpy(), [-6.0, 6.0], atol=0.05)


def test_dead_place_gets_a_range():
    ranges = Ranges()
    ranges(SEAM, tf.zeros(4))
    ranges.freeze({})
    assert ranges(SEAM, tf.zeros(4)).numpy().tolist() == [0.0] * 4


def test_values_that_are_not_finite_are_named():
    with pytest.raises(ConversionError, match="encoder/conv: the network computes values that are not finite"):
        Ranges()("encoder/conv", tf.constant([1.0, float("nan")]))


def test_weights_that_are_not_finite_are_named():
    model = build(NetworkSettings(window=2, size=60), 2)
    layer = next(layer for layer in model.get_layer("encoder").layers if layer.weights)
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0, 0] = np.nan
    layer.set_weights([kernel, bias])
    with pytest.raises(ConversionError, match=f"{layer.name}/kernel holds values that are not finite"):
        Exporter(*networks(model), Ranges())


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        (keras.layers.LayerNormalization(), (8,), "LayerNormalization, which cannot be exported"),
        (keras.layers.Dense(3, activation="gelu"), (8,), "activation gelu cannot be exported"),
        (keras.layers.LSTM(4, return_sequences=True), (5, 8), "gives its last state only"),
        (keras.layers.LSTM(4, use_bias=False), (5, 8), "with a bias only"),
    ],
)
def test_layer_that_cannot_be_exported_is_named(network, layer, shape, said):
    with pytest.raises(ConversionError, match=said):
        Exporter(network.get_layer("encoder"), sequential(layer, shape=shape), Ranges())


def test_network_that_branches_is_refused(network):
    inputs = keras.Input((8,))
    left, right = keras.layers.Dense(4)(inputs), keras.layers.Dense(4)(inputs)
    branched = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Add()([left, right])), name="branched")
    with pytest.raises(ConversionError, match="not in one chain"):
        Exporter(network.get_layer("encoder"), branched, Ranges())


def test_cost_of_the_papers_network():
    encoder, head = networks(build(NetworkSettings(window=20, size=60), 4))
    convolutions = (60 * 60 * 3 * 16, 15 * 15 * 16 * 32, 5 * 5 * 32 * 64, 2 * 2 * 64 * 64)
    assert macs(encoder) == 9 * sum(convolutions)
    assert macs(head) == 20 * (64 + 32) * 4 * 32 + 32 * 4
