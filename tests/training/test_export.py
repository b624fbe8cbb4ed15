"""The float graphs that become int8 files, against the Keras layers they are made of."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

from edgehar.errors import ConversionError  # noqa: E402
from edgehar.model import merge  # noqa: E402
from edgehar.model.interpreter import TfliteModel  # noqa: E402
from edgehar.model.manifest import Affine  # noqa: E402
from edgehar_training.models import build  # noqa: E402
from edgehar_training.models.tflite_weights import convolutions  # noqa: E402
from edgehar_training.quantize import file_checks  # noqa: E402
from edgehar_training.quantize.cost import macs  # noqa: E402
from edgehar_training.quantize.export import INPUT, SEAM, Exporter, observe  # noqa: E402
from edgehar_training.quantize.ranges import FakeQuantRanges, RangeObserver, exact  # noqa: E402
from edgehar_training.quantize.worker import to_int8  # noqa: E402
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
    exporter = Exporter(encoder, head, RangeObserver())
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
    ranges = FakeQuantRanges({}, {INPUT: affine})
    levels = (np.arange(-128, 128) - affine.zero_point) * affine.scale
    kept = ranges(INPUT, tf.constant(levels, tf.float32)).numpy()
    assert np.allclose(kept, levels, atol=1e-6)
    outside = ranges(INPUT, tf.constant([-2.0, 2.0])).numpy()
    assert np.allclose(outside, levels[[0, -1]], atol=1e-6)


def test_ranges_cover_what_was_seen_and_zero():
    observer = RangeObserver()
    observer("place", tf.constant([0.5, 2.0]))
    observer("place", tf.constant([1.0, 3.0]))
    ranges = FakeQuantRanges(observer.limits)
    kept = ranges("place", tf.constant([-1.0, 0.0, 3.0, 9.0])).numpy()
    assert np.allclose(kept, [0.0, 0.0, 3.0, 3.0], atol=3 / 2048)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 3.1415926), (-0.2644615769, 1.4269992), (-7e-4, 1e-6)])
def test_exact_range_is_next_to_the_one_asked_for(low, high):
    got = exact(low, high)
    scale = np.float32(got[1] - got[0]) / np.float32(255)
    # The same in single and double precision.
    assert float(scale) == (got[1] - got[0]) / 255
    assert (high - low) / 255 <= scale <= (high - low) / 255 * (1 + 1 / 2048)
    assert np.allclose(got, (low, high), atol=0.6 * scale)


def test_range_is_cut_at_its_bound():
    observer = RangeObserver()
    observer("gates", tf.constant([-50.0, 50.0]), bound=6.0)
    ranges = FakeQuantRanges(observer.limits)
    assert np.allclose(ranges("gates", tf.constant([-50.0, 50.0])).numpy(), [-6.0, 6.0], atol=0.05)


def test_weights_that_were_int8_keep_their_steps():
    rng = np.random.default_rng(3)
    layers = [keras.layers.Conv2D(6, 3, name="conv"), keras.layers.DepthwiseConv2D(3, name="depthwise")]
    encoder = sequential(*layers, keras.layers.GlobalAveragePooling2D(), shape=(12, 12, 3))
    for layer in layers:
        kernel, bias = layer.get_weights()
        # Greatest values of 71 to 126 steps: 127 steps would round them all.
        levels = rng.integers(-70, 71, kernel.shape).astype(np.float32)
        levels[0, 0] = rng.integers(71, 127, kernel.shape[2:])
        layer.set_weights([levels * np.float32(0.0137), bias])
    head = sequential(keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax"), shape=(2, 6))
    observer = RangeObserver()
    exporter = Exporter(encoder, head, observer)
    observe(exporter, rng.integers(-128, 128, (4, 2, 12, 12, 3)).astype(np.int8), RGB)
    exporter = exporter.with_quantizer(FakeQuantRanges(observer.limits, exporter.fixed(RGB)))
    found = convolutions(to_int8(exporter.encode, (1, 12, 12, 3)))
    for layer, (kernel, _) in zip(layers, found, strict=True):
        np.testing.assert_allclose(kernel, layer.get_weights()[0], rtol=1e-5)


def test_dead_place_gets_a_range():
    observer = RangeObserver()
    observer(SEAM, tf.zeros(4))
    ranges = FakeQuantRanges(observer.limits)
    assert ranges(SEAM, tf.zeros(4)).numpy().tolist() == [0.0] * 4


def test_values_that_are_not_finite_are_named():
    with pytest.raises(ConversionError, match="encoder/conv: the network computes values that are not finite"):
        RangeObserver()("encoder/conv", tf.constant([1.0, float("nan")]))


def test_weights_that_are_not_finite_are_named():
    model = build(NetworkSettings(window=2, size=60), 2)
    layer = next(layer for layer in model.get_layer("encoder").layers if layer.weights)
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0, 0] = np.nan
    layer.set_weights([kernel, bias])
    with pytest.raises(ConversionError, match=f"{layer.name}/kernel holds values that are not finite"):
        Exporter(*networks(model), RangeObserver())


def varied(*arguments, shape=(16, 16, 3), head=False):
    """A network over many kinds of layers, as its last part a head when asked; weights that are not at their start."""
    values = inputs = keras.Input(shape)
    for layer in arguments:
        values = layer(values)
    network = keras.Model(inputs, values, name="head" if head else "encoder")
    return scattered(network, 3)


def scattered(network, seed):
    """The network with weights far from their start: biases and variances positive, kernels around zero."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        weights = layer.get_weights()
        layer.set_weights(
            [rng.uniform(0.1, 0.6, w.shape) if w.ndim == 1 else w + rng.normal(0, 0.3, w.shape) for w in weights]
        )
    return network


