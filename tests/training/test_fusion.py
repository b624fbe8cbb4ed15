"""Several networks in one: the same answers as the mean of theirs, and runs that every command takes."""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.helpers import assert_one_line_error

keras = pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from support.moving import write_moving_bars  # noqa: E402
from support.warm import run_command  # noqa: E402

from edgehar.errors import ConfigError  # noqa: E402
from edgehar.model.bundle import ModelBundle  # noqa: E402
from edgehar_training.fusion.features import equalize, size_of  # noqa: E402
from edgehar_training.fusion.network import fused  # noqa: E402
from edgehar_training.models import build  # noqa: E402
from edgehar_training.quantize.cost import macs  # noqa: E402
from edgehar_training.runs.run import load_run  # noqa: E402
from edgehar_training.settings import NetworkSettings  # noqa: E402

pytestmark = pytest.mark.training

WINDOW, CLASSES = 3, 3


def network(model, seed=0, **options):
    """Random weights large enough to decide, and statistics of normalisations as if they had seen data."""
    keras.utils.set_random_seed(seed)
    settings = NetworkSettings(model=model, window=WINDOW, size=64, options=options)
    made = build(settings, CLASSES)
    rng = np.random.default_rng(seed)
    for part in (made.get_layer("encoder"), made.get_layer("head")):
        for layer in part.layers:
            if layer.weights:
                layer.set_weights([np.abs(w) + rng.random(w.shape) if w.ndim == 1 else 2 * w for w in weights(layer)])
    return made


def weights(layer):
    return [weight.astype(np.float32) for weight in layer.get_weights()]


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(1).random((5, WINDOW, 64, 64, 3), np.float32)


def scores(model, windows):
    return model.predict(windows, verbose=0)


def features(model, windows):
    return model.get_layer("encoder").predict(windows.reshape(-1, *windows.shape[2:]), verbose=0)


def geometric_mean(*parts):
    product = np.exp(np.mean([np.log(part) for part in parts], axis=0))
    return product / product.sum(axis=1, keepdims=True)


def test_scores_are_the_normalised_geometric_mean(windows):
    parts = [network("lrcn", 1), network("mobile", 2, alpha=0.25, blocks=3, pool="mean+max"), network("lrcn", 3)]
    before = [scores(part, windows) for part in parts]
    made = fused(parts, ["a", "b", "c"])
    assert np.ptp(before[0] - before[1], axis=0).max() > 0.01, "parts that answer alike show nothing"
    assert scores(made, windows) == pytest.approx(geometric_mean(*before), abs=1e-5)
    assert made.get_layer("encoder").output_shape[-1] == sum(features(part, windows).shape[1] for part in parts)
    for name in ("encoder", "head"):
        own = sum(macs(part.get_layer(name)) for part in parts)
        assert macs(made.get_layer(name)) == own


def test_a_network_that_ends_otherwise_is_refused():
    streams = build(
        NetworkSettings(model="two_stream", input="rgb+flow", window=WINDOW, size=64, options={"fusion": "scores"}),
        CLASSES,
    )
    with pytest.raises(ConfigError, match=r"runs/two: ends in .* \(Average\)"):
        fused([network("lrcn"), streams], ["runs/one", "runs/two"])


@pytest.mark.parametrize("times", [0.05, 40.0])
def test_features_are_scaled_to_those_that_cannot_be(windows, times):
    """A capped ReLU stays as it is, and the other network takes its size, larger or smaller."""
    capped, free = network("mobile", 1, alpha=0.25, blocks=3), network("lrcn", 2)
    before = [scores(part, windows) for part in (capped, free)]
    sizes = [size_of(features(capped, windows)), size_of(features(capped, windows)) / times]
    own = features(free, windows)
    factors = equalize([capped, free], sizes)
    assert factors == pytest.approx([1.0, times])
    assert features(free, windows) == pytest.approx(times * own, rel=1e-4, abs=1e-5)
    for part, expected in zip((capped, free), before, strict=True):
        assert scores(part, windows) == pytest.approx(expected, abs=1e-5)


def test_features_behind_and_before_a_normalisation_are_scaled():
    """The features of `chain` end in a normalisation, and one in its head reads them."""
    rng = np.random.default_rng(0)
    frame, sequence = keras.Input((8, 8, 3)), keras.Input((WINDOW, 4))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(frame))
    encoder = keras.Model(frame, keras.layers.GlobalMaxPooling2D()(keras.layers.ReLU()(x)), name="encoder")
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(sequence))
    out = keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.GRU(4)(x))
    head = keras.Model(sequence, out, name="head")
    for part in (encoder, head):
        part.set_weights([np.abs(rng.standard_normal(w.shape)).astype(np.float32) + 0.1 for w in part.get_weights()])
    from edgehar_training.models.layers import whole

    chain, windows = whole(encoder, head, "chain"), rng.random((4, WINDOW, 8, 8, 3), np.float32)
    before, own = scores(chain, windows), features(chain, windows)
    assert equalize([chain, network("lrcn")], [2.0, 14.0]) == pytest.approx([7.0, 1.0])
    assert features(chain, windows) == pytest.approx(7 * own, rel=1e-4)
    assert scores(chain, windows) == pytest.approx(before, abs=1e-5)


def test_features_that_another_layer_reads_too_stay_as_they_are(windows):
    """The early map of `attention_lrcn` is a feature, and the next convolution reads it."""
    part = network("attention_lrcn", 1)
    before = features(part, windows)
    assert equalize([part, network("lrcn", 2)], [1.0, 3.0]) == pytest.approx([1.0, 1 / 3])
    assert np.array_equal(features(part, windows), before)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two tiny trained runs of the same split, of networks whose features have different sizes."""
    folder = tmp_path_factory.mktemp("fuse")
    data = write_moving_bars(folder / "bars")
    common = [
        "--data", data, "--cache", folder / "cache", "--window", 3, "--size", 64, "--epochs", 1, "--batch-size", 8,
        "--windows-per-clip", 1, "--no-augment",
    ]  # fmt: skip
    mobile = ["--model", "mobile", "--model-option", "blocks=2", "units=8"]
    for name, own in (("lrcn", ["--model-option", "units=8"]), ("mobile", mobile)):
        done = run_command("edgehar-train", *common, *own, "--out", folder / name)
        assert done.returncode == 0, done.stderr
    return folder, common


def test_fused_runs_are_runs(runs):
    folder, common = runs
    out = folder / "fused"
    command = ["edgehar", "fuse", folder / "lrcn", folder / "mobile", "--out", out]
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("test accuracy ")
    assert {path.name for path in out.iterdir()} == {
        "config.json", "labels.txt", "splits.csv", "best.keras", "parts.json", "metrics.json", "confusion.png",
    }  # fmt: skip
    run, metrics = load_run(out), json.loads((out / "metrics.json").read_text())
    assert run.config.network.title == "fused lrcn+mobile"
    assert run.config.network.options["part2.blocks"] == 2
    for part in ("val", "test"):
        told = np.array([row["scores"] for row in metrics[part]["predictions"]])
        assert told.shape == (len(run.clips(part)), 2)
    windows = run.windows_of(run.clips("test")[0])
    parts = [scores(load_run(folder / name).model(), windows) for name in ("lrcn", "mobile")]
    assert metrics["test"]["predictions"][0]["scores"] == pytest.approx(
        geometric_mean(*parts).mean(axis=0).tolist(), abs=2e-5
    )
    described = json.loads((out / "parts.json").read_text())
    assert [Path(part["run"]).name for part in described] == ["lrcn", "mobile"]
    # The features of lrcn are as large as those of mobile now.
    sizes = [size_of(features(load_run(folder / name).model(), windows)) for name in ("lrcn", "mobile")]
    assert described[0]["features_times"] == pytest.approx(sizes[1] / sizes[0], rel=0.5)
    assert described[1]["features_times"] == 1

    again = run_command(*command)
    assert_one_line_error(again, 2, str(out), "--resume")
    done = run_command(*command, "--resume", "--int8")
    assert done.returncode == 0, done.stderr
    assert ", int8 " in done.stdout
    assert json.loads((out / "metrics.json").read_text())["int8"]["part"] == "test"
    with zipfile.ZipFile(out / "model.edgehar") as bundle:
        assert "Network fused lrcn+mobile," in bundle.read("MODEL_CARD.md").decode()
    assert ModelBundle.open(out / "model.edgehar").manifest.provenance.parity.max_score_difference < 0.1
    trained = run_command("edgehar-train", *common, "--out", out, "--resume")
    assert_one_line_error(trained, 2, str(out), "edgehar fuse")
    head = run_command(*command, "--resume", "--head", "float")
    assert_one_line_error(head, 2, str(out), "--head unrolled")
    head = run_command(*command, "--resume", "--qat", "--head", "fused")
    assert_one_line_error(head, 2, "--head fused", "--qat")


def test_the_head_of_a_fused_network_is_trained_on(runs):
    folder, _ = runs
    out = folder / "trained"
    command = ["edgehar", "fuse", folder / "lrcn", folder / "mobile", "--out", out, "--qat", "--head", "float"]
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "metrics.json").read_text())["quantization"]
    assert told["qat"]["window_agreement"] > 0.99
    for stage in ("finetune", "qat"):
        before, after = load_run(out).model(), load_run(out / stage).model()
        old, new = ([layer for layer in m.get_layer("head").layers if layer.weights] for m in (before, after))
        assert not all(np.array_equal(a.get_weights()[0], b.get_weights()[0]) for a, b in zip(old, new, strict=True))
        x = np.random.default_rng(0).random((3, 64, 64, 3), np.float32)
        assert after.get_layer("encoder")(x).numpy() == pytest.approx(before.get_layer("encoder")(x).numpy(), abs=1e-3)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = run_command(*command, "--resume")
    assert again.returncode == 0, again.stderr
    assert written == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def copied(run, folder, seed=0):
    """A finished run as if it had been trained with another seed."""
    folder.mkdir(parents=True)
    for name in ("config.json", "splits.csv", "best.keras", "metrics.json"):
        (folder / name).write_bytes((run / name).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["split"]["seed"] = seed
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_seeds_are_fused_one_by_one_and_pooled(runs, tmp_path):
    folder, _ = runs
    for name in ("lrcn", "mobile"):
        for seed in (0, 1):
            copied(folder / name, tmp_path / name / f"seed-{seed}", seed)
    command = ["edgehar", "fuse", tmp_path / "lrcn", tmp_path / "mobile", "--out", tmp_path / "fused"]
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "fused/metrics.json").read_text())
    assert metrics["seeds"] == [0, 1]
    assert metrics["clips"] == len(load_run(folder / "lrcn").clips("test"))
    assert (tmp_path / "fused/confusion.png").exists()
    evaluated = run_command("edgehar", "eval", tmp_path / "fused")
    assert "float fused lrcn+mobile" in evaluated.stdout, evaluated.stderr
    changed = tmp_path / "lrcn/seed-1/best.keras"
    changed.write_bytes((folder / "mobile/best.keras").read_bytes())
    other = run_command(*command, "--resume")
    assert_one_line_error(other, 2, str(tmp_path / "fused/seed-1"), "other networks")
    copied(folder / "mobile", tmp_path / "mobile/seed-2", 2)
    more = run_command(*command, "--resume")
    assert_one_line_error(more, 2, str(tmp_path / "lrcn"), "seed-2")


def test_what_does_not_fit_is_said(runs, tmp_path):
    folder, common = runs
    lrcn, mobile = folder / "lrcn", folder / "mobile"
    alone = run_command("edgehar", "fuse", lrcn, "--out", tmp_path / "out")
    assert_one_line_error(alone, 2, str(lrcn), "two runs")
    inside = run_command("edgehar", "fuse", lrcn, mobile, "--out", lrcn / "fused")
    assert_one_line_error(inside, 2, str(lrcn / "fused"))
    other = copied(mobile, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["network"]["rate_hz"] = 10.0
    (other / "config.json").write_text(json.dumps(config))
    rate = run_command("edgehar", "fuse", lrcn, other, "--out", tmp_path / "out")
    assert_one_line_error(rate, 2, str(other), str(lrcn), "network.rate_hz 10.0", "12.5")
    (other / "config.json").write_bytes((mobile / "config.json").read_bytes())
    lines = (other / "splits.csv").read_text().replace(",test", ",train")
    (other / "splits.csv").write_text(lines)
    split = run_command("edgehar", "fuse", lrcn, other, "--out", tmp_path / "out")
    assert_one_line_error(split, 2, str(other), "splits.csv", str(lrcn))
    assert not (tmp_path / "out").exists()
    trained = run_command("edgehar-train", *common, "--model", "fused", "--out", tmp_path / "out")
    assert_one_line_error(trained, 2, "fused", "edgehar fuse")
