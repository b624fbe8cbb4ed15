"""Training on as int8: the network with fake quantization against its own int8 files, and the stages of a run."""

import json

import msgspec
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

from support.small_run import SPLIT, small_run  # noqa: E402

from edgehar import ModelBundle  # noqa: E402
from edgehar.errors import ConfigError, DatasetError  # noqa: E402
from edgehar.model import merge, tflite  # noqa: E402
from edgehar.model.interpreter import TfliteModel  # noqa: E402
from edgehar.model.manifest import Affine  # noqa: E402
from edgehar_training.data.datasets.splits import read_splits  # noqa: E402
from edgehar_training.models.layers import whole  # noqa: E402
from edgehar_training.quantize import file_checks  # noqa: E402
from edgehar_training.quantize.convert import convert_run  # noqa: E402
from edgehar_training.quantize.export import SEAM, Exporter  # noqa: E402
from edgehar_training.quantize.fake_quant import FakeQuantization  # noqa: E402
from edgehar_training.quantize.heads import float_head, fused_head  # noqa: E402
from edgehar_training.quantize.options import ConvertOptions  # noqa: E402
from edgehar_training.quantize.ranges import FakeQuantRanges, RangeObserver  # noqa: E402
from edgehar_training.quantize.simplify import simplified  # noqa: E402
from edgehar_training.quantize.stage_comparison import pooled_differences  # noqa: E402
from edgehar_training.quantize.worker import to_int8  # noqa: E402
from edgehar_training.training.after_run import make_run  # noqa: E402
from edgehar_training.training.options import RunOptions  # noqa: E402

pytestmark = pytest.mark.training

RGB = Affine(scale=1 / 255, zero_point=-128)
SIZE, STEPS, COUNT = 16, 3, 200


def make_network():
    """A convolution with batch normalization, a depthwise one, an LSTM; weights that tell windows apart."""
    layers = keras.layers
    keras.utils.set_random_seed(7)
    frame = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, 2, "same", use_bias=False)(frame)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(layers.Dropout(0.2)(x))
    encoder = keras.Model(frame, layers.Flatten()(layers.MaxPooling2D(4)(x)), name="encoder")
    features = keras.Input((STEPS, encoder.output_shape[1]))
    head = layers.Dense(3, activation="softmax")(layers.LSTM(8)(features))
    network = whole(simplified(encoder), simplified(keras.Model(features, head, name="head")), "small")
    for part, gain in (("encoder", 2.0), ("head", 3.0)):
        model = network.get_layer(part)
        model.set_weights([gain * weight for weight in model.get_weights()])
    return network


