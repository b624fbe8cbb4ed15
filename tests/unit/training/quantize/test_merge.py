"""Joining an encoder and a head at the level of the flatbuffer, on small TFLite files made without TensorFlow."""

import io
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tfl
from support.tiny_bundle import CODES, FEATURES, LOGITS, PIXELS, SCORES, _classify, _encode, _Graph

from edgehar.errors import ConversionError
from edgehar.model import merge, tflite
from edgehar.model.interpreter import TfliteModel
from edgehar_training.quantize import file_checks

SIZE, WINDOW = 8, 5


def make_encoder(*, flat_end=True):
    graph = _Graph()
    frame = graph.tensor("frame", (1, SIZE, SIZE, 3), PIXELS)
    codes = _encode(graph, frame, 1, SIZE)
    return graph.finish(frame, graph.reshape(codes, (1, FEATURES), CODES) if flat_end else codes)


def make_head(window=WINDOW, codes_affine=CODES):
    graph = _Graph()
    codes = graph.tensor("codes", (1, window, FEATURES), codes_affine)
    return graph.finish(codes, _classify(graph, codes, window))


def random_windows(count):
    return np.random.default_rng(3).integers(-128, 128, (count, WINDOW, SIZE, SIZE, 3)).astype(np.int8)


def test_merged_model_gives_the_bytes_of_streaming():
    encoder, head = make_encoder(), make_head()
    whole = merge.merge(encoder, head, WINDOW)
    assert file_checks.check_identity(encoder, head, whole, random_windows(50)) == 50
    model = TfliteModel(whole, name="window")
    assert model.input_shape == (WINDOW, SIZE, SIZE, 3)
    assert model.output_shape == (1, 2)
    assert (model.input_quantization.scale, model.input_quantization.zero_point) == PIXELS
    assert (model.output_quantization.scale, model.output_quantization.zero_point) == SCORES
    # The answers differ, or equality would say nothing.
    assert len({model.run(window).tobytes() for window in random_windows(50)}) > 1


def test_merged_model_has_the_operations_of_both():
    encoder, head = make_encoder(), make_head()
    both = file_checks.operators(encoder) + file_checks.operators(head)
    assert file_checks.operators(merge.merge(encoder, head, WINDOW)) == both
    assert both == {"RESHAPE": 3, "FULLY_CONNECTED": 2, "SOFTMAX": 1}


def test_inputs_of_the_merge_are_left_alone():
    encoder, head = make_encoder(), make_head()
    before = encoder, head
    merge.merge(encoder, head, WINDOW)
    assert (encoder, head) == before
    assert TfliteModel(encoder, name="encoder").input_shape == (1, SIZE, SIZE, 3)


@pytest.mark.parametrize("affine", [(CODES[0] * (1 + 1e-6), CODES[1]), (CODES[0], CODES[1] + 1)])
def test_seam_of_other_quantization_is_refused(affine):
    with pytest.raises(ConversionError, match="scale and zero point"):
        merge.merge(make_encoder(), make_head(codes_affine=affine), WINDOW)


def test_seam_of_other_shape_is_refused():
    with pytest.raises(ConversionError, match=r"\[1, 5, 8\]"):
        merge.merge(make_encoder(), make_head(window=4), WINDOW)


def test_encoder_that_does_not_end_flat_gets_a_reshape():
    encoder, head = make_encoder(flat_end=False), make_head()
    whole = merge.merge(encoder, head, WINDOW)
    assert (
        file_checks.operators(whole)["RESHAPE"]
        == 1 + (file_checks.operators(encoder) + file_checks.operators(head))["RESHAPE"]
    )
    assert file_checks.check_identity(encoder, head, whole, random_windows(20)) == 20


def test_streaming_that_differs_is_refused():
    encoder, head = make_encoder(), make_head()
    doubled = (CODES[0] * 2, CODES[1])
    other = merge.merge(_with_output(encoder, doubled), make_head(codes_affine=doubled), WINDOW)
    with pytest.raises(ConversionError, match="window 0: streaming gives"):
        file_checks.check_identity(encoder, head, other, random_windows(3))


def _with_output(encoder, affine):
    """The encoder, saying that its codes mean something else."""
    model = tfl.ModelT.InitFromPackedBuf(encoder, 0)
    for tensor in model.subgraphs[0].tensors:
        if tensor.name in (b"dense", b"reshaped") and list(tensor.shape) == [1, FEATURES]:
            tensor.quantization.scale = [affine[0]]
    return tflite.pack(model)


def test_custom_operation_is_refused():
    graph = _Graph()
    frame = graph.tensor("frame", (1, 4), PIXELS)
    output = graph.operator(tfl.BuiltinOperator.CUSTOM, 1, [frame], graph.tensor("out", (1, 4), PIXELS))
    graph.model.operatorCodes[0].customCode = b"FlexErf"
    content = graph.finish(frame, output)
    assert file_checks.operators(content) == {"custom:FlexErf": 1}
    with pytest.raises(ConversionError, match="custom:FlexErf"):
        file_checks.check_int8(content, "head.tflite")


def test_float_tensor_is_refused():
    graph = _Graph()
    frame = graph.tensor("frame", (1, 4), LOGITS)
    real = graph.operator(
        tfl.BuiltinOperator.DEQUANTIZE, 2, [frame], graph.tensor("real", (1, 4), kind=tfl.TensorType.FLOAT32)
    )
    with pytest.raises(ConversionError, match=r"head\.tflite: tensor real is not int8"):
        file_checks.check_int8(graph.finish(frame, real), "head.tflite")


def test_associated_files_are_a_zip_and_the_model_still_runs():
    whole = merge.merge(make_encoder(), make_head(), WINDOW)
    content = merge.with_associated_files(whole, {"labels.txt": b"a\nb\n", "manifest.json": b"{}"})
    assert content.startswith(whole)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt", "manifest.json"]
        assert archive.read("labels.txt") == b"a\nb\n"
    window = random_windows(1)[0]
    assert np.array_equal(TfliteModel(content, name="with").run(window), TfliteModel(whole, name="without").run(window))
