"""A real bundle of three int8 TFLite models that tell bright from dark frames, made without TensorFlow.

The encoder gives the mean of a frame's pixels; the head's score of `bright` rises with the mean of a window's codes.
So tests of the device path need neither a trained model nor the training extra, and know the right answer.
"""

from pathlib import Path

import flatbuffers
import msgspec
import numpy as np
from ai_edge_litert import schema_py_generated as tfl

from edgehar.model import manifest
from edgehar.model.bundle import ModelBundle, write_bundle
from edgehar.model.remembered import REMEMBERED_FILE, RememberedWindows, codes_of
from edgehar.teaching.features import Probe
from support.samples import sample_manifest

LABELS = ("bright", "dark")
FEATURES = 8
# Scale and zero point. The files hold scales as float32, and the manifest's must equal them.
PIXELS = CODES = (float(np.float32(1 / 255)), -128)
DIFFERENCES = (float(np.float32(32 / 128 / 255)), 0)
LOGITS = (16 / 255, 0)
SCORES = (1 / 256, -128)
GAIN = 16.0

Tensor = tfl.TensorType
Operator = tfl.BuiltinOperator


class _Graph:
    """One TFLite subgraph under construction."""

    def __init__(self):
        self.model = tfl.ModelT()
        self.model.version, self.model.description, self.model.buffers = 3, b"tiny", [tfl.BufferT()]
        self.model.operatorCodes, self.graph = [], tfl.SubGraphT()
        self.graph.name, self.graph.tensors, self.graph.operators = b"main", [], []

    def tensor(self, name, shape, affine=None, constant=None, kind=Tensor.INT8):
        tensor = tfl.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), kind, 0
        if constant is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(constant).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if affine is not None:
            tensor.quantization = tfl.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [affine[0]], [affine[1]]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, code, version, inputs, output, options_type=0, options=None):
        kind = tfl.OperatorCodeT()
        kind.builtinCode = kind.deprecatedBuiltinCode = code
        kind.version = version
        self.model.operatorCodes.append(kind)
        operator = tfl.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = options_type, options
        self.graph.operators.append(operator)
        return output

    def reshape(self, source, shape, affine):
        target = self.tensor("shape", (len(shape),), constant=np.array(shape, np.int32), kind=Tensor.INT32)
        options = tfl.ReshapeOptionsT()
        options.newShape = list(shape)
        output = self.tensor("reshaped", shape, affine)
        return self.operator(Operator.RESHAPE, 1, [source, target], output, tfl.BuiltinOptions.ReshapeOptions, options)

    def dense(self, source, weights, weight_scale, bias, in_scale, out_shape, out_affine):
        w = self.tensor("weights", weights.shape, (weight_scale, 0), weights.astype(np.int8))
        scaled = np.round(np.asarray(bias) / (in_scale * weight_scale)).astype(np.int32)
        b = self.tensor("bias", scaled.shape, (in_scale * weight_scale, 0), scaled, Tensor.INT32)
        output = self.tensor("dense", out_shape, out_affine)
        options = tfl.FullyConnectedOptionsT()
        kind = tfl.BuiltinOptions.FullyConnectedOptions
        return self.operator(Operator.FULLY_CONNECTED, 4, [source, w, b], output, kind, options)

    def add(self, left, right, shape, affine):
        output = self.tensor("sum", shape, affine)
        kind = tfl.BuiltinOptions.AddOptions
        return self.operator(Operator.ADD, 2, [left, right], output, kind, tfl.AddOptionsT())

    def softmax(self, source, shape):
        options = tfl.SoftmaxOptionsT()
        options.beta = 1.0
        output = self.tensor("scores", shape, SCORES)
        return self.operator(Operator.SOFTMAX, 2, [source], output, tfl.BuiltinOptions.SoftmaxOptions, options)

    def finish(self, sources, outputs):
        """The file; one tensor or several on either side."""
        self.graph.inputs, self.graph.outputs = (
            list(side) if isinstance(side, tuple) else [side] for side in (sources, outputs)
        )
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _encode(graph, frames, count, size):
    pixels = size * size * 3
    flat = graph.reshape(frames, (count, pixels), PIXELS)
    weights, scale = np.full((FEATURES, pixels), 127), 1 / (127 * pixels)
    return graph.dense(flat, weights, scale, np.zeros(FEATURES), PIXELS[0], (count, FEATURES), CODES)