def branched_encoder():
    """What the compact networks are made of, and more: branches, normalization before and behind, poolings."""
    layers = keras.layers
    frame = keras.Input((16, 16, 3))
    x = layers.Rescaling([2.0, 1.0, 1.5], [-1.0, 0.0, 0.5])(frame)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, 2, "same", use_bias=False)(x))
    x = layers.ReLU(6.0)(x)
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x))
    y = layers.Conv2D(8, 1)(layers.Activation("relu")(y))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Activation("relu6")(layers.BatchNormalization()(layers.SeparableConv2D(12, 3, padding="same")(x)))
    x = layers.BatchNormalization()(x)
    x = layers.Concatenate()([layers.AveragePooling2D(2)(x), layers.MaxPooling2D(2)(x)])
    return scattered(keras.Model(frame, layers.GlobalAveragePooling2D()(layers.Dropout(0.3)(x)), name="encoder"), 2)


def head_of(*layers, features=24):
    return varied(*layers, keras.layers.Dense(3, activation="softmax"), shape=(4, features), head=True)


HEADS = {
    "lstm": lambda: head_of(keras.layers.LSTM(5, return_sequences=True), keras.layers.LSTM(4)),
    "gru": lambda: head_of(keras.layers.GRU(5)),
    "simple": lambda: head_of(keras.layers.SimpleRNN(5)),
    "relu": lambda: head_of(keras.layers.SimpleRNN(5, activation="relu")),
    "convlstm": lambda: head_of(
        keras.layers.Reshape((4, 4, 2, 3)), keras.layers.ConvLSTM2D(2, 2, padding="same"), keras.layers.Flatten()
    ),
}


@pytest.mark.parametrize("kind", HEADS)
def test_every_known_layer_computes_what_keras_computes_and_becomes_int8(kind):
    keras.utils.set_random_seed(4)
    encoder, head = branched_encoder(), HEADS[kind]()
    observer = RangeObserver()
    exporter = Exporter(encoder, head, observer)
    rng = np.random.default_rng(0)
    levels = rng.integers(-100, 100, (6, 4, 2, 1, 3)).repeat(8, axis=2)
    windows = np.clip(levels + rng.integers(-28, 28, (6, 4, 16, 16, 3)), -128, 127).astype(np.int8)
    real = (windows.reshape(-1, 16, 16, 3).astype(np.float32) + 128) / 255
    codes = encoder.predict(real, verbose=0).reshape(6, 4, -1)
    features = observe(exporter, windows, RGB)
    assert np.allclose(features, codes, rtol=1e-4, atol=1e-4)
    scores = head.predict(codes, verbose=0)
    assert np.allclose(exporter.classify(tf.constant(codes)).numpy(), scores, atol=1e-5)
    assert np.ptp(scores, axis=0).max() > 0.003
    exporter = exporter.with_quantizer(FakeQuantRanges(observer.limits, exporter.fixed(RGB)))
    files = to_int8(exporter.encode, (1, 16, 16, 3)), to_int8(exporter.classify, (1, 4, 24))
    for content in files:
        file_checks.check_int8(content, kind)
    whole = merge.merge(*files, 4)
    assert file_checks.check_identity(*files, whole, windows) == 6
    model = TfliteModel(whole, name=kind)
    assert model.output_quantization == Affine(scale=1 / 256, zero_point=-128)
    answers = np.concatenate([(model.run(window).astype(float) + 128) / 256 for window in windows])
    assert np.abs(answers - scores).max() < 0.1


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        (keras.layers.LayerNormalization(), (8,), "LayerNormalization, which cannot be exported"),
        (keras.layers.Dense(3, activation="gelu"), (8,), "activation gelu cannot be exported"),
        (keras.layers.Bidirectional(keras.layers.LSTM(4)), (5, 8), "a Bidirectional, which cannot be exported"),
        (keras.layers.LSTM(4, use_bias=False), (5, 8), "has a bias"),
        (keras.layers.LSTM(4, go_backwards=True), (5, 8), "reads forwards"),
        (keras.layers.GRU(4, reset_after=False), (5, 8), "reset_after=True"),
        (keras.layers.LSTM(4, activation="relu"), (5, 8), "activations tanh and sigmoid"),
        (keras.layers.Conv2D(4, 1, data_format="channels_first"), (2, 5, 8), "channels last"),
        (keras.layers.BatchNormalization(), (8,), "cannot merge into the layer before it"),
    ],
)
def test_layer_that_cannot_be_exported_is_named(network, layer, shape, said):
    with pytest.raises(ConversionError, match=said):
        Exporter(network.get_layer("encoder"), sequential(layer, shape=shape), RangeObserver())


def test_layer_that_is_used_twice_is_refused(network):
    inputs, dense = keras.Input((8,)), keras.layers.Dense(8)
    twice = keras.Model(inputs, dense(dense(inputs)), name="twice")
    with pytest.raises(ConversionError, match="each of them once"):
        Exporter(network.get_layer("encoder"), twice, RangeObserver())


def test_operation_between_layers_is_refused(network):
    inputs = keras.Input((8,))
    mixed = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.exp(inputs)), name="mixed")
    with pytest.raises(ConversionError, match=r"an operation of keras\.ops"):
        Exporter(network.get_layer("encoder"), mixed, RangeObserver())


def test_cost_of_the_papers_network():
    encoder, head = networks(build(NetworkSettings(window=20, size=60), 4))
    convolutions = (60 * 60 * 3 * 16, 15 * 15 * 16 * 32, 5 * 5 * 32 * 64, 2 * 2 * 64 * 64)
    assert macs(encoder) == 9 * sum(convolutions)
    assert macs(head) == 20 * (64 + 32) * 4 * 32 + 32 * 4
