"""Every network: its size, one training step, saving, and what it refuses."""

import importlib
import re

import msgspec
import numpy as np
import pytest
from support.paths import ROOT

keras = pytest.importorskip("keras", reason="needs the train extra")

from edgehar.errors import ConfigError  # noqa: E402
from edgehar_training import models  # noqa: E402
from edgehar_training.models import backbones, compact  # noqa: E402
from edgehar_training.models.stem import with_compiled_stem  # noqa: E402
from edgehar_training.models.temporal import attention_weights  # noqa: E402
from edgehar_training.quantize.cost import macs  # noqa: E402
from edgehar_training.settings import NetworkSettings  # noqa: E402

pytestmark = pytest.mark.training

# As small as each of them goes.
SMALL = {
    "lrcn": {"size": 60},
    "convlstm": {"size": 31, "input": "rgb", "scaling": "imagenet"},
    "attention_lrcn": {"size": 60, "input": "rgb", "scaling": "imagenet"},
    "compact": {"size": 48, "options": {"variant": "s", "attention": True}},
    "cnn_rnn": {
        "size": 32,
        "input": "rgb",
        "options": {"weights": "none", "alpha": 0.35, "units": 8, "bidirectional": True, "dense": 8},
    },
    "two_stream": {"size": 60, "input": "rgb+flow"},
    "mobile": {"size": 32, "options": {"blocks": 3, "units": 8}},
}


def network(name, classes=3, **settings):
    return models.build(NetworkSettings(model=name, **{"window": 3, **SMALL[name], **settings}), classes)


def windows(model, count=2):
    return np.random.default_rng(1).random((count, *model.input_shape[1:]), np.float32)


def called(model, inputs):
    """Its output, without compiling it."""
    return keras.ops.convert_to_numpy(model(inputs, training=False))


PAPERS = [("lrcn", 73_060), ("convlstm", 44_524), ("attention_lrcn", 95_908), ("two_stream", 170_548)]


@pytest.mark.parametrize(("name", "parameters"), PAPERS)
def test_the_papers_networks_have_their_number_of_parameters(name, parameters):
    assert network(name, 4, window=20, size=64, scaling="unit").count_params() == parameters


def test_every_network_is_tried_here():
    assert set(SMALL) == set(models.NAMES)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_learns_and_survives_saving(name, tmp_path):
    # A layer that starts with only dead units learns nothing.
    keras.utils.set_random_seed(3)
    model = network(name)
    encoder, head = model.get_layer("encoder"), model.get_layer("head")
    assert encoder.output_shape == (None, head.input_shape[2])
    assert head.input_shape[1] == 3
    assert head.output_shape == model.output_shape == (None, 3)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile("adam", "categorical_crossentropy")
    model.train_on_batch(windows(model, 4), np.eye(3)[[0, 1, 2, 0]])
    changed = [not np.array_equal(old, new) for old, new in zip(before, model.trainable_weights, strict=True)]
    assert sum(changed) / len(changed) >= 0.8
    model.save(tmp_path / "model.keras")
    frames = windows(model)
    scores = called(model, frames)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(called(keras.saving.load_model(tmp_path / "model.keras"), frames), scores)
    # Evaluation encodes frame by frame, and must see the same.
    codes = called(encoder, frames.reshape(-1, *frames.shape[2:])).reshape(len(frames), 3, -1)
    np.testing.assert_allclose(called(head, codes), scores, atol=1e-5)


PAGE = (ROOT / "docs" / "networks.md").read_text()


@pytest.mark.parametrize("variant", ["s", "m", "l"])
def test_compact_keeps_its_budget_and_is_as_the_page_says(variant):
    frame_macs = []
    for size in (48, 64, 96, 128):
        model = network("compact", 4, size=size, options={"variant": variant})
        encoder = model.get_layer("encoder")
        frame_macs.append(macs(encoder))
    assert model.count_params() <= 500_000
    assert max(frame_macs) <= 20_000_000
    told = " | ".join(f"{count / 1e6:.2f} M" for count in frame_macs)
    width = f"{compact.WIDTHS[variant]:g}"
    assert f"| `{variant}` | {width} | {model.count_params():,} | {encoder.output_shape[1]} | {told} |" in PAGE


@pytest.mark.parametrize("name", models.NAMES)
def test_the_page_tells_what_a_network_costs(name):
    model = network(name, 4, window=20, size=64, options={"weights": "none"} if name == "cnn_rnn" else {})
    of_frame, of_window = (f"{macs(model.get_layer(part)) / 1e6:.2f} M" for part in ("encoder", "head"))
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |") and " M |" in line)
    assert f"| {model.count_params():,} | {of_frame.replace('0.00 M', '0')} | {of_window} |" in row