def _encode_looks(graph, looks, count, size):
    """Codes of each look from |d1|, at random places: half of a frame's codes come from each look."""
    rng, values = np.random.default_rng(11), size * size * 3
    flat = graph.reshape(looks, (2 * count, values), DIFFERENCES)
    weights = np.where(np.arange(values) % 3 == 2, rng.integers(0, 128, (FEATURES // 2, values)), 0)
    bias = np.zeros(FEATURES // 2)
    each = graph.dense(flat, weights, 1 / 200, bias, DIFFERENCES[0], (2 * count, FEATURES // 2), CODES)
    return graph.reshape(each, (count, FEATURES), CODES)


def _classify(graph, codes, window, gain=GAIN):
    values = window * FEATURES
    flat = graph.reshape(codes, (1, values), CODES)
    weights = np.stack([np.full(values, 127), np.full(values, -127)])
    bias = [-gain / 2, gain / 2]
    logits = graph.dense(flat, weights, gain / (127 * values), bias, CODES[0], (1, 2), LOGITS)
    return graph.softmax(logits, (1, 2))


def _step():
    """A network of one step: its state is the mean of the frame's codes and the state before."""
    graph = _Graph()
    codes, state = (graph.tensor(name, (1, FEATURES), CODES) for name in ("codes", "state"))
    halves = [
        graph.dense(x, np.eye(FEATURES) * 127, 0.5 / 127, np.zeros(FEATURES), CODES[0], (1, FEATURES), CODES)
        for x in (codes, state)
    ]
    after = graph.add(*halves, (1, FEATURES), CODES)
    weights = np.stack([np.full(FEATURES, 127), np.full(FEATURES, -127)])
    scale, bias = GAIN / (127 * FEATURES), [-GAIN / 2, GAIN / 2]
    logits = graph.dense(after, weights, scale, bias, CODES[0], (1, 2), LOGITS)
    return graph.finish((codes, state), (graph.softmax(logits, (1, 2)), after))


def write_tiny_bundle(
    path: Path, *, size=16, window=4, rate_hz=10.0, hop=2, stateful=False, gain=GAIN, name=None, alarms=None, **decision
) -> Path:
    """Write the bundle; labels are `bright` and `dark`. Another `gain` is another head for the same encoder."""
    encoder, head, whole = _Graph(), _Graph(), _Graph()
    frame = encoder.tensor("frame", (1, size, size, 3), PIXELS)
    codes = head.tensor("codes", (1, window, FEATURES), CODES)
    frames = whole.tensor("frames", (window, size, size, 3), PIXELS)
    files = {
        "encoder.tflite": encoder.finish(frame, _encode(encoder, frame, 1, size)),
        "head.tflite": head.finish(codes, _classify(head, codes, window, gain)),
        "window.tflite": whole.finish(frames, _classify(whole, _encode(whole, frames, window, size), window, gain)),
        "MODEL_CARD.md": b"# tiny\n\nTells bright from dark.\n",
    }
    if stateful:
        files["step.tflite"] = _step()
    states = [manifest.State("mean", FEATURES, manifest.Affine(*CODES))]
    about = msgspec.structs.replace(
        sample_manifest(LABELS, size=size, window=window, rate_hz=rate_hz, hop=hop),
        quantization=manifest.Quantization(*(manifest.Affine(*affine) for affine in (PIXELS, CODES, SCORES))),
        decision=manifest.Decision(**decision),
        stateful=manifest.Stateful(states) if stateful else None,
    )
    about = msgspec.structs.replace(about, provenance=msgspec.structs.replace(about.provenance, alarms=alarms))
    if name is not None:
        about = msgspec.structs.replace(about, name=name)
    write_bundle(path, about, files)
    return path


def remember(path: Path, **levels) -> Path:
    """Make a bundle remember windows that are flat, `label=[level of gray 0 to 255, ...]`."""
    bundle = ModelBundle.open(path)
    about, labels = bundle.manifest, list(levels)
    truth = np.concatenate([np.full(len(levels[label]), about.labels.index(label)) for label in labels])
    codes = np.concatenate([levels[label] for label in labels]).astype(int) - 128
    windows = np.broadcast_to(codes.astype(np.int8)[:, None, None], (len(codes), about.temporal.window, FEATURES))
    logits, pooled = Probe.of(bundle).run(windows)
    kept = codes_of(pooled, about.quantization.seam)
    content = RememberedWindows(about.files["head.tflite"], tuple(about.labels), truth, logits, kept).pack()
    write_bundle(path, about, {**bundle.files, REMEMBERED_FILE: content})
    return path


def write_tiny_looks_bundle(
    path: Path,
    *,
    size=12,
    window=4,
    rate_hz=10.0,
    hop=2,
    crop_side=120,
    stabilize=False,
    steady_light=False,
    **decision,
) -> Path:
    """Write a bundle with two looks and a lead-in of two frames; its scores follow the movement, which is `bright`."""
    encoder, head, whole = _Graph(), _Graph(), _Graph()
    looks = encoder.tensor("looks", (1, 2, size, size, 3), DIFFERENCES)
    codes = head.tensor("codes", (1, window, FEATURES), CODES)
    windows = whole.tensor("frames", (window, 2, size, size, 3), DIFFERENCES)
    files = {
        "encoder.tflite": encoder.finish(looks, _encode_looks(encoder, looks, 1, size)),
        "head.tflite": head.finish(codes, _classify(head, codes, window)),
        "window.tflite": whole.finish(windows, _classify(whole, _encode_looks(whole, windows, window, size), window)),
        "MODEL_CARD.md": b"# tiny\n\nTells movement from stillness.\n",
    }
    sample = sample_manifest(LABELS, size=size, window=window, motion="grey-difference", rate_hz=rate_hz, hop=hop)
    about = msgspec.structs.replace(
        sample,
        input=msgspec.structs.replace(
            sample.input, looks=("whole", "crop"), crop_side=crop_side, stabilize=stabilize, steady_light=steady_light
        ),
        temporal=msgspec.structs.replace(sample.temporal, lead_in=2),
        quantization=manifest.Quantization(*(manifest.Affine(*affine) for affine in (DIFFERENCES, CODES, SCORES))),
        decision=manifest.Decision(**decision),
    )
    write_bundle(path, about, files)
    return path
