"""A head found in closed form, over weights made up: from clips to an int8 bundle."""

import msgspec
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

from support.moving import write_moving_bars  # noqa: E402
from support.warm import run_command  # noqa: E402

from edgehar.errors import ConfigError  # noqa: E402
from edgehar.inspect.verify import verify  # noqa: E402
from edgehar.model.bundle import ModelBundle  # noqa: E402
from edgehar.model.network import Network  # noqa: E402
from edgehar_training import models  # noqa: E402
from edgehar_training.models.layers import TimeStatistics  # noqa: E402
from edgehar_training.quantize.cost import macs  # noqa: E402
from edgehar_training.runs.report import read_metrics  # noqa: E402
from edgehar_training.runs.run import load_network  # noqa: E402
from edgehar_training.settings import NetworkSettings  # noqa: E402
from edgehar_training.training.closed_form_training import statistics_parts, training_starts  # noqa: E402

pytestmark = pytest.mark.training

SIZE = 32


def settings(**options):
    return NetworkSettings(model="mobile", size=SIZE, window=6, options={"head": "statistics", **options})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A TFLite file of a MobileNetV1 with weights made up."""
    keras.utils.set_random_seed(3)
    encoder = models.build(settings(blocks=5), 2).get_layer("encoder")
    function = tf.function(lambda x: encoder(x), input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    path = tmp_path_factory.mktemp("weights") / "mobilenet.tflite"
    path.write_bytes(converter.convert())
    return path


def test_statistics_over_time():
    x = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    expected = np.concatenate([x.mean(axis=1), x.max(axis=1), x.std(axis=1)], axis=1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(TimeStatistics()(x)), expected, atol=1e-5)


def test_taps_stand_one_behind_the_other():
    network = settings(blocks=5, taps="3+5", pool="mean+max")
    model = models.build(network, 2)
    assert models.feature_parts(network, 0) == [64, 128]
    assert model.get_layer("encoder").output_shape == (None, 192)
    assert model.get_layer("head").get_layer("scores").weights[0].shape == (3 * 192, 2)
    columns = statistics_parts([2, 3])
    assert [part.tolist() for part in columns] == [[0, 1, 5, 6, 10, 11], [2, 3, 4, 7, 8, 9, 12, 13, 14]]
    columns = statistics_parts([2, 3], apart=True)
    assert [part.tolist() for part in columns] == [[0, 1], [5, 6], [10, 11], [2, 3, 4], [7, 8, 9], [12, 13, 14]]
    columns = statistics_parts([2, 3], apart=True, used=("mean", "peak"))
    assert [part.tolist() for part in columns] == [[0, 1], [5, 6], [2, 3, 4], [7, 8, 9]]


@pytest.mark.parametrize("taps", ["3", "3+6", "5+5", "3+4"])
def test_taps_must_end_in_the_last_block(taps):
    with pytest.raises(ConfigError, match="must name different blocks up to the last one, which is 5"):
        models.check(settings(blocks=5, taps=taps))


def test_windows_that_look_back_before_the_clip_are_not_learned_from():
    assert list(training_starts(20, 6, 5)) == [2, 7, 12]
    assert list(training_starts(8, 6, 5)) == [2]
    assert list(training_starts(7, 6, 5)) == [1]
    assert list(training_starts(6, 6, 5)) == [0]


def test_from_clips_to_an_int8_bundle(weights, tmp_path):
    data = write_moving_bars(tmp_path / "bars", 8)
    command = ["--data", data, "--cache", tmp_path / "cache", "--model", "mobile", "--size", SIZE, "--window", 6]
    command += ["--no-augment", "--solver", "closed-form", "--components", 8, "--ridge", 0.1, "--head", "float"]
    command += ["--model-option", f"weights={weights}", "alpha=0.25", "blocks=5", "taps=3+5", "pool=mean+max"]
    done = run_command("edgehar-train", *command, "head=statistics", "--int8", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    metrics = read_metrics(tmp_path / "run" / "metrics.json")
    assert metrics["epochs"] == 1
    rows = zip(metrics["test"]["predictions"], metrics["int8"]["predictions"], strict=True)
    differences = [np.abs(np.subtract(real["scores"], small["scores"])).max() for real, small in rows]
    assert max(differences) < 0.15
    assert ModelBundle.open(tmp_path / "run" / "model.edgehar").manifest.quantization.head == "float"
    other = run_command("edgehar-convert", tmp_path / "run", "--head", "unrolled", "--out", tmp_path / "a.edgehar")
    assert other.returncode == 2
    assert "has no unrolled form; use --head float" in other.stderr


def test_two_looks_from_clips_to_an_int8_bundle(weights, tmp_path):
    data = write_moving_bars(tmp_path / "bars", 6)
    command = ["--data", data, "--cache", tmp_path / "cache", "--model", "mobile", "--size", SIZE, "--window", 6]
    command += ["--looks", "whole+crop", "--crop-side", 100, "--motion-range", 32, "--no-augment", "--steady-light"]
    command += ["--solver", "closed-form", "--components", 8, "--ridge", 0.1, "--head", "float", "--model-option"]
    command += [f"weights={weights}", "alpha=0.25", "blocks=5", "taps=3+5", "pool=mean+max", "head=statistics"]
    command += ["--parts", "mean+peak"]
    done = run_command("edgehar-train", *command, "--int8", "--out", tmp_path / "run", timeout_s=300)
    assert done.returncode == 0, done.stderr
    kernel = load_network(tmp_path / "run" / "best.keras").get_layer("head").get_layer("scores").get_weights()[0]
    of_statistic = np.abs(kernel).reshape(3, -1).sum(axis=1)
    assert (of_statistic[:2] > 0).all()
    assert of_statistic[2] == 0
    metrics = read_metrics(tmp_path / "run" / "metrics.json")
    rows = zip(metrics["test"]["predictions"], metrics["int8"]["predictions"], strict=True)
    assert max(np.abs(np.subtract(real["scores"], small["scores"])).max() for real, small in rows) < 0.15
    bundle = ModelBundle.open(tmp_path / "run" / "model.edgehar")
    manifest = bundle.manifest
    assert (manifest.schema_version, manifest.input.stabilize, manifest.input.steady_light) == (5, False, True)
    assert (manifest.input.looks, manifest.input.crop_side, manifest.temporal.lead_in) == (("whole", "crop"), 100, 2)
    with Network(bundle) as network:
        assert network.encoder.input_shape == (1, 2, SIZE, SIZE, 3)
        assert network.encoder.output_shape == (1, 2 * 192)
    verdict = verify(bundle, windows=60)
    assert verdict.identical, verdict


def test_the_features_of_looks_stand_one_behind_the_other():
    network = msgspec.structs.replace(settings(blocks=5, taps="3+5", pool="mean+max"), looks="whole+crop")
    encoder = models.build(network, 2).get_layer("encoder")
    assert models.feature_parts(network, 0) == [64, 128, 64, 128]
    assert models.feature_parts(network, 0, pools=True) == [32, 32, 64, 64, 32, 32, 64, 64]
    looks = np.random.default_rng(1).normal(size=(3, 2, SIZE, SIZE, 3)).astype(np.float32)
    both = encoder.predict(looks, verbose=0)
    swapped = encoder.predict(looks[:, ::-1], verbose=0)
    np.testing.assert_allclose(both[:, :192], swapped[:, 192:], atol=1e-5)
    np.testing.assert_allclose(both[:, 192:], swapped[:, :192], atol=1e-5)
    one = models.build(msgspec.structs.replace(network, looks="whole"), 2).get_layer("encoder")
    assert macs(encoder) == 2 * macs(one)


def test_another_head_has_no_closed_form(weights, tmp_path):
    data = write_moving_bars(tmp_path / "bars", 4)
    command = ["--data", data, "--cache", tmp_path / "cache", "--model", "mobile", "--size", SIZE, "--window", 6]
    command += ["--no-augment", "--solver", "closed-form", "--out", tmp_path / "run", "--model-option"]
    done = run_command("edgehar-train", *command, f"weights={weights}", "alpha=0.25", "blocks=5")
    assert done.returncode == 1 or done.returncode == 2
    assert "needs a head of statistics" in done.stderr
