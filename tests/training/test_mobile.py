"""The network with weights of a published MobileNetV1, here of one with weights made up."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from support.moving import write_moving_bars  # noqa: E402
from support.warm import run_command  # noqa: E402

from edgehar.errors import ConfigError  # noqa: E402
from edgehar_training import models  # noqa: E402
from edgehar_training.models.tflite_weights import convolutions  # noqa: E402
from edgehar_training.quantize.simplify import simplified  # noqa: E402
from edgehar_training.runs.run import load_run  # noqa: E402
from edgehar_training.settings import NetworkSettings  # noqa: E402

pytestmark = pytest.mark.training

SIZE, BLOCKS = 32, 3


def settings(**changes):
    options = {"blocks": BLOCKS, "units": 8, **changes.pop("options", {})}
    return NetworkSettings(model="mobile", size=SIZE, window=4, options=options, **changes)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Float features of a network of colours from -1 to 1, and its TFLite file."""
    keras.utils.set_random_seed(3)
    encoder = models.build(settings(), 2).get_layer("encoder")
    for layer in encoder.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.random.default_rng(1).normal(0, 0.1, bias.shape)])
    function = tf.function(lambda x: encoder(x), input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path_factory.mktemp("weights") / "mobilenet.tflite"
    path.write_bytes(converter.convert())
    return encoder, path


def features(model, frames):
    return keras.ops.convert_to_numpy(model.get_layer("encoder")(frames, training=False))


def test_colours_give_the_features_of_the_file(published):
    encoder, path = published
    model = models.build(settings(input="rgb", options={"weights": str(path)}), 2)
    pixels = np.random.default_rng(2).random((3, SIZE, SIZE, 3), np.float32)
    expected = keras.ops.convert_to_numpy(encoder(2 * pixels - 1))
    np.testing.assert_allclose(features(model, pixels), expected, atol=1e-5)
    assert not model.get_layer("encoder").trainable_variables


def test_motion_gives_the_features_of_three_pictures_of_motion(published):
    encoder, path = published
    model = models.build(settings(input="motion", options={"weights": str(path), "trainable": True}), 2)
    now, before, earlier = np.random.default_rng(3).integers(100, 116, (3, 2, SIZE, SIZE)).astype(np.float32)
    one, two = now - before, now - earlier
    device = np.stack([one, two, np.abs(one)], axis=-1) / 255
    pictures = np.stack([one, 0.75 * two, before - earlier], axis=-1) / 16
    expected = keras.ops.convert_to_numpy(encoder(pictures))
    np.testing.assert_allclose(features(model, device), expected, atol=1e-4)
    assert model.get_layer("encoder").trainable_variables


def test_peaks_stand_beside_means(published):
    _, path = published
    means = models.build(settings(options={"weights": str(path)}), 2)
    both = models.build(settings(options={"weights": str(path), "pool": "mean+max"}), 2)
    frames = np.random.default_rng(5).uniform(-0.1, 0.1, (3, SIZE, SIZE, 3)).astype(np.float32)
    maps = keras.Model(means.get_layer("encoder").input, means.get_layer("encoder").layers[-2].output)(frames)
    expected = np.concatenate([features(means, frames), keras.ops.convert_to_numpy(maps).max(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(features(both, frames), expected, atol=1e-6)


def test_the_normalisation_of_features_goes_into_the_recurrent_layer():
    head = models.build(settings(), 2).get_layer("head")
    rng = np.random.default_rng(4)
    norm = head.get_layer("features_bn")
    norm.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in norm.get_weights()])
    codes = rng.normal(size=(3, *head.input_shape[1:])).astype(np.float32)
    plain = simplified(head)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.layers)
    # Features that dropout takes away would be 0 instead of their mean; behind the recurrent layer it stays.
    assert [layer.name for layer in plain.layers if isinstance(layer, keras.layers.Dropout)] == ["dropout"]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(plain(codes)), keras.ops.convert_to_numpy(head(codes)), atol=1e-6
    )


def test_what_is_no_such_file_is_told(published, tmp_path):
    _, path = published
    with pytest.raises(ConfigError, match=r"missing\.tflite"):
        models.build(settings(options={"weights": str(tmp_path / "missing.tflite")}), 2)
    (tmp_path / "text.tflite").write_text("not a network")
    with pytest.raises(ConfigError, match="is not a TFLite file"):
        models.build(settings(options={"weights": str(tmp_path / "text.tflite")}), 2)
    with pytest.raises(ConfigError, match="change --model-option alpha"):
        models.build(settings(options={"weights": str(path), "alpha": 0.5}), 2)
    with pytest.raises(ConfigError, match="7 convolutions, 9 are needed"):
        models.build(settings(options={"weights": str(path), "blocks": BLOCKS + 1}), 2)
    with pytest.raises(ConfigError, match="motion or colors"):
        models.check(settings(input="flow"))
    assert len(convolutions(path.read_bytes())) == 1 + 2 * BLOCKS


def test_weights_named_from_one_folder_are_found_from_another(published, tmp_path):
    _, path = published
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(path, tmp_path / "here.tflite")
    options = [f"blocks={BLOCKS}", "units=8", "alpha=0.25", "weights=here.tflite"]
    command = ["--data", write_moving_bars(tmp_path / "bars", 4), "--cache", tmp_path / "cache", "--model", "mobile"]
    command += ["--size", SIZE, "--window", 4, "--epochs", 1, "--no-augment", "--out", tmp_path / "run"]
    done = run_command("edgehar-train", *command, "--model-option", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "oneDNN" not in done.stderr
    told = load_run(tmp_path / "run").config.network.options["weights"]
    assert told == str(tmp_path / "here.tflite")
    options[-1] = f"weights={told}"
    more = ["--resume", "--epochs", 2, "--model-option", *options]
    done = run_command("edgehar-train", *command, *more, cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr
