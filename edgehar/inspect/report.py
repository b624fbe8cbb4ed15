"""Facts about the networks of a bundle, as values and as lines for a terminal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.errors import EdgeharError
from edgehar.inspect.edgetpu import map_operators
from edgehar.inspect.floats import FloatCopyError, float_copy
from edgehar.inspect.frames import model_frames
from edgehar.inspect.memory import arena_bytes
from edgehar.inspect.placement import Placement, place
from edgehar.inspect.values import Values, Watched, watch
from edgehar.model.bundle import EDGE_TPU_FILE, STEP_FILE
from edgehar.model.tflite import Graph, Tensor, read_graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from edgehar.frames import Frame
    from edgehar.model.bundle import ModelBundle

ENCODER, HEAD = "encoder.tflite", "head.tflite"
# Scales of up to this many channels are printed one by one.
_MOST_SCALES = 4


@dataclass(frozen=True)
class Part:
    """One network of a bundle.

    Attributes:
        name: name of its file.
        graph: its tensors and operators.
        placement: where its operators run on this machine.
        arena: estimated bytes of its values, without the memory of a delegate.
    """

    name: str
    graph: Graph
    placement: Placement
    arena: int


@dataclass(frozen=True)
class Seen:
    """The values of one network on some frames.

    Attributes:
        values: values of each operator with an int8 output.
        runs: number of runs.
        why_no_float: why int8 is not compared with float; empty if it is.
    """

    values: list[Values]
    runs: int
    why_no_float: str


def parts(bundle: ModelBundle) -> list[Part]:
    """Return the networks that run on a device: encoder, head, and the one-step network if there is one.

    Raises:
        RuntimeUnavailableError: no installed package can read them.
        BundleError: a network cannot be read or loaded.
    """
    names = [name for name in (ENCODER, HEAD, STEP_FILE) if name in bundle.files]
    graphs = {name: read_graph(bundle.read(name), f"{bundle.path}: {name}") for name in names}
    return [Part(name, graph, place(graph, name), arena_bytes(graph)) for name, graph in graphs.items()]


def summary_lines(bundle: ModelBundle) -> Iterator[tuple[str, str]]:
    """Yield a line for each network: its file, and its size, cost and operators."""
    for part in parts(bundle):
        graph = part.graph
        macs = "unknown" if graph.macs is None else f"{graph.macs:,}"
        says = (
            f"{len(graph.content):,} bytes, {graph.parameters:,} parameters, {macs} multiply-accumulates; memory: "
            f"{graph.constant_bytes:,} bytes of constants and about {part.arena:,} of values; signatures: "
            f"{', '.join(graph.signatures) or 'none'}; {_placed(part)}: {_operators(graph)}"
        )
        yield part.name, says
    if EDGE_TPU_FILE in bundle.files:
        yield EDGE_TPU_FILE, f"{len(bundle.read(EDGE_TPU_FILE)):,} bytes, compiled for an Edge TPU (--delegate edgetpu)"


def operator_lines(bundle: ModelBundle) -> Iterator[str]:
    """Yield a table of operators for each network."""
    for part in parts(bundle):
        graph = part.graph
        yield f"{part.name} ({part.placement.runtime}; {_placed(part)})"
        yield f"{'':>4} {'operator':<29} {'runs on':<8} {'MACs':>10}  inputs -> outputs"
        for operator in graph.operators:
            macs = graph.macs_of(operator)
            sides = (
                ", ".join(_typed(graph.tensors[index]) for index in indices if index >= 0)
                for indices in (operator.inputs, operator.outputs)
            )
            name, where = f"{operator.name} v{operator.version}", part.placement.of(operator.index)
            count = "?" if macs is None else f"{macs:,}" if macs else ""
            yield f"{operator.index:>4} {name:<29} {where:<8} {count:>10}  {' -> '.join(sides)}"
        yield ""


def tensor_lines(bundle: ModelBundle) -> Iterator[str]:
    """Yield a table of tensors with their quantization for each network."""
    for part in parts(bundle):
        yield part.name
        for tensor in part.graph.tensors:
            kind = "constant" if tensor.data is not None else "variable" if tensor.variable else "computed"
            yield f"{tensor.index:>4} {_typed(tensor):<24} {kind:<9} {quantization(tensor):<50} {tensor.name}"
        yield ""


def edge_tpu_lines(bundle: ModelBundle) -> Iterator[str]:
    """Yield where the Edge TPU compiler would place each operator of the encoder, by the published table."""
    graph = read_graph(bundle.read(ENCODER), f"{bundle.path}: {ENCODER}")
    mappings = map_operators(graph)
    for mapping in mappings:
        where = "Edge TPU" if mapping.mapped else f"CPU: {mapping.reason}"
        yield f"{mapping.operator.index:>4} {mapping.operator.name:<29} {where}"
    mapped = sum(mapping.mapped for mapping in mappings)
    share = _mapped_share(graph, mapped)
    yield f"{mapped} of {len(mappings)} operators of the encoder would run on the Edge TPU{share}"
    yield "the head runs on the CPU"
    yield "by https://coral.ai/docs/edgetpu/models-intro/#supported-operations; only the compiler knows for certain"


def see(bundle: ModelBundle, scenes: Iterable[list[Frame]], most_frames: int) -> dict[str, Seen]:
    """Run encoder and head on scenes, in int8 and in float, and collect their values.

    Args:
        bundle: the model.
        scenes: lists of consecutive frames.
        most_frames: largest number of frames to use.

    Raises:
        EdgeharError: the networks cannot run here, or the scenes contain no frame.
    """
    sequences, count = [], 0
    for scene in scenes:
        frames = model_frames(bundle, scene)[: most_frames - count]
        sequences += [frames] if len(frames) else []
        count += len(frames)
        if count >= most_frames:
            break
    if not count:
        raise EdgeharError("the clips contain no frames; give another clip to --data")
    encoder, head = (read_graph(bundle.read(name), name) for name in (ENCODER, HEAD))
    frames = np.concatenate(sequences)
    pair, why = _pair(encoder, ENCODER)
    real = None if pair is None else (pair, encoder.tensors[encoder.inputs[0]].real(frames))
    int8 = Watched(encoder.content, ENCODER)
    seen = {ENCODER: Seen(watch(encoder, int8, frames, real), len(frames), why)}
    codes = _outputs(int8, encoder, frames)
    exact = None if real is None else _outputs(real[0], encoder, real[1])
    window = bundle.manifest.temporal.window
    places = _windows([len(sequence) for sequence in sequences], window)
    pair, why = _pair(head, HEAD)
    real = None if pair is None or exact is None else (pair, exact[places])
    seen[HEAD] = Seen(watch(head, Watched(head.content, HEAD), codes[places], real), len(places), why)
    return seen


def quantization(tensor: Tensor) -> str:
    """Return scale and zero point in words; the range of the scales if there are many channels."""
    scales = tensor.scales
    if not len(scales):
        return "not quantized"
    if len(scales) > _MOST_SCALES:
        return f"{len(scales)} scales {scales.min():.4g} to {scales.max():.4g} along side {tensor.axis}, zero point 0"
    pairs = zip(scales.tolist(), tensor.zero_points.tolist(), strict=True)
    return ", ".join(f"scale {scale:.9g} zero point {zero}" for scale, zero in pairs)


def _pair(graph: Graph, name: str) -> tuple[Watched | None, str]:
    try:
        return Watched(float_copy(graph.content, name), f"{name} in float"), ""
    except FloatCopyError as error:
        return None, str(error)


def _outputs(model: Watched, graph: Graph, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    found = []
    for values in inputs:
        model.run(values)
        found.append(model.read(graph.outputs[0]).reshape(-1))
    return np.stack(found)


def _windows(lengths: list[int], window: int) -> npt.NDArray[np.intp]:
    """Return frame numbers of windows that overlap by half; a short sequence repeats its first frame."""
    found, begin = [], 0
    for length in lengths:
        starts = range(0, max(1, length - window + 1), max(1, window // 2))
        found += [begin + np.clip(np.arange(window) + start + min(0, length - window), 0, None) for start in starts]
        begin += length
    return np.stack(found)


def _placed(part: Part) -> str:
    taken, every = part.placement.delegated, len(part.graph.operators)
    if taken is None:
        return f"the runtime does not report which of {every} operators run on {part.placement.delegate}"
    return f"{len(taken)} of {every} operators on {part.placement.delegate}, in {part.placement.parts} part(s)"


def _operators(graph: Graph) -> str:
    counts = Counter(operator.name for operator in graph.operators)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _typed(tensor: Tensor) -> str:
    return f"{tensor.kind}[{'x'.join(map(str, tensor.shape))}]"


def _mapped_share(graph: Graph, mapped: int) -> str:
    counts = [graph.macs_of(operator) or 0 for operator in graph.operators]
    return f", with {sum(counts[:mapped]) / sum(counts):.0%} of its multiply-accumulates" if sum(counts) else ""
