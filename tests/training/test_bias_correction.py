"""Biases that take back what int8 adds on average, against the float network."""

import msgspec
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

from support.small_run import small_run  # noqa: E402

from edgehar.model.interpreter import TfliteModel  # noqa: E402
from edgehar.model.manifest import Affine  # noqa: E402
from edgehar_training.models.layers import whole  # noqa: E402
from edgehar_training.models.tflite_weights import convolutions  # noqa: E402
from edgehar_training.quantize import bias, file_checks  # noqa: E402
from edgehar_training.quantize.child import ConvertJob, convert_networks  # noqa: E402
from edgehar_training.quantize.export import Exporter, observe  # noqa: E402
from edgehar_training.quantize.qat import fake_quantization  # noqa: E402
from edgehar_training.quantize.ranges import FakeQuantRanges, RangeObserver  # noqa: E402
from edgehar_training.quantize.worker import to_int8  # noqa: E402

pytestmark = pytest.mark.training

MOTION = Affine(scale=1 / 255, zero_point=0)
SIZE, STEPS = 16, 3
layers = keras.layers


def chain(inputs):
    """Layers as those of MobileNet, whose activations are layers of their own."""
    x = layers.ReLU(6.0, name="stem_relu")(layers.Conv2D(8, 3, 2, "same", name="stem")(inputs))
    x = layers.ReLU(6.0, name="depthwise_relu")(layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x))
    x = layers.ReLU(6.0, name="pointwise_relu")(layers.Conv2D(12, 1, name="pointwise")(x))
    return layers.GlobalAveragePooling2D(name="pool")(x)


def branches(inputs):
    """Two readers of one tensor, activations that are a part of their layer, normalization, a dense layer."""
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="stem")(inputs)
    y = layers.BatchNormalization(name="bn")(layers.Conv2D(8, 3, padding="same", use_bias=False, name="beside")(x))
    x = layers.ReLU(name="relu")(layers.Add(name="sum")([x, y]))
    x = layers.GlobalMaxPooling2D(name="peak")(layers.MaxPooling2D(name="smaller")(x))
    return layers.Dense(12, activation="relu", name="dense")(x)


def make_network(body, seed=3):
    """Weights of few steps but one great one each, so that int8 rounds them coarsely."""
    keras.utils.set_random_seed(seed)
    frame = keras.Input((SIZE, SIZE, 3), name="frame")
    encoder = keras.Model(frame, body(frame), name="encoder")
    rng = np.random.default_rng(seed)
    for layer in encoder.layers:
        if type(layer).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense"):
            kernel, *others = layer.get_weights()
            kernel = rng.normal(0.02, 0.1, kernel.shape).astype(np.float32)
            kernel.reshape(-1, kernel.shape[-1])[0] = 1.5
            layer.set_weights([kernel, *(np.full_like(b, 0.3) for b in others)])
    features = keras.Input((STEPS, encoder.output_shape[1]), name="features")
    x = layers.GlobalAveragePooling1D(name="mean")(features)
    return whole(encoder, keras.Model(features, layers.Dense(3, activation="softmax")(x), name="head"), "network")


def make_windows(count, seed):
    """Mostly nothing moves."""
    rng = np.random.default_rng(seed)
    shape = (count, STEPS, SIZE, SIZE, 3)
    return np.where(rng.random(shape) < 0.7, 0, rng.integers(-60, 61, shape)).astype(np.int8)


def real(windows):
    return windows.reshape(-1, SIZE, SIZE, 3).astype(np.float32) * np.float32(MOTION.scale)


def frozen(network, windows, *, per_channel=True):
    observer = RangeObserver()
    exporter = Exporter(network.get_layer("encoder"), network.get_layer("head"), observer)
    observe(exporter, windows, MOTION)
    ranges = FakeQuantRanges(observer.limits, exporter.fixed(MOTION), per_channel=per_channel)
    return exporter.with_quantizer(ranges)


def shift_of(content, network, windows):
    """How far the mean of each feature is from that of the float network."""
    seam = TfliteModel(content, name="encoder").output_quantization
    features = (codes_of(content, windows).astype(np.float64) - seam.zero_point) * seam.scale
    return (features - network.get_layer("encoder").predict(real(windows), verbose=0)).mean(axis=0)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("body", [chain, branches])
