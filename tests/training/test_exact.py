"""Fake quantization against the int8 files: every code of every frame, whatever the network."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

from edgehar.model.interpreter import TfliteModel  # noqa: E402
from edgehar.model.manifest import Affine  # noqa: E402
from edgehar_training.models import build  # noqa: E402
from edgehar_training.models.layers import whole  # noqa: E402
from edgehar_training.quantize.exact import Codes, Products, Steps, rounded  # noqa: E402
from edgehar_training.quantize.export import Exporter  # noqa: E402
from edgehar_training.quantize.fake_quant import FakeQuantization  # noqa: E402
from edgehar_training.quantize.ranges import FakeQuantRanges, RangeObserver  # noqa: E402
from edgehar_training.quantize.simplify import simplified  # noqa: E402
from edgehar_training.quantize.worker import to_int8  # noqa: E402
from edgehar_training.settings import NetworkSettings  # noqa: E402

pytestmark = pytest.mark.training

RGB = Affine(scale=1 / 255, zero_point=-128)
WINDOW, COUNT, LABELS = 6, 12, 4


def scattered(network, seed):
    """Random biases and statistics, and larger weights: random networks of many layers say next to nothing."""
    rng = np.random.default_rng(seed)
    for layer in network._flatten_layers(include_self=False):
        if not layer.weights or hasattr(layer, "layers") or "Cell" in type(layer).__name__:
            continue
        gain = 1.5 if hasattr(layer, "cell") else 1.6
        values = []
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
            if "variance" in variable.path or "gamma" in variable.path:
                values.append(value * rng.uniform(0.5, 1.5, value.shape))
            elif value.ndim == 1 or value.shape[0] == 2:
                values.append(value + rng.normal(0, 0.2, value.shape))
            else:
                values.append(value * gain)
        layer.set_weights(values)
    return network


def windows(count, size, seed):
    """Blocks of colour, with noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(-128, 128, (count, WINDOW, size // 8, size // 8, 3)).repeat(8, 2).repeat(8, 3)
    return np.clip(blocks + rng.integers(-25, 25, blocks.shape), -128, 127).astype(np.int8)


def real(codes, affine):
    return (codes.astype(np.float32) - affine.zero_point) * np.float32(affine.scale)


def compared(network, size, *, per_channel=True):
    """Codes of features, and scores of the file's features in 1/256, of the file and of fake quantization."""
    base = whole(simplified(network.get_layer("encoder")), simplified(network.get_layer("head")), "small")
    made = FakeQuantization(base, windows(6, size, 1), RGB, per_channel=per_channel, round_scores=True)
    exporter = Exporter(base.get_layer("encoder"), base.get_layer("head"), RangeObserver())
    ranges = FakeQuantRanges(made.limits, exporter.fixed(RGB), per_channel=per_channel)
    exporter = exporter.with_quantizer(ranges)
    encoder = TfliteModel(to_int8(exporter.encode, (1, size, size, 3)), name="encoder")
    head = TfliteModel(to_int8(exporter.classify, (1, *base.get_layer("head").input_shape[1:])), name="head")
    frames, seam = windows(COUNT, size, 2).reshape(-1, size, size, 3), encoder.output_quantization
    codes = np.concatenate([encoder.run(frame) for frame in frames])
    features = made.model.get_layer("encoder").predict(real(frames, RGB), verbose=0)
    of_windows = codes.reshape(COUNT, WINDOW, -1)
    scores = np.concatenate([head.run(window) for window in of_windows]).astype(int) + 128
    own = made.model.get_layer("head").predict(real(of_windows, seam), verbose=0)
    return codes, np.round(features / seam.scale) + seam.zero_point, scores, np.round(own * 256)


NETWORKS = {
    "lrcn": {"model": "lrcn"},
    "compact": {"model": "compact"},
    "mobile, GRU": {"model": "mobile", "options": {"blocks": 10, "units": 16}},
    "mobile, peaks, LSTM": {
        "model": "mobile",
        "options": {"blocks": 13, "pool": "mean+max", "rnn": "lstm", "units": 16, "mean": False},
    },
}


@pytest.mark.parametrize(("name", "per_channel"), [*((name, True) for name in NETWORKS), ("lrcn", False)])
def test_every_code_is_that_of_the_file(name, per_channel):
    keras.utils.set_random_seed(0)
    settings = NetworkSettings(size=64, window=WINDOW, **NETWORKS[name])
    codes, features, scores, own = compared(scattered(build(settings, LABELS), 0), 64, per_channel=per_channel)
    assert len(np.unique(codes)) > 30
    assert np.array_equal(features, codes)
    # The attention of `compact` weighs with products that are computed in real numbers.
    assert np.abs(own - scores).max() <= (1 if name == "compact" else 0)


def test_branches_means_and_products_are_those_of_the_file():
    layers = keras.layers
    keras.utils.set_random_seed(1)
    frame = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, 2, "same", activation="relu")(frame)
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(8, 3, padding="same")(x)]))
    x = layers.AveragePooling2D(2)(layers.Subtract()([x, layers.DepthwiseConv2D(3, padding="same")(x)]))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    gated = layers.Multiply()([layers.Dense(24, activation="sigmoid")(x), layers.Dense(24, activation="tanh")(x)])
    encoder = keras.Model(frame, gated, name="encoder")
    features = keras.Input((WINDOW, 24))
    x = layers.GlobalAveragePooling1D()(layers.GRU(12, return_sequences=True)(layers.Dense(16)(features)))
    head = keras.Model(features, layers.Dense(LABELS, activation="softmax")(x), name="head")
    codes, own_codes, scores, own = compared(scattered(whole(encoder, head, "small"), 1), 16)
    assert len(np.unique(codes)) > 100
    assert np.array_equal(own_codes, codes)
    assert np.array_equal(own, scores)


def test_gradients_go_straight_through_what_is_in_range():
    weights = tf.Variable([[0.5, -0.25], [0.125, 1.0]])
    values = tf.constant([[1.0, 2.0], [-3.0, 0.5], [9.0, 9.0]])
    steps = Steps(tf.constant(0.01), tf.constant(-100.0), tf.constant(155.0))
    with tf.GradientTape(persistent=True) as tape:
        sums = tf.matmul(values, weights)
        plain = tf.reduce_sum(tf.where((sums >= -1.0) & (sums <= 1.55), sums, 0.0) ** 2 / 2)
        products = Products(tf.matmul(values / 0.5, weights / 0.02), tf.constant(0.01))
        made, within = rounded(products, steps)
        exact = tf.reduce_sum(made.real() ** 2 / 2)
        cut = rounded(products.activated((0.0, float("inf"))), steps)[0]
        positive = tf.reduce_sum(cut.real())
    assert isinstance(made, Codes)
    assert np.array_equal(made.values, np.clip(np.round(sums / 0.01), -100, 155))
    np.testing.assert_allclose(within * 0.01, sums, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(exact, weights), tape.gradient(plain, weights), rtol=1e-5)
    inside = tf.cast((sums > 0) & (sums <= 1.55), tf.float32)
    np.testing.assert_allclose(tape.gradient(positive, weights), tf.matmul(values, inside, transpose_a=True), rtol=1e-5)


def test_halves_are_rounded_to_even_as_the_runtime_rounds_them():
    steps = Steps(tf.constant(1.0), tf.constant(-128.0), tf.constant(127.0))
    made = rounded(Products(tf.constant([1.0, 3.0, 5.0, -1.0, -3.0, 999.0]), tf.constant(0.5)), steps)[0]
    assert made.values.numpy().tolist() == [0, 2, 2, 0, -2, 127]
