"""The network of one step says what the head of a window says after as many steps, and goes on from there."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the train extra")
keras = pytest.importorskip("keras", reason="needs the train extra")

from edgehar.errors import ConversionError  # noqa: E402
from edgehar.model.interpreter import StepModel, TfliteModel  # noqa: E402
from edgehar.model.manifest import Affine  # noqa: E402
from edgehar_training.quantize import step as steps  # noqa: E402
from edgehar_training.quantize.export import Exporter, observe  # noqa: E402
from edgehar_training.quantize.file_checks import check_int8, operators  # noqa: E402
from edgehar_training.quantize.ranges import FakeQuantRanges, RangeObserver  # noqa: E402
from edgehar_training.quantize.worker import to_int8  # noqa: E402

pytestmark = pytest.mark.training

WINDOW, SIZE, FEATURES, UNITS, CLASSES = 10, 8, 12, 16, 4
RGB = Affine(scale=1 / 255, zero_point=-128)
LAYERS = {
    "lstm": lambda: [keras.layers.LSTM(UNITS)],
    "two lstms": lambda: [keras.layers.LSTM(UNITS, return_sequences=True), keras.layers.LSTM(UNITS)],
    "gru": lambda: [keras.layers.GRU(UNITS)],
    "simple": lambda: [keras.layers.SimpleRNN(UNITS)],
    "simple relu": lambda: [keras.layers.SimpleRNN(UNITS, activation="relu")],
}


def make_head(*layers):
    values = inputs = keras.Input((WINDOW, FEATURES))
    for layer in (*layers, keras.layers.Dense(CLASSES, activation="softmax")):
        values = layer(values)
    return keras.Model(inputs, values, name="head")


def decide(head, sequences):
    """Let scores differ from one sequence to the next, as those of a trained network do."""
    dense = head.layers[-1]
    before = keras.Model(head.input, dense.input)(sequences).numpy()
    kernel, _ = dense.get_weights()
    kernel = 6 * kernel / np.abs(before @ kernel).std()
    dense.set_weights([kernel, -(before @ kernel).mean(axis=0)])


def make_networks(kind):
    keras.utils.set_random_seed(7)
    frames = keras.Input((SIZE, SIZE, 3))
    codes = keras.layers.Dense(FEATURES)(keras.layers.Flatten()(frames))
    encoder = keras.Model(frames, keras.layers.ReLU()(codes), name="encoder")
    windows = np.random.default_rng(1).integers(-128, 128, (64, WINDOW, SIZE, SIZE, 3)).astype(np.int8)
    real = (windows.reshape(-1, SIZE, SIZE, 3).astype(np.float32) + 128) / 255
    head = make_head(*LAYERS[kind]())
    decide(head, encoder(real).numpy().reshape(64, WINDOW, FEATURES))
    return encoder, head, windows


@pytest.fixture(scope="module", params=LAYERS)
def converted(request):
    encoder, head, windows = make_networks(request.param)
    observer = RangeObserver()
    exporter = Exporter(encoder, head, observer)
    features = observe(exporter, windows, RGB)
    fixed = exporter.fixed(RGB)
    ranges = FakeQuantRanges(observer.limits, fixed)
    exporter = exporter.with_quantizer(ranges)
    window_head = TfliteModel(to_int8(exporter.classify, (1, WINDOW, FEATURES)), name="head.tflite")
    affine = window_head.input_quantization
    codes = np.clip(np.round(features / affine.scale) + affine.zero_point, -128, 127).astype(np.int8)
    return head, window_head, steps.convert_step(head, ranges, fixed), codes, features


def test_it_is_int8_and_says_what_its_states_are(converted):
    head, window_head, content, _, _ = converted
    check_int8(content, "step.tflite")
    assert not any(name.startswith("custom:") or name == "WHILE" for name in operators(content))
    names = steps.state_names(head)
    stateful = steps.describe(content, names)
    assert [state.name for state in stateful.states] == names
    assert all(state.size == UNITS for state in stateful.states)
    model = StepModel(content, name="step.tflite")
    assert model.inputs[0] == ((1, FEATURES), window_head.input_quantization)
    assert model.outputs[0] == ((1, CLASSES), window_head.output_quantization)
    assert model.inputs[1:] == model.outputs[1:]


def test_after_a_window_it_agrees_with_the_head(converted):
    head, window_head, content, codes, features = converted
    step = StepModel(content, name="step.tflite")
    at_once = np.stack([window_head.run(window).reshape(-1) for window in codes])
    one_by_one = np.stack([steps.run_steps(step, window)[-1] for window in codes])
    assert len(set(at_once.argmax(axis=1))) > 1
    agreement = np.mean(at_once.argmax(axis=1) == one_by_one.argmax(axis=1))
    exact = head(features).numpy()
    lost = [np.abs((said.astype(float) + 128) / 256 - exact).mean() for said in (at_once, one_by_one)]
    print(f"agreement {agreement:.3f}, mean distance from float: head {lost[0]:.4f}, steps {lost[1]:.4f}")
    assert agreement >= 0.9
    # Ranges that cover all steps are wider, so a little more is lost.
    assert lost[1] < 1.5 * lost[0]


def test_a_long_history_stays_with_float(converted):
    """Over ten windows in a row: what int8 loses does not add up."""
    head, _, content, codes, features = converted
    step = StepModel(content, name="step.tflite")
    sequence = codes[:10].reshape(-1, FEATURES)
    long = keras.Input((len(sequence), FEATURES))
    values = long
    for layer in head.layers[1:]:
        copy = type(layer).from_config(layer.get_config())
        values = copy(values)
        copy.set_weights(layer.get_weights())
    # The same function of each prefix that ends a window.
    network = keras.Model(long, values)
    exact = network(features[:10].reshape(1, -1, FEATURES)).numpy()[0]
    said = (steps.run_steps(step, sequence)[-1].astype(float) + 128) / 256
    assert np.abs(said - exact).max() < 0.25


def test_states_of_another_order_would_be_noticed(converted):
    """Hidden and cell have one shape: that they are not swapped shows in what they do."""
    head, _, content, codes, _ = converted
    if len(steps.state_names(head)) < 2:
        pytest.skip("has one state")
    step = StepModel(content, name="step.tflite")
    _, hidden, *_ = step.run(codes[0, 0], *(np.full(s, a.zero_point, np.int8) for s, a in step.inputs[1:]))
    affine = step.inputs[1][1]
    assert np.abs((hidden.astype(int) - affine.zero_point) * affine.scale).max() <= 1.01


def test_heads_that_have_none():
    average = keras.layers.GlobalAveragePooling1D
    assert not steps.has_step(make_head(average()))
    assert not steps.has_step(make_head(keras.layers.LSTM(3, return_sequences=True), average()))
    assert steps.has_step(make_head(keras.layers.LSTM(3), keras.layers.Dropout(0.5)))
    with pytest.raises(ConversionError, match="has no network of one step"):
        steps.StepNetwork(make_head(average()), FakeQuantRanges({}), {})


def test_ranges_of_steps_are_joined():
    joined = steps.union_of_steps(
        {"seam": (0, 4), "h/l/input": (-1, 1), "h/l/0/added": (-3, 1), "h/l/1/added": (-1, 2), "h/l/1/cell": (0, 9)}
    )
    assert joined == {"seam": (0, 4), "h/l/input": (-1, 1), "h/l/step/added": (-3, 2), "h/l/step/cell": (-3, 9)}
