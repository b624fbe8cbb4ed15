"""What can be set of a training does what it says, on the numbers of the network."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

import keras
from support.moving import LABELS, write_moving_bars

from edgehar.errors import ConfigError, DatasetError, EdgeharError
from edgehar_training.data.datasets import Clip
from edgehar_training.runs.run import Run, RunConfig
from edgehar_training.settings import AugmentSettings, DataSettings, FitSettings, NetworkSettings
from edgehar_training.training import accelerators
from edgehar_training.training.fit import Training
from edgehar_training.training.optimisation import Schedule, class_weights, make_loss, make_optimizer

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("bars"), clips_per_label=3, frames=10)


@pytest.fixture
def make_run(data, tmp_path):
    def make(name="run", labels=LABELS, **fit):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Run(folder, config(data, tmp_path, labels, **fit))

    return make


def config(data, folder, labels=LABELS, **fit):
    return RunConfig(
        data=DataSettings(folder=str(data), cache=str(folder / "cache")),
        network=NetworkSettings(window=2, options={"units": 4}),
        fit=FitSettings(**{"epochs": 2, "batch_size": 4, "patience": 0, **fit}),
        augment=AugmentSettings(on=False),
        labels=list(labels),
        protocol="test",
    )


def clips(data, numbers=(0, 1)):
    return [Clip(str(Path(data) / label / f"{n}.mp4"), label, f"place{n}") for label in LABELS for n in numbers]


def training(run, *, resume=False):
    data = run.config.data.folder
    return Training(run, clips(data), clips(data, [2]), resume=resume)


def train(run, *, epochs=None, resume=False):
    made = training(run, resume=resume)

    def after_epoch(row):
        if row["epoch"] == epochs:
            raise KeyboardInterrupt

    if epochs is None:
        made.fit(lambda _: None, after_epoch)
    else:
        with pytest.raises(KeyboardInterrupt):
            made.fit(lambda _: None, after_epoch)
    return made


def rates(schedule, steps):
    return [float(schedule(step)) for step in range(steps)]


def test_the_learning_rate_rises_and_falls_as_said():
    assert rates(Schedule("constant", 0.1, 8, warmup_steps=4), 6) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    cosine = rates(Schedule("cosine", 0.1, 10, warmup_steps=2), 11)
    assert cosine[2:] == pytest.approx([0.05 * (1 + np.cos(np.pi * step / 8)) for step in range(9)], abs=1e-7)
    assert rates(Schedule("step", 0.1, 20), 20) == pytest.approx([0.1] * 12 + [0.01] * 5 + [0.001] * 3)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_leaves_biases_alone(name):
    kernel, bias = (
        keras.Variable(np.ones(shape, np.float32), name=n) for shape, n in (((2, 2), "kernel"), ((2,), "bias"))
    )
    fit = FitSettings(optimizer=name, weight_decay=0.5, learning_rate=0.1)
    optimizer = make_optimizer(fit, [kernel, bias], 1)
    optimizer.build([kernel, bias])
    optimizer.apply([keras.ops.zeros((2, 2)), keras.ops.zeros(2)])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel), 0.95, rtol=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(bias), 1)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="--optimizer adamw"):
        make_optimizer(FitSettings(weight_decay=0.1), [], 1)
    with pytest.raises(ConfigError, match="--warmup-epochs 5 is not below --epochs 5"):
        make_optimizer(FitSettings(epochs=5, warmup_epochs=5), [], 1)


def test_smoothed_truth_and_weighted_labels():
    scores = np.array([[0.9, 0.1]], np.float32)
    smooth = float(make_loss(FitSettings(label_smoothing=0.2))(np.eye(2, dtype=np.float32)[[0]], scores))
    assert smooth == pytest.approx(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)), rel=1e-5)
    some = [Clip("a", "rare", "g"), *(Clip(f"b{n}", "often", "g") for n in range(3))]
    assert class_weights(some, ["often", "rare"]).tolist() == pytest.approx([4 / 6, 2])


def test_weights_of_labels_reach_the_loss(make_run):
    made = training(make_run(class_weights=True, learning_rate=1e-9))
    windows = np.random.default_rng(0).random((2, 2, 60, 60, 3), np.float32)
    truth = np.eye(2, dtype=np.float32)[[0, 0]]
    for layer in made.model.get_layer("encoder").layers:
        layer.rate = 0.0
    plain = made.step(windows, truth)["loss"]
    made._label_weights = np.array([3, 1], np.float32)
    assert made.step(windows, truth)["loss"] == pytest.approx(3 * plain, rel=1e-4)


def test_schedule_momentum_and_mean_weights_survive_an_interruption(make_run):
    settings = {
        "epochs": 3, "optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 1, "average_weights": 0.5,
        "weight_decay": 0.01, "label_smoothing": 0.1, "class_weights": True, "batch_size": 2,
    }  # fmt: skip
    whole = train(make_run("whole", **settings))
    train(make_run("parts", **settings), epochs=1)
    resumed = train(make_run("parts", **settings), resume=True)
    assert resumed.progress == whole.progress
    fallen = [row["learning_rate"] for row in whole.progress.history]
    assert fallen[0] == pytest.approx(1e-3)
    assert fallen[2] == pytest.approx(0, abs=1e-9)
    for one, two in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_mean_of_weights_is_what_is_kept(make_run):
    made = training(make_run(epochs=1, average_weights=0.9, batch_size=1, learning_rate=0.01))
    kernel = made.model.get_layer("head").layers[-1].kernel
    mean, plain_step = None, made.step

    def step(windows, truth):
        nonlocal mean
        logs = plain_step(windows, truth)
        now = keras.ops.convert_to_numpy(kernel)
        mean = now.copy() if mean is None else 0.9 * mean + 0.1 * now
        return logs

    made.step = step
    made.fit(lambda _: None, lambda _: None)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel), mean, rtol=1e-5)


def test_weights_go_bad_and_the_last_good_network_stays(make_run):
    made = training(make_run(epochs=5))
    plain_step, good = made.step, None

    def step(windows, truth):
        nonlocal good
        if len(made.progress.history) == 2:
            return {"loss": float("nan"), "accuracy": 0.0}
        return plain_step(windows, truth)

    made.step = step
    with pytest.raises(EdgeharError, match=r"NaN or infinite in epoch 3; lower --learning-rate \(now 0.001\).*best"):
        made.fit(lambda _: None, lambda _: None)
    val = clips(made.run.config.data.folder, [2])
    truth = np.array([LABELS.index(clip.label) for clip in val])
    kept = made.score([made.run.stream(clip) for clip in val], truth)
    assert kept.loss == pytest.approx(made.progress.best_loss, rel=1e-6)
    assert len(training(made.run, resume=True).progress.history) == 2


def test_memory_that_runs_out_names_what_to_lower(make_run):
    tf = pytest.importorskip("tensorflow")
    for error in (
        MemoryError("Unable to allocate 9 GiB"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64,20]"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes."),
    ):
        made = training(make_run())

        def step(*_, error=error):
            raise error

        made.step = step
        with pytest.raises(EdgeharError, match="--batch-size first, then --window or --size"):
            made.fit(lambda _: None, lambda _: None)


def test_a_label_without_training_clips_is_named(make_run):
    with pytest.raises(DatasetError, match="no training clip has the label third"):
        training(make_run(labels=[*LABELS, "third"]))
    with pytest.raises(DatasetError, match="labels that are not in the run: still"):
        training(make_run(labels=["moving"]))


def test_a_frozen_encoder_stays_what_it_was(make_run):
    first = train(make_run("first", epochs=1))
    first.run.config.write(first.run.path)
    first.model.save(first.run.path / "best.keras")
    second = train(make_run("second", init_from=str(first.run.path), freeze=["encoder"], learning_rate=0.01))
    pairs = [
        (m.get_layer("encoder").get_weights(), m.get_layer("head").get_weights()) for m in (first.model, second.model)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(pairs[0][0], pairs[1][0], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(pairs[0][1], pairs[1][1], strict=True))


def test_without_a_gpu_16_bits_are_not_used_and_that_is_said(make_run, caplog):
    if accelerators.gpus():
        pytest.skip("there is a GPU")
    made = training(make_run(precision="mixed"))
    assert "none was found" in caplog.text
    assert {layer.compute_dtype for layer in made.model.layers} == {"float32"}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_16_bits_learn_and_leave_a_float32_network(make_run, monkeypatch, policy):
    monkeypatch.setattr(accelerators, "precision", lambda _: policy)
    made = train(make_run(precision="mixed", average_weights=0.5, epochs=1))
    again = training(make_run(precision="mixed", average_weights=0.5), resume=True)
    assert again.progress == made.progress
    parts = [made.model.get_layer(part) for part in ("encoder", "head")]
    assert {layer.compute_dtype for part in parts for layer in part.layers} == {"float32"}
    windows = made.run.windows_of(clips(made.run.config.data.folder, [2])[0])
    exact, rounded = made.model.predict(windows, verbose=0), made._networks.fast.predict(windows, verbose=0)
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(exact, rounded, atol=0.02)


def test_xla_gives_the_same_training(make_run):
    plain, compiled = (train(make_run(name, jit=name == "jit", epochs=1)) for name in ("plain", "jit"))
    for one, two in zip(plain.model.get_weights(), compiled.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-3)


REPEAT = """\
import hashlib, sys
from pathlib import Path
sys.path.insert(0, {tests!r}); sys.path.insert(0, str(Path({tests!r}).parent))
import test_fit_options as t
from edgehar_training.runs.run import Run
folder = Path(sys.argv[1]); folder.mkdir()
made = t.train(Run(folder, t.config({data!r}, folder.parent, deterministic=True)))
print(hashlib.sha256(b"".join(w.tobytes() for w in made.model.get_weights())).hexdigest())
"""

SEVERAL = """\
import sys
from pathlib import Path
sys.path.insert(0, {tests!r}); sys.path.insert(0, str(Path({tests!r}).parent))
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import test_fit_options as t
from edgehar_training.training import accelerators
from edgehar_training.runs.run import Run
one, plain = accelerators.Replicas, []
for names in (None, ["CPU:0", "CPU:1"]):
    accelerators.Replicas = lambda names=names: one(names)
    folder = Path(sys.argv[1]) / str(names is None); folder.mkdir(parents=True)
    run = Run(folder, t.config({data!r}, folder.parent, epochs=1, optimizer="sgd", average_weights=0.5))
    # Dropout would differ between replicas.
    made = t.training(run)
    assert len(made._replicas) == (1 if names is None else 2)
    for layer in made.model.get_layer("encoder").layers:
        layer.rate = 0.0
    made.fit(lambda _: None, lambda _: None)
    plain.append(made.model.get_weights())
    t.training(run, resume=True)
for a, b in zip(*plain, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
print("same")
"""


def start(text, data, folder):
    code = text.format(tests=str(Path(__file__).parent), data=str(data))
    return subprocess.Popen(
        [sys.executable, "-c", code, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(process):
    with process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out.strip()


def test_two_deterministic_runs_are_the_same_bytes(data, tmp_path):
    first, second = map(said, [start(REPEAT, data, tmp_path / name) for name in ("a", "b")])
    assert len(first) == 64
    assert first == second


def test_two_devices_train_as_one(data, tmp_path):
    pytest.importorskip("tensorflow")
    assert said(start(SEVERAL, data, tmp_path)).endswith("same")


def test_batches_too_small_for_the_gpus_are_refused():
    replicas = accelerators.Replicas()
    assert len(replicas) == 1
    replicas.check(FitSettings(batch_size=1))
    replicas._strategy = type("Strategy", (), {"num_replicas_in_sync": 4})()
    with pytest.raises(ConfigError, match="--batch-size 6 is too small for 4 GPUs; give 8"):
        replicas.check(FitSettings(batch_size=6))
