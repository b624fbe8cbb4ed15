"""Weights of a network trained before: whole, for other labels, in another order, and frozen."""

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import keras

from edgehar import Classifier, ModelBundle
from edgehar.errors import ConfigError
from edgehar_training.models import build
from edgehar_training.models.layer_names import freeze, named_layers
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import NetworkSettings
from edgehar_training.training.transfer import init_from

pytestmark = pytest.mark.training

NETWORK = NetworkSettings(window=4, options={"units": 8})
OLD_LABELS = ["kick", "walk"]


@pytest.fixture(scope="module")
def old():
    keras.utils.set_random_seed(1)
    return build(NETWORK, len(OLD_LABELS))


@pytest.fixture(scope="module")
def run(old, tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    RunConfig(network=NETWORK, labels=OLD_LABELS, protocol="test").write(folder)
    old.save(folder / "best.keras")
    return folder


def fresh(classes, **settings):
    keras.utils.set_random_seed(2)
    return build(NetworkSettings(**{"window": 4, "options": {"units": 8}, **settings}), classes)


def windows(seed=0):
    return np.random.default_rng(seed).random((3, 4, 60, 60, 3), np.float32)


def logits(model, inputs):
    """Values before the softmax, but for a shift that all labels share."""
    return np.log(model.predict(inputs, verbose=0))


def test_the_same_labels_give_the_same_network(old, run):
    model = fresh(2)
    taken = init_from(model, run, OLD_LABELS)
    assert not taken.left
    np.testing.assert_array_equal(model.predict(windows(), verbose=0), old.predict(windows(), verbose=0))


def test_a_new_class_keeps_what_the_network_knows_of_the_others(old, run):
    model = fresh(3)
    untouched = fresh(3).get_layer("head").layers[-1].get_weights()
    taken = init_from(model, run, ["kick", "run", "walk"])
    assert taken.labels == ["kick", "walk"]
    assert list(taken.left) == ["head/dense"]
    assert "new are run; kept are kick, walk" in str(taken)
    # The difference of two labels' logits does not depend on other labels.
    now, before = logits(model, windows()), logits(old, windows())
    np.testing.assert_allclose(now[:, 0] - now[:, 2], before[:, 0] - before[:, 1], atol=1e-5)
    kernel, bias = model.get_layer("head").layers[-1].get_weights()
    np.testing.assert_array_equal(kernel[:, 1], untouched[0][:, 1])
    np.testing.assert_array_equal(bias[1], untouched[1][1])


def test_labels_are_paired_by_name_and_not_by_place(old, run):
    model = fresh(2)
    init_from(model, run, ["walk", "kick"])
    np.testing.assert_allclose(
        model.predict(windows(), verbose=0)[:, ::-1], old.predict(windows(), verbose=0), atol=1e-6
    )


def test_a_file_alone_is_taken_where_its_number_of_labels_fits(old, tmp_path):
    old.save(tmp_path / "network.keras")
    model = fresh(2)
    assert not init_from(model, tmp_path / "network.keras", ["a", "b"]).left
    taken = init_from(fresh(3), tmp_path / "network.keras", ["a", "b", "c"])
    assert taken.left == {"head/dense": "2 labels there, 3 here, and which is not known"}
    (tmp_path / "labels.txt").write_text("a\nb\n")
    assert init_from(fresh(3), tmp_path / "network.keras", ["a", "b", "c"]).labels == ["a", "b"]


def test_a_bundle_is_turned_back_into_float32():
    bundle = ModelBundle.open("actions-synthetic")
    labels = bundle.manifest.labels
    shape, window = bundle.manifest.input, bundle.manifest.temporal.window
    model = build(NetworkSettings(window=window, size=shape.height), len(labels))
    assert not init_from(model, bundle.path, labels[::-1]).left
    answers = []
    noise = np.random.default_rng(0)
    with Classifier(bundle.path, hop=1) as classifier:
        ring = bundle.make_ring()
        for number in range(window + 20):
            pixels = noise.integers(0, 255 - 10 * (number % 9), (60, 60, 3), np.uint8)
            ring.push(pixels)
            if (answer := classifier.push(pixels)) is not None:
                affine = bundle.manifest.quantization.input
                real = np.float32(affine.scale) * (np.array(ring.window(), np.float32) - affine.zero_point)
                answers.append((list(answer.scores.values())[::-1], model.predict(real[None], verbose=0)[0]))
    int8, real = np.array(answers).swapaxes(0, 1)
    assert len(int8) == 21
    # Rounding moves the scores of noise, which lie between two labels. Weights or labels in another order move all.
    np.testing.assert_allclose(real, int8, atol=0.1)


def test_a_bundle_of_another_network_is_refused():
    model = fresh(2, model="attention_lrcn", options={})
    with pytest.raises(ConfigError, match=r"--init-from .*actions-synthetic.edgehar: its head does not fit"):
        init_from(model, ModelBundle.open("actions-synthetic").path, ["boxing", "walking"])


def test_layers_of_other_shapes_are_left_and_named(run):
    taken = init_from(fresh(2, options={"units": 16}), run, OLD_LABELS)
    assert taken.layers == [f"encoder/conv2d{n}" for n in ("", "_1", "_2", "_3")]
    assert set(taken.left) == {"head/lstm", "head/dense"}
    assert "64x32 8x32 32 there, 64x64 16x64 64 here" in str(taken)


@pytest.mark.parametrize("name", ["missing", "folder", "text.keras", "clip.mp4"])
def test_what_holds_no_network_is_named(name, tmp_path):
    (tmp_path / "folder").mkdir()
    for file in ("text.keras", "clip.mp4"):
        (tmp_path / file).write_text("no network")
    with pytest.raises(ConfigError, match=rf"^--init-from .*{name}"):
        init_from(fresh(2), tmp_path / name, OLD_LABELS)


def test_names_are_the_same_whatever_was_built_before():
    first, second = named_layers(fresh(2)), named_layers(fresh(2))
    assert list(first) == list(second)
    assert list(first)[:2] == ["encoder/conv2d", "encoder/conv2d_1"]
    assert list(first)[-2:] == ["head/lstm", "head/dense"]


@pytest.mark.parametrize(
    ("patterns", "count"), [(["encoder"], 4), (["conv2d", "conv2d_1"], 2), (["encoder/conv*", "lstm"], 5)]
)
def test_frozen_layers_do_not_learn(patterns, count):
    model = fresh(2)
    frozen = freeze(model, patterns)
    assert len(frozen) == count
    assert (not model.get_layer("encoder").trainable_variables) == (count >= 4)
    model.compile("sgd", "categorical_crossentropy")
    before = {name: layer.get_weights() for name, layer in named_layers(model).items()}
    model.train_on_batch(windows(), np.eye(2, dtype=np.float32)[[0, 1, 0]])
    for name, layer in named_layers(model).items():
        same = all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), before[name], strict=True))
        assert same == (name in frozen), name


def test_what_cannot_be_frozen_is_refused():
    with pytest.raises(ConfigError, match="--freeze stem: no such layer; there are encoder, head, encoder/conv2d, "):
        freeze(fresh(2), ["encoder", "stem"])
    with pytest.raises(ConfigError, match="no layer is left to learn"):
        freeze(fresh(2), ["encoder", "head"])
