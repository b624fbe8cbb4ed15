"""Every network: its size, one training step, saving, and what it refuses."""

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs the train extra")

from edgehar.errors import ConfigError  # noqa: E402
from edgehar_training import models  # noqa: E402
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
}


def network(name, classes=3, **settings):
    return models.build(NetworkSettings(model=name, **{"window": 3, **SMALL[name], **settings}), classes)


def windows(model, count=2):
    return np.random.default_rng(1).random((count, *model.input_shape[1:]), np.float32)


@pytest.mark.parametrize(("name", "parameters"), [("lrcn", 73_060), ("convlstm", 44_524), ("attention_lrcn", 95_908)])
def test_the_papers_networks_have_their_number_of_parameters(name, parameters):
    assert network(name, 4, window=20, size=64, scaling="unit").count_params() == parameters


def test_every_network_is_tried_here():
    assert set(SMALL) == set(models.NAMES)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_learns_and_survives_saving(name, tmp_path):
    model = network(name)
    encoder, head = model.get_layer("encoder"), model.get_layer("head")
    assert encoder.output_shape == (None, head.input_shape[2])
    assert head.input_shape[1] == 3
    assert head.output_shape == model.output_shape == (None, 3)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile("adam", "categorical_crossentropy")
    model.train_on_batch(windows(model, 4), np.eye(3)[[0, 1, 2, 0]])
    changed = [not np.array_equal(old, new) for old, new in zip(before, model.trainable_weights, strict=True)]
    assert sum(changed) / len(changed) > 0.9
    model.save(tmp_path / "model.keras")
    frames = windows(model)
    scores = model.predict_on_batch(frames)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    again = keras.saving.load_model(tmp_path / "model.keras").predict_on_batch(frames)
    np.testing.assert_array_equal(again, scores)
    # Evaluation encodes frame by frame, and must see the same.
    codes = encoder.predict_on_batch(frames.reshape(-1, *frames.shape[2:])).reshape(len(frames), 3, -1)
    np.testing.assert_allclose(head.predict_on_batch(codes), scores, atol=1e-5)


# Parameters with 4 classes, and MACs of a frame in thousands, at 64 and 128 pixels: the table in docs/networks.md.
COMPACT = {"s": (70_036, 1_507, 6_028), "m": (122_276, 2_473, 9_891), "l": (201_156, 4_560, 18_240)}


@pytest.mark.parametrize("variant", COMPACT)
def test_compact_keeps_its_budget(variant):
    parameters, *thousands = COMPACT[variant]
    built = [network("compact", 4, size=size, options={"variant": variant}) for size in (64, 128)]
    assert [model.count_params() for model in built] == [parameters] * 2
    assert [round(macs(model.get_layer("encoder")) / 1000) for model in built] == thousands
    assert parameters <= 500_000
    assert max(thousands) <= 20_000


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
        ({"model": "attention_lrcn", "size": 63}, "attention_lrcn takes frames of 60 or 64 pixels"),
        ({"model": "compact", "size": 60}, "compact takes frames of 48, 64, 80, 96, 112, 128 pixels, not 60"),
        ({"model": "compact", "size": 64, "options": {"variant": "xl"}}, "variant.*its options are variant"),
        ({"model": "compact", "size": 64, "options": {"unit": "8"}}, "did you mean units"),
        ({"scaling": "imagenet"}, "scaling imagenet is of colours, and the input is motion"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        models.check(NetworkSettings(**settings))
