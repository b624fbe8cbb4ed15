"""Models that are not as they were: as an Edge TPU's compiler leaves them, or with one weight off."""

from edgehar.model.bundle import write_bundle
from edgehar.model.tflite import read_graph
from support.tiny_bundle import Operator, _Graph


def compiled(encoder, *, name=b"edgetpu-custom-op", scale=None, shape=None):
    """What the compiler makes of an encoder: one custom operator with the encoder's face."""
    original = read_graph(encoder, "encoder")
    graph = _Graph()
    sides = []
    for index in (original.inputs[0], original.outputs[0]):
        tensor = original.tensors[index]
        affine = (float(tensor.scales[0]), int(tensor.zero_points[0]))
        sides.append(graph.tensor(tensor.name, tensor.shape, affine))
    if scale is not None:
        graph.graph.tensors[1].quantization.scale = [scale]
    if shape is not None:
        graph.graph.tensors[0].shape = list(shape)
    graph.operator(Operator.CUSTOM, 1, sides[:1], sides[1])
    graph.model.operatorCodes[0].customCode = name
    return graph.finish(*sides)


def with_other_window_model(bundle, path):
    """Write the bundle with one weight of `window.tflite` off; its encoder and head stay."""
    head, content = read_graph(bundle.read("head.tflite"), "head"), bytearray(bundle.read("window.tflite"))
    dense = [operator for operator in head.operators if operator.name == "FULLY_CONNECTED"][-1]
    place = bytes(content).find(head.tensors[dense.inputs[1]].data.tobytes())
    assert place > 0
    content[place] = (content[place] + 64) % 256
    write_bundle(path, bundle.manifest, {**bundle.files, "window.tflite": bytes(content)})
    return path