def make_windows(count, seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(-100, 100, (count, STEPS, 2, 1, 3)).repeat(SIZE // 2, axis=2)
    return np.clip(levels + rng.integers(-28, 28, (count, STEPS, SIZE, SIZE, 3)), -128, 127).astype(np.int8)


def real(windows):
    return (windows.astype(np.float32) + 128) / 255


def trained(**options):
    """The network after some steps on random labels, and its fake quantization."""
    network, windows = make_network(), make_windows(32, 0)
    quantized = FakeQuantization(network, windows, RGB, momentum=0.5, **options)
    before = quantized.limits
    quantized.model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="categorical_crossentropy")
    truth = np.eye(3)[np.arange(32) % 3]
    for _ in range(4):
        quantized.model.train_on_batch(real(windows), truth)
    moved = quantized.limits
    quantized.move_ranges(moving=False)
    quantized.model.train_on_batch(real(windows), truth)
    assert quantized.limits == moved != before
    quantized.settle()
    return network, quantized


@pytest.mark.parametrize("per_channel", [True, False])
def test_int8_file_computes_what_was_trained(per_channel):
    network, quantized = trained(per_channel=per_channel)
    windows = make_windows(COUNT, 1)
    expected = quantized.model.predict(real(windows), verbose=0)
    assert len(set(expected.argmax(axis=1))) > 1
    exporter = Exporter(network.get_layer("encoder"), network.get_layer("head"), RangeObserver())
    ranges = FakeQuantRanges(quantized.limits, exporter.fixed(RGB), per_channel=per_channel)
    exporter = exporter.with_quantizer(ranges)
    shape = (1, *network.get_layer("head").input_shape[1:])
    encoder = to_int8(exporter.encode, (1, SIZE, SIZE, 3))
    head = to_int8(exporter.classify, shape)
    model = TfliteModel(merge.merge(encoder, head, STEPS), name="window")
    scores = np.concatenate([(model.run(window).astype(float) + 128) / 256 for window in windows])
    # The labels are random, so that many windows are as good as undecided.
    first, second = np.sort(expected, axis=1)[:, [-1, -2]].T
    decided = first - second > 3 / 256
    assert decided.sum() > 100
    assert (scores.argmax(axis=1) == expected.argmax(axis=1))[decided].mean() >= 0.995
    assert np.abs(scores - expected).max() < 0.05
    # The file has the learned range, to the bit.
    assert quantized.limits[SEAM] == quantized.limits[exporter.before_seam]
    assert file_checks.operators(encoder)["QUANTIZE"] == 0
    low, high = quantized.limits[SEAM]
    seam = TfliteModel(encoder, name="encoder").output_quantization
    assert seam == Affine(scale=(high - low) / 255, zero_point=round(-128 - low / seam.scale))
    found = [tensor.quantization for tensor in tflite.parse(encoder).subgraphs[0].tensors]
    assert any(q is not None and q.scale is not None and len(q.scale) > 1 for q in found) == per_channel


def test_weights_learn_through_the_rounding():
    network = make_network()
    before = network.get_weights()
    windows = make_windows(16, 0)
    quantized = FakeQuantization(network, windows, RGB)
    quantized.model.compile(optimizer="sgd", loss="categorical_crossentropy")
    quantized.model.train_on_batch(real(windows), np.eye(3)[np.arange(16) % 3])
    changed = [not np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True) if a.ndim]
    assert sum(changed) >= 0.8 * len(changed)


def test_network_with_given_ranges_says_the_same():
    network, quantized = trained()
    again = FakeQuantization(network, quantized.limits, RGB)
    windows = real(make_windows(8, 2))
    assert np.array_equal(again.model.predict(windows, verbose=0), quantized.model.predict(windows, verbose=0))


@pytest.mark.parametrize("kind", ["fused", "float"])
def test_other_heads_answer_as_the_float_network(kind):
    network = make_network()
    encoder, head = network.get_layer("encoder"), network.get_layer("head")
    windows = make_windows(24, 3)
    exporter = Exporter(encoder, head, RangeObserver())
    ranges = FakeQuantRanges(FakeQuantization(network, windows, RGB).limits, exporter.fixed(RGB))
    exporter = exporter.with_quantizer(ranges)
    features = encoder.predict(real(windows).reshape(-1, SIZE, SIZE, 3), verbose=0).reshape(24, STEPS, -1)
    front = to_int8(exporter.encode, (1, SIZE, SIZE, 3))
    seam = TfliteModel(front, name="encoder").output_quantization
    back = fused_head(head, ranges, features) if kind == "fused" else float_head(head, seam)
    expected = {"fused": "UNIDIRECTIONAL_SEQUENCE_LSTM", "float": "DEQUANTIZE"}[kind]
    assert file_checks.operators(back)[expected] == 1
    model = merge.merge(front, back, STEPS)
    # Every window for itself, whatever came before it.
    assert file_checks.check_identity(front, back, model, windows) == len(windows)
    loaded = TfliteModel(back, name="head")
    codes = np.clip(np.round(features / seam.scale) + seam.zero_point, -128, 127).astype(np.int8)
    scores = np.concatenate([(loaded.run(code).astype(float) + 128) / 256 for code in codes])
    assert np.abs(scores - head.predict(features, verbose=0)).max() < 0.05
    assert np.array_equal(loaded.run(codes[0]), loaded.run(codes[0]))