@pytest.mark.parametrize("name", models.NAMES)
def test_the_page_tells_every_option(name):
    (section,) = re.findall(rf"^## `{name}`$(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    defaults = msgspec.structs.asdict(importlib.import_module(f"edgehar_training.models.{name}").OPTIONS())
    told = dict(
        re.findall(r"^\| `(\w+)` \| (\S+) \|", section.partition("| option |")[2].split("\n\n")[0], re.MULTILINE)
    )
    assert told == {
        key: f"`{value}`" if isinstance(value, str) else str(value).lower() for key, value in defaults.items()
    }


def test_macs_count_what_a_layer_does():
    frame = keras.Input((8, 6, 3))
    x = keras.layers.DepthwiseConv2D(3, 2, "same", use_bias=False)(frame)
    x = keras.layers.BatchNormalization()(x)
    assert macs(keras.Model(frame, x)) == 4 * 3 * 9 * 3
    steps = keras.Input((5, 8, 6, 2))
    assert macs(keras.Model(steps, keras.layers.ConvLSTM2D(4, 3, return_sequences=True)(steps))) == (
        5 * 6 * 4 * 9 * (2 + 4) * 4 * 4
    )


@pytest.mark.parametrize("kind", ["additive", "dot"])
def test_attention_is_a_share_of_each_frame(kind):
    model = network("attention_lrcn", window=5, options={"attention": kind})
    frames = windows(model, 2)
    weights = attention_weights(model, frames)
    assert weights.shape == (2, 5)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert not np.allclose(weights[0], weights[1], atol=1e-6)
    with pytest.raises(ConfigError, match="network lrcn has no attention"):
        attention_weights(network("lrcn"), frames)


def test_colours_are_scaled_in_the_network_and_other_channels_are_not():
    model = network("convlstm", size=31)
    colour = np.full((1, 31, 31, 3), [0.485, 0.456 + 0.224, 0.406], np.float32)
    code = model.get_layer("encoder").predict_on_batch(colour).reshape(31, 31, 3)
    np.testing.assert_allclose(code[7, 9], [0, 1, 0], atol=1e-5)
    five = network("convlstm", input="rgb+flow")
    code = five.get_layer("encoder").predict_on_batch(np.ones((1, 31, 31, 5), np.float32)).reshape(31, 31, 5)
    np.testing.assert_allclose(code[0, 0, 3:], 1)


def test_the_compiled_block_is_used_where_it_fits_only():
    pytest.importorskip("edgehar_training._stem", reason="the compiled block is not built")
    attention = network("attention_lrcn", scaling="unit")
    fast = with_compiled_stem(attention)
    if fast is attention:
        pytest.skip("this machine cannot use the compiled block")
    frames = windows(attention)
    np.testing.assert_allclose(fast.predict_on_batch(frames), attention.predict_on_batch(frames), atol=1e-5)
    for name, settings in [("convlstm", {}), ("compact", {}), ("lrcn", {"input": "rgb+flow"}), ("attention_lrcn", {})]:
        model = network(name, **settings)
        assert with_compiled_stem(model) is model


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "convlstm", "size": 30}, "convlstm takes frames of 31 pixels or more, not 30"),
        ({"model": "attention_lrcn", "size": 63}, "attention_lrcn takes frames of 60, 64 or 80 pixels"),
        ({"model": "compact", "size": 60}, "compact takes frames of 48, 64, 80, 96, 112, 128 pixels, not 60"),
        ({"model": "compact", "size": 64, "options": {"variant": "xl"}}, "variant.*its options are variant"),
        ({"model": "compact", "size": 64, "options": {"unit": "8"}}, "did you mean units"),
        ({"model": "two_stream", "input": "rgb"}, "two_stream takes colors and flow, not rgb"),
        ({"model": "cnn_rnn", "input": "motion"}, "takes colors, not motion; use --input rgb"),
        ({"model": "cnn_rnn", "input": "rgb", "options": {"backbone": "inception_v3"}}, "75 pixels or more, not 60"),
        ({"model": "cnn_rnn", "input": "rgb", "options": {"alpha": 0.9}}, "ImageNet weights for the alphas 0.35, 0.5"),
        (
            {"model": "cnn_rnn", "input": "rgb", "options": {"backbone": "vgg16", "weights": "nowhere.h5"}},
            "no weights file nowhere.h5; download https.*vgg16_weights.*_notop.h5, and name it by --model-option",
        ),
        ({"scaling": "imagenet"}, "scaling imagenet is for colors, but the input is motion"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        models.check(NetworkSettings(**settings))


def test_each_backbone_comes_from_where_keras_has_it(monkeypatch):
    sources = keras.src.applications
    for name, home in [("inception_v3", sources.inception_v3), ("vgg16", sources.vgg16)]:
        assert backbones.weights_url(name, 96, 1.0) == home.WEIGHTS_PATH_NO_TOP
    for name, home in [("resnet50", sources.resnet), ("efficientnet_b0", sources.efficientnet)]:
        assert backbones.weights_url(name, 96, 1.0).startswith(home.BASE_WEIGHTS_PATH)
    asked = []
    monkeypatch.setattr(keras.src.utils.file_utils, "get_file", lambda _, url, **__: asked.append(url) or url)
    for name in ("mobilenet_v2", "mobilenet_v3_small"):
        function = getattr(keras.applications, backbones.BACKBONES[name].function)
        with pytest.raises(Exception, match="https"):
            function(include_top=False, input_shape=(224, 224, 3), alpha=0.75)
        assert backbones.weights_url(name, 224, 0.75) == asked[-1]


def test_without_a_network_the_error_tells_the_file_to_fetch(monkeypatch, tmp_path):
    def fetch(*_, **__):
        raise OSError("URL fetch failure on it: None -- timeout")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", fetch)
    settings = NetworkSettings(model="cnn_rnn", size=96, input="rgb")
    with pytest.raises(ConfigError) as refused:
        models.prepare(settings)
    for part in ("_1.0_96_no_top.h5 on another one", "--model-option weights=FILE", f"{tmp_path}/models", "(timeout)"):
        assert part in str(refused.value)


# One for each way that Keras' networks want their pixels.
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50", "efficientnet_b0"])
def test_a_file_of_weights_gives_what_keras_gives(name, tmp_path, monkeypatch):
    function = getattr(keras.applications, backbones.BACKBONES[name].function)
    path, shape = tmp_path / "imagenet.weights.h5", {"include_top": False, "input_shape": (32, 32, 3), "pooling": "avg"}
    original = function(weights=None, **shape)
    if name == "efficientnet_b0":
        # Its deviations count twice, in a layer that Keras adds for its own weights only.
        normalisation = next(layer for layer in original.layers if isinstance(layer, keras.layers.Normalization))
        mean, variance, *count = normalisation.get_weights()
        normalisation.set_weights([mean + 0.4, variance * np.float32([0.1, 0.2, 0.3]), *count])
    original.save_weights(path)
    if name == "efficientnet_b0":
        monkeypatch.setattr(keras.src.utils.file_utils, "get_file", lambda *_, **__: path)
        original = function(weights="imagenet", **shape)
    levels = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    preprocess = getattr(keras.applications, name.removesuffix("_b0")).preprocess_input
    expected = original(preprocess(levels.copy()), training=False)
    options = {"backbone": name, "weights": str(path), "units": 4}
    encoder = network("cnn_rnn", options=options).get_layer("encoder")
    assert not encoder.trainable_variables
    np.testing.assert_allclose(encoder(levels / 255, training=False), expected, rtol=2e-3, atol=1e-5)


def test_a_file_of_another_network_is_refused(tmp_path):
    path = tmp_path / "other.keras"
    network("lrcn").save(path)
    options = {"weights": str(path)}
    with pytest.raises(ConfigError, match=r"other.keras: does not hold the weights of mobilenet_v2"):
        network("cnn_rnn", options=options)
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(ConfigError, match=r"text.h5: does not hold the weights of mobilenet_v2"):
        network("cnn_rnn", options={"weights": str(tmp_path / "text.h5")})


@pytest.mark.parametrize("rnn", ["lstm", "gru", "simple", "none"])
def test_heads(rnn):
    options = {"weights": "none", "alpha": 0.35, "rnn": rnn, "units": 8, "layers": 2, "dense": 16, "dense_layers": 2}
    head = network("cnn_rnn", options=options).get_layer("head")
    kinds = [type(layer).__name__ for layer in head.layers]
    kind = {"lstm": "LSTM", "gru": "GRU", "simple": "SimpleRNN"}.get(rnn)
    assert kinds.count(kind) == (0 if kind is None else 2)
    assert [layer.units for layer in head.layers if isinstance(layer, keras.layers.Dense)] == [16, 16, 3]


def test_two_streams_do_not_see_each_other():
    model = network("two_stream", options={"fusion": "scores"})
    frames = windows(model, 1)
    encoder = model.get_layer("encoder")
    still = frames[0].copy()
    still[..., 3:] = 0
    before, after = encoder.predict_on_batch(frames[0]), encoder.predict_on_batch(still)
    np.testing.assert_array_equal(before[:, :64], after[:, :64])
    assert not np.allclose(before[:, 64:], after[:, 64:])
    np.testing.assert_allclose(model.predict_on_batch(frames).sum(axis=1), 1, atol=1e-5)
