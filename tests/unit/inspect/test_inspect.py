"""Networks taken apart: operators, costs, memory, placement, and what an Edge TPU takes, on files made by hand."""

import contextlib

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tfl
from hypothesis import given, settings
from hypothesis import strategies as st
from support.altered import compiled
from support.tiny_bundle import (
    CODES,
    FEATURES,
    LOGITS,
    PIXELS,
    SCORES,
    Operator,
    Tensor,
    _classify,
    _Graph,
    write_tiny_bundle,
)

from edgehar import BundleError, ModelBundle, RuntimeUnavailableError
from edgehar.inspect import edgetpu
from edgehar.inspect.floats import FloatCopyError, float_copy
from edgehar.inspect.memory import arena_bytes, live_bytes
from edgehar.inspect.placement import place
from edgehar.inspect.report import parts, see
from edgehar.inspect.values import Watched, watch
from edgehar.model import tflite as graphs
from edgehar.model.runtime import load_runtime
from edgehar.model.tflite import read_graph

SHIPPED = ("fight", "interactions", "actions-synthetic")
WINDOW = 4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return ModelBundle.open(write_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny.edgehar", window=WINDOW))


def head_graph(window=WINDOW):
    graph = _Graph()
    codes = graph.tensor("codes", (1, window, FEATURES), CODES)
    return graph.finish(codes, _classify(graph, codes, window))


def test_a_file_is_read_as_it_was_made():
    content = head_graph()
    graph = read_graph(content, "head")
    assert [(o.name, o.version) for o in graph.operators] == [("RESHAPE", 1), ("FULLY_CONNECTED", 4), ("SOFTMAX", 2)]
    dense = graph.operators[1]
    weights, bias = (graph.tensors[index] for index in dense.inputs[1:])
    assert weights.shape == (2, WINDOW * FEATURES)
    assert (weights.data == np.array([[127], [-127]])).all()
    assert weights.real(weights.data)[0, 0] == pytest.approx(16 / (WINDOW * FEATURES))
    assert bias.real(bias.data) == pytest.approx([-8, 8], abs=0.01)
    assert graph.macs == 2 * WINDOW * FEATURES
    assert graph.parameters == 2 * WINDOW * FEATURES + 2
    assert graph.constant_bytes == graph.parameters - 2 + 2 * 4 + 2 * 4
    scores = graph.tensors[graph.outputs[0]]
    assert (scores.scales.tolist(), scores.zero_points.tolist()) == ([SCORES[0]], [SCORES[1]])


def only_with_litert():
    """Other runtimes do not say which operators XNNPACK takes."""
    if load_runtime().package != "ai-edge-litert":
        pytest.skip("only ai-edge-litert shows where operators run")


def test_a_shipped_lrcn_has_the_parameters_of_the_paper():
    found = {part.name: part for part in parts(ModelBundle.open("actions-synthetic"))}
    encoder, head = found["encoder.tflite"], found["head.tflite"]
    # 448 + 4,640 + 18,496 + 36,928 of the convolutions.
    assert encoder.graph.parameters == 60_512
    assert encoder.graph.macs == 3_200_256
    assert head.graph.macs == pytest.approx(20 * 4 * 32 * (64 + 32), rel=0.06)
    only_with_litert()
    assert [head.placement.of(o.index) for o in head.graph.operators if o.name == "SOFTMAX"] == ["CPU"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_encoders_run_whole_on_xnnpack(name):
    only_with_litert()
    (encoder,) = [part for part in parts(ModelBundle.open(name)) if part.name == "encoder.tflite"]
    assert len(encoder.placement.delegated) == len(encoder.graph.operators)


@pytest.mark.parametrize("name", SHIPPED)
def test_channels_are_dequantized_along_their_axis(name):
    encoder = read_graph(ModelBundle.open(name).read("encoder.tflite"), "encoder")
    convolution = next(operator for operator in encoder.operators if operator.name == "CONV_2D")
    weights = encoder.tensors[convolution.inputs[1]]
    assert len(weights.scales) == weights.shape[0]
    real = weights.real(weights.data)
    for channel in range(weights.shape[0]):
        expected = weights.data[channel].astype(np.float64) * weights.scales[channel]
        assert np.allclose(real[channel], expected)


@pytest.mark.parametrize("content", [b"", b"no model", b"\0" * 64, b"\0\0\0\0TFL3" + b"\xff" * 64])
def test_what_is_no_model_is_refused(content):
    with pytest.raises(BundleError, match=r"other: is (not a TFLite file|damaged)"):
        read_graph(content, "other")


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_model_is_an_error_of_ours_or_still_a_model(data):
    content = bytearray(head_graph())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BundleError):
        read_graph(bytes(content), "damaged")


def test_without_a_schema_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(graphs, "_SCHEMAS", ("no_such_module",))
    with pytest.raises(RuntimeUnavailableError, match="pip install ai-edge-litert"):
        read_graph(head_graph(), "head")


def chain(*sizes):
    """A network of reshapes that gives tensors of these sizes, one after the other."""
    graph = _Graph()
    source = value = graph.tensor("in", (1, sizes[0]), CODES)
    for size in sizes[1:]:
        weights = np.zeros((size, graph.graph.tensors[value].shape[1]))
        value = graph.dense(value, weights, 1.0, np.zeros(size), CODES[0], (1, size), CODES)
    return graph.finish(source, value)


@pytest.mark.parametrize(
    ("sizes", "arena"), [((64, 64), 128), ((64, 640, 64, 640), 64 + 640 + 64), ((64, 100, 64, 64), 64 + 128 + 64)]
)
def test_memory_of_a_chain(sizes, arena):
    graph = read_graph(chain(*sizes), "chain")
    assert live_bytes(graph) <= arena_bytes(graph) == arena


@settings(max_examples=30)
@given(st.lists(st.integers(1, 400), min_size=2, max_size=9))
def test_memory_is_between_what_is_needed_at_once_and_all_of_it(sizes):
    graph = read_graph(chain(*sizes), "chain")
    rounded = [-(-size // 64) * 64 for size in sizes]
    assert live_bytes(graph) <= arena_bytes(graph) <= sum(rounded)
    # Whatever is made of the input stands beside it.
    assert live_bytes(graph) >= sizes[0] + max(sizes[1:])


def test_float_copy_computes_what_int8_means(tiny):
    content = tiny.read("head.tflite")
    real, int8 = Watched(float_copy(content, "head"), "float"), Watched(content, "int8")
    graph = read_graph(content, "head")
    codes = np.random.default_rng(0).integers(-128, 128, (20, 1, WINDOW, FEATURES)).astype(np.int8)
    exact = graph.tensors[graph.inputs[0]].real(codes)
    seen = watch(graph, int8, codes, (real, exact))
    assert [values.operator.name for values in seen] == ["RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    assert seen[0].error == pytest.approx(0, abs=1e-6)
    assert 0 < seen[1].error <= LOGITS[0]
    means = exact.mean(axis=(1, 2, 3))
    expected = 1 / (1 + np.exp(-32 * (means - 0.5)))
    real.run(exact[3])
    assert real.read(graph.outputs[0])[0, 0] == pytest.approx(expected[3], abs=0.01)
    assert seen[0].histogram.counts.sum() == codes.size
    assert seen[0].histogram.low == pytest.approx(0)
    assert seen[0].histogram.high == pytest.approx(1)


def test_clipping_is_seen():
    graph = _Graph()
    frame = graph.tensor("frame", (1, 4), PIXELS)
    narrow = (0.1 / 255, -128)
    out = graph.dense(frame, np.eye(4) * 127, 1 / 127, np.zeros(4), PIXELS[0], (1, 4), narrow)
    content = graph.finish(frame, out)
    levels = np.array([[[-128, -120, 0, 127]]], np.int8)
    net = read_graph(content, "clips")
    real = (Watched(float_copy(content, "clips"), "float"), net.tensors[net.inputs[0]].real(levels))
    (values,) = watch(net, Watched(content, "clips"), levels, real)
    assert (values.low_share, values.high_share) == (0.25, 0.5)
    assert values.largest == pytest.approx(0.9, abs=0.01)
    assert values.ratio_db < 3


def test_heads_without_a_float_form_say_so(tiny):
    graph = _Graph()
    codes = graph.tensor("codes", (1, 4), CODES)
    out = graph.tensor("real", (1, 4), kind=Tensor.FLOAT32)
    content = graph.finish(codes, graph.operator(Operator.DEQUANTIZE, 2, [codes], out))
    with pytest.raises(FloatCopyError, match="head: DEQUANTIZE has no equivalent in float"):
        float_copy(content, "head")


@pytest.mark.parametrize("name", SHIPPED)
def test_int8_is_near_float_in_the_shipped_networks(name):
    from edgehar.inspect.frames import drawn_scenes

    bundle = ModelBundle.open(name)
    seen = see(bundle, drawn_scenes(bundle.manifest.temporal.rate_hz), 60)
    assert seen["encoder.tflite"].runs == 60
    assert not seen["encoder.tflite"].why_no_float
    inexact = [values for values in seen["encoder.tflite"].values if values.error]
    assert {values.operator.name for values in seen["encoder.tflite"].values if not values.error} <= {"RESHAPE"}
    assert min(values.ratio_db for values in inexact) > 24
    scores = seen["head.tflite"].values[-1]
    if bundle.manifest.quantization.head == "float":
        assert (scores.operator.name, scores.error) == ("QUANTIZE", None)
        assert "no equivalent in float" in seen["head.tflite"].why_no_float
    else:
        assert scores.operator.name == "SOFTMAX"
        assert scores.error < 0.1
    assert all(0 <= v.high_share <= 1 and 0 < v.used <= 1 for s in seen.values() for v in s.values)


# --- what an Edge TPU takes


def one(code, inputs, out_shape, options_type=0, options=None, out_kind=Tensor.INT8):
    """A graph of one operator; `inputs` are (shape, constant or None)."""
    graph = _Graph()
    numbers = []
    for shape, constant in inputs:
        kind = Tensor.INT32 if constant is not None and np.asarray(constant).dtype == np.int32 else Tensor.INT8
        numbers.append(graph.tensor("t", shape, CODES, constant, kind))
    out = graph.tensor("out", out_shape, CODES, kind=out_kind)
    graph.operator(code, 1, numbers, out, options_type, options)
    return read_graph(graph.finish(numbers[0], out), "one")


def with_options(kind, **values):
    options = getattr(tfl, f"{kind}T")()
    for name, value in values.items():
        setattr(options, name, value)
    return getattr(tfl.BuiltinOptions, kind), options


def why_not(*arguments, **options):
    graph = one(*arguments, **options)
    return edgetpu.why_not(graph, graph.operators[0])


def int32(*values):
    return np.array(values, np.int32)


WEIGHTS = np.ones((4, 3, 3, 4), np.int8)
PICTURE = ((1, 8, 8, 4), None)


@pytest.mark.parametrize(
    ("says", "arguments"),
    [
        ("", (Operator.CONV_2D, [PICTURE, ((4, 3, 3, 4), WEIGHTS)], (1, 8, 8, 4), *with_options("Conv2DOptions"))),
        (
            "dilated differently",
            (
                Operator.CONV_2D,
                [PICTURE, ((4, 3, 3, 4), WEIGHTS)],
                (1, 8, 8, 4),
                *with_options("Conv2DOptions", dilationWFactor=2),
            ),
        ),
        (
            "weights are computed",
            (Operator.CONV_2D, [PICTURE, ((1, 3, 3, 4), None)], (1, 8, 8, 4), *with_options("Conv2DOptions")),
        ),
        (
            "only the last three sides",
            (Operator.MAX_POOL_2D, [((2, 8, 8, 4), None)], (2, 4, 4, 4), *with_options("Pool2DOptions")),
        ),
        ("", (Operator.MAX_POOL_2D, [PICTURE], (1, 4, 4, 4), *with_options("Pool2DOptions"))),
        (
            "activation fused",
            (Operator.MAX_POOL_2D, [PICTURE], (1, 4, 4, 4), *with_options("Pool2DOptions", fusedActivationFunction=1)),
        ),
        ("is FLOAT32; all must be 8-bit", (Operator.TANH, [((1, 4), None)], (1, 4), 0, None)),
        ("not in the table", (Operator.EXP, [((1, 4), None)], (1, 4))),
        ("is a custom operator", (Operator.CUSTOM, [((1, 4), None)], (1, 4))),
        (
            "must be one-dimensional",
            (
                Operator.FULLY_CONNECTED,
                [((2, 4), None), ((3, 4), np.ones((3, 4), np.int8))],
                (2, 3),
                *with_options("FullyConnectedOptions"),
            ),
        ),
        ("", (Operator.SOFTMAX, [((1, 16_000), None)], (1, 16_000))),
        ("more than 16000", (Operator.SOFTMAX, [((1, 16_001), None)], (1, 16_001))),
        ("must be one-dimensional", (Operator.SOFTMAX, [((2, 3), None)], (2, 3))),
        ("reduces the batch", (Operator.SUM, [((4, 3), None), ((1,), int32(0))], (3,))),
        ("", (Operator.MEAN, [PICTURE, ((2,), int32(1, 2))], (1, 4))),
        ("not a multiple of 4", (Operator.MEAN, [((1, 8, 8, 6), None), ((1,), int32(-1))], (1, 8, 8))),
        (
            "pads the batch",
            (Operator.PAD, [PICTURE, ((4, 2), int32([1, 0], [0, 0], [0, 0], [0, 0]))], (1, 8, 8, 4)),
        ),
        (
            "strides other than 1",
            (
                Operator.STRIDED_SLICE,
                [((1, 8), None), *(((2,), int32(*v)) for v in ((0, 0), (1, 8), (1, 2)))],
                (1, 4),
                *with_options("StridedSliceOptions"),
            ),
        ),
        (
            "new axis",
            (
                Operator.STRIDED_SLICE,
                [((1, 8), None), *(((2,), int32(*v)) for v in ((0, 0), (1, 8), (1, 1)))],
                (1, 8),
                *with_options("StridedSliceOptions", newAxisMask=1),
            ),
        ),
        (
            "not a zero padding",
            (
                Operator.CONCATENATION,
                [((1, 4), None), ((1, 4), np.ones((1, 4), np.int8))],
                (1, 8),
                *with_options("ConcatenationOptions"),
            ),
        ),
        ("last side may be more", (Operator.PRELU, [PICTURE, ((8, 8, 4), np.ones((8, 8, 4), np.int8))], (1, 8, 8, 4))),
        ("splits the batch", (Operator.SPLIT, [((1,), int32(0)), PICTURE], (1, 8, 8, 4))),
    ],
)
def test_limits_of_the_table(says, arguments):
    code = arguments[0]
    why = why_not(*arguments, **({"out_kind": Tensor.FLOAT32} if code == Operator.TANH else {}))
    assert says in why if says else why == ""


@pytest.mark.parametrize("name", ["interactions", "actions-synthetic"])
def test_shipped_encoders_of_one_look_map_whole(name):
    graph = read_graph(ModelBundle.open(name).read("encoder.tflite"), "encoder")
    assert all(mapping.mapped for mapping in edgetpu.map_operators(graph))


def test_an_encoder_of_two_looks_is_a_batch_that_the_edge_tpu_refuses():
    graph = read_graph(ModelBundle.open("fight").read("encoder.tflite"), "encoder")
    mappings = edgetpu.map_operators(graph)
    assert not any(mapping.mapped for mapping in mappings)
    assert "(1, 2, 76, 76, 3); only the last three sides may be more than 1" in mappings[0].reason
    # Only the batch of two is refused.
    assert all("only the last three sides" in why for o in graph.operators if (why := edgetpu.why_not(graph, o)))


def test_after_the_first_operator_that_is_not_taken_all_fall_to_the_cpu():
    mappings = edgetpu.map_operators(read_graph(ModelBundle.open("actions-synthetic").read("head.tflite"), "head"))
    assert not any(mapping.mapped for mapping in mappings)
    assert "must be one-dimensional" in mappings[0].reason
    assert "comes after FULLY_CONNECTED (operator 0)" in mappings[-1].reason


def test_a_compiled_encoder_is_taken_for_its_own_model_only(tiny):
    encoder = tiny.read("encoder.tflite")
    edgetpu.check_compiled(compiled(encoder), encoder, "new")
    for wrong, why in (
        (encoder, "new: contains no edgetpu-custom-op"),
        (compiled(encoder, name=b"other-op"), "contains no edgetpu-custom-op"),
        (compiled(encoder, scale=0.5), "its outputs are"),
        (compiled(encoder, shape=(1, 8, 8, 3)), "its inputs are .*edgehar bundle unpack"),
        (b"text", "is not a TFLite file"),
    ):
        with pytest.raises(BundleError, match=why):
            edgetpu.check_compiled(wrong, encoder, "new")


def test_placement_without_delegates_to_ask_about(tiny, monkeypatch):
    graph = read_graph(tiny.read("head.tflite"), "head")
    placed = place(graph, "head")
    assert placed.runtime.startswith(load_runtime().package)
    assert {placed.of(o.index) for o in graph.operators} <= {"CPU", "XNNPACK"}


def test_models_with_several_subgraphs_are_not_for_the_edge_tpu():
    model = tfl.ModelT.InitFromPackedBuf(head_graph(), 0)
    model.subgraphs.append(model.subgraphs[0])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    graph = read_graph(bytes(builder.Output()), "two")
    assert edgetpu.why_not(graph, graph.operators[0]) == "the file has more than one subgraph"