def test_a_float_head_learns_on_int8_features():
    network, quantized = trained(float_head=True)
    assert not any(place.startswith("head/") for place in quantized.limits)
    windows = make_windows(64, 1)
    expected = quantized.model.predict(real(windows), verbose=0)
    exporter = Exporter(network.get_layer("encoder"), network.get_layer("head"), RangeObserver())
    ranges = FakeQuantRanges(quantized.limits, exporter.fixed(RGB))
    exporter = exporter.with_quantizer(ranges)
    encoder = to_int8(exporter.encode, (1, SIZE, SIZE, 3))
    head = float_head(network.get_layer("head"), TfliteModel(encoder, name="encoder").output_quantization)
    model = TfliteModel(merge.merge(encoder, head, STEPS), name="window")
    scores = np.concatenate([(model.run(window).astype(float) + 128) / 256 for window in windows])
    assert np.abs(scores - expected).max() < 2 / 256


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """A run of random weights, trained on in both ways."""
    run = small_run(tmp_path_factory.mktemp("run"), kind="motion")
    config = run.config
    data = read_splits(run.path / "splits.csv", run.path / "clips")
    clips = [clip for part in ("train", "val", "test") for clip in data[part]]
    make_run(run.path, config, clips, SPLIT, RunOptions(resume=True, qat=True))
    return run, clips


def test_all_three_are_measured_on_the_same_clips(staged):
    run, _ = staged
    found = json.loads((run.path / "metrics.json").read_text())["quantization"]
    for stage in ("ptq", "finetune", "qat"):
        for part in ("val", "test"):
            assert [row["clip"] for row in found[stage][part]["predictions"]] == [
                row["clip"] for row in found["ptq"][part]["predictions"]
            ]
    assert found["qat"]["window_agreement"] >= 0.9
    assert found["best"] in ("ptq", "finetune", "qat")
    assert "best int8 top-1 on 4 validation clips" in found["why"]
    configs = [json.loads((run.path / stage / "config.json").read_text()) for stage in ("finetune", "qat")]
    assert [config["stage"] for config in configs] == ["finetune", "qat"]
    assert configs[0]["fit"] == configs[1]["fit"]


def test_best_one_is_shipped_and_says_why(staged, tmp_path):
    run, _ = staged
    metrics = json.loads((run.path / "metrics.json").read_text())
    metrics["quantization"]["best"], metrics["quantization"]["why"] = "qat", "for a test"
    (run.path / "metrics.json").write_text(json.dumps(metrics))
    conversion = convert_run(run.path, tmp_path / "best.edgehar", ConvertOptions(max_drop=None))
    origin = ModelBundle.open(conversion.path).manifest.provenance
    assert (origin.quantized, origin.reason) == ("qat", "for a test")
    learned = json.loads((run.path / "qat" / "ranges.json").read_text())[SEAM]
    assert conversion.manifest.quantization.seam.scale == (learned[1] - learned[0]) / 255
    with pytest.raises(ConfigError, match="has an unrolled or float head"):
        convert_run(run.path, tmp_path / "other.edgehar", ConvertOptions(head="fused"))


def test_resumed_run_is_left_as_it_is(staged):
    run, clips = staged
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    make_run(run.path, run.config, clips, SPLIT, RunOptions(resume=True, qat=True))
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}


def test_stage_that_was_not_trained(tmp_path):
    run = small_run(tmp_path / "run")
    with pytest.raises(DatasetError, match="stage qat was not trained"):
        convert_run(run.path, tmp_path / "a.edgehar", ConvertOptions(stage="qat"))


def test_head_is_the_one_that_the_run_names(tmp_path):
    run = small_run(tmp_path / "run", kind="motion")
    quantize = msgspec.structs.replace(run.config.quantize, head="float")
    msgspec.structs.replace(run.config, quantize=quantize).write(run.path)
    named = convert_run(run.path, tmp_path / "named.edgehar", ConvertOptions(max_drop=None))
    assert named.manifest.quantization.head == "float"
    other = convert_run(run.path, tmp_path / "other.edgehar", ConvertOptions(max_drop=None, head="unrolled"))
    assert other.manifest.quantization.head == "unrolled"


def test_gains_are_of_the_same_clips():
    def answers(*right):
        rows = [
            {"clip": str(number), "group": f"group{number}", "label": "a", "predicted": "a" if hit else "b"}
            for number, hit in enumerate(right)
        ]
        return {"val": {"predictions": rows}}

    run = {"ptq": answers(0, 0, 1, 1), "finetune": answers(1, 0, 1, 1), "qat": answers(1, 0, 0, 1)}
    gains = pooled_differences([run, run], "val")
    assert gains["finetune - ptq"]["points"] == pytest.approx(25)
    assert gains["qat - finetune"]["points"] == pytest.approx(-25)
    low, high = gains["qat - finetune"]["interval_95"]
    assert low < -25 < high <= 0
