"""The network of the papers: its size, its folding over time, and its compiled first block."""

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="needs the train extra")

from edgehar.errors import ConfigError  # noqa: E402
from edgehar_training.models import build  # noqa: E402
from edgehar_training.models.stem import with_compiled_stem  # noqa: E402
from edgehar_training.settings import NetworkSettings  # noqa: E402

pytestmark = pytest.mark.training


def windows(count, window, size):
    return np.random.default_rng(1).random((count, window, size, size, 3), np.float32)


def test_it_has_the_papers_number_of_parameters():
    model = build(NetworkSettings(window=20, size=64), 4)
    assert model.count_params() == 73_060
    assert model.input_shape == (None, 20, 64, 64, 3)
    assert model.output_shape == (None, 4)
    # At 60 and 80 pixels the pools end at one pixel too, so the features and the parameters are as many.
    for others in ({"size": 60}, {"size": 80}, {"size": 80, "options": {"stride": 2}}):
        assert build(NetworkSettings(window=20, **others), 4).count_params() == 73_060
    assert model.get_layer("encoder").output_shape == (None, 64)
    assert model.get_layer("head").input_shape == (None, 20, 64)


def test_folding_time_gives_what_time_distributed_gives():
    model, frames = build(NetworkSettings(window=5, size=60), 3), windows(2, 5, 60)
    features = keras.layers.TimeDistributed(model.get_layer("encoder"))(frames)
    np.testing.assert_allclose(model(frames), model.get_layer("head")(features), atol=1e-6)


def test_scores_survive_saving(tmp_path):
    model, frames = build(NetworkSettings(window=3, size=64), 2), windows(2, 3, 64)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(frames), model(frames))


def test_other_sizes_and_names_are_refused():
    with pytest.raises(ConfigError, match="60, 64 or 80 pixels, not 72"):
        build(NetworkSettings(window=20, size=72), 2)
    with pytest.raises(ConfigError, match="choose one of lrcn"):
        build(NetworkSettings(model="resnet"), 2)


def needs_stem():
    stem = pytest.importorskip("edgehar_training._stem", reason="the compiled block is not built")
    if not stem.supported():
        pytest.skip("this processor has no AVX2")
    return stem


@pytest.mark.parametrize("size", [60, 64])
def test_the_compiled_first_block_gives_the_same_scores_and_gradients(size):
    needs_stem()
    tf = pytest.importorskip("tensorflow")
    model, frames, truth = build(NetworkSettings(window=4, size=size), 2), windows(6, 4, size), np.eye(2)[[0, 1] * 3]
    fast = with_compiled_stem(model)
    assert fast is not model
    assert {id(v) for v in fast.trainable_variables} == {id(v) for v in model.trainable_variables}
    np.testing.assert_allclose(fast(frames), model(frames), atol=1e-5)
    gradients = []
    for network in (model, fast):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((network(frames) - truth) ** 2)
        gradients.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    for plain, compiled in zip(*gradients, strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-3, atol=1e-6)


def test_the_compiled_block_checks_what_it_is_given():
    stem = needs_stem()
    kernel, bias = np.zeros((3, 3, 3, 16), np.float32), np.zeros(16, np.float32)
    with pytest.raises(ValueError, match="multiples of 4"):
        stem.forward(np.zeros((1, 6, 8, 3), np.float32), kernel, bias)
    with pytest.raises(ValueError, match="kernel"):
        stem.forward(np.zeros((1, 8, 8, 3), np.float32), kernel[:2].copy(), bias)
    out, winner = stem.forward(np.zeros((2, 8, 12, 3), np.float32), kernel, bias)
    assert out.shape == winner.shape == (2, 2, 3, 16)
    assert (winner == -1).all()
    with pytest.raises(ValueError, match="gradient and winner"):
        stem.backward(np.zeros((1, 8, 12, 3), np.float32), out, winner)