def test_features_are_right_on_average(body, per_channel):
    network, again = make_network(body), make_network(body)
    windows, others = make_windows(40, 0), make_windows(40, 1)
    before = to_int8(frozen(network, windows, per_channel=per_channel).encode, (1, SIZE, SIZE, 3))
    exporter = frozen(again, windows, per_channel=per_channel)
    exporter.correct(windows, MOTION)
    after = to_int8(exporter.encode, (1, SIZE, SIZE, 3))
    # On frames that the biases were not taken from.
    rms = [np.sqrt((shift_of(content, network, others) ** 2).mean()) for content in (before, after)]
    assert rms[1] < 0.4 * rms[0]
    # It costs nothing: the same operations, the same weights.
    assert file_checks.operators(after) == file_checks.operators(before)
    for (kernel, _), (kept, _) in zip(convolutions(after), convolutions(before), strict=True):
        np.testing.assert_array_equal(kernel, kept)


def test_equal_biases_are_each_in_the_steps_of_their_channel():
    network = make_network(chain)
    encoder = to_int8(frozen(network, make_windows(20, 0)).encode, (1, SIZE, SIZE, 3))
    for _, bias_of_file in convolutions(encoder):
        np.testing.assert_allclose(bias_of_file, 0.3, rtol=1e-3)


def test_only_biases_change_and_only_a_little():
    network = make_network(chain)
    before = {weight.path: weight.numpy() for weight in network.weights}
    frozen(network, windows := make_windows(20, 0)).correct(windows, MOTION)
    changed = {weight.path for weight in network.weights if not np.array_equal(weight.numpy(), before[weight.path])}
    assert {path.split("/")[-1] for path in changed} == {"bias"}
    assert len(changed) == 3
    assert max(np.abs(w.numpy() - before[w.path]).max() for w in network.weights) < 0.1


def test_an_encoder_that_is_exact_stays_as_it_is():
    """Weights of -1, 0 and 1 have no rounding error, so there is no mean shift to correct."""
    body = layers.Conv2D(4, 1, name="conv"), layers.Flatten(name="flat")
    network = make_network(lambda x: body[1](body[0](x)))
    kernel = np.random.default_rng(2).integers(-1, 2, body[0].kernel.shape).astype(np.float32)
    body[0].set_weights([kernel, np.full(4, 0.25, np.float32)])
    frozen(network, windows := make_windows(4, 0)).correct(windows, MOTION)
    kept_kernel, kept_bias = body[0].get_weights()
    np.testing.assert_array_equal(kept_kernel, kernel)
    np.testing.assert_allclose(kept_bias, 0.25, atol=1e-6)


def test_means_are_of_fewer_frames_where_layers_are_large(monkeypatch):
    network, windows = make_network(chain), make_windows(20, 0)
    seen = []
    monkeypatch.setattr(bias, "MOST_BYTES", 8 * 8 * 12 * 4 * 7)
    monkeypatch.setattr(bias, "_means", lambda values: seen.append(len(values)) or 0.0)
    frozen(network, windows).correct(windows, MOTION)
    assert set(seen) == {7}


def codes_of(content, windows):
    model = TfliteModel(content, name="encoder")
    return np.concatenate([model.run(frame) for frame in windows.reshape(-1, SIZE, SIZE, 3)])


def test_learned_ranges_come_with_learned_biases():
    network, windows = make_network(chain), make_windows(20, 0)
    parts = network.get_layer("encoder"), network.get_layer("head")
    exporter, observer = frozen(network, windows), RangeObserver()
    observe(Exporter(*parts, observer), windows, MOTION)
    learned = convert_networks(*parts, windows, MOTION, ConvertJob(limits=observer.limits)).encoder
    observed = convert_networks(*parts, windows, MOTION).encoder
    plain = codes_of(to_int8(exporter.encode, (1, SIZE, SIZE, 3)), windows)
    exporter.correct(windows, MOTION)
    corrected = codes_of(to_int8(exporter.encode, (1, SIZE, SIZE, 3)), windows)
    assert not np.array_equal(plain, corrected)
    assert np.array_equal(codes_of(learned, windows), plain)
    assert np.array_equal(codes_of(observed, windows), corrected)


def test_training_as_int8_begins_with_them(tmp_path):
    run = small_run(tmp_path, kind="motion")
    run.config = msgspec.structs.replace(run.config, stage="qat")
    network, before = run.model(), run.model()
    fake_quantization(run, network)
    for name in ("encoder", "head"):
        pairs = zip(network.get_layer(name).weights, before.get_layer(name).weights, strict=True)
        changed = {one.path.split("/")[-1] for one, other in pairs if not np.array_equal(one.numpy(), other.numpy())}
        assert changed == ({"bias"} if name == "encoder" else set())
