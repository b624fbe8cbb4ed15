"""Speed of a model: the steps of a prediction, and complete predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.bench.frames import frame_bytes
from edgehar.bench.results import EndToEnd, Model, Step
from edgehar.bench.timing import interleaved
from edgehar.frames import PixelFormat
from edgehar.model import macs
from edgehar.model.classifier import Classifier
from edgehar.model.interpreter import TfliteModel
from edgehar.model.runtime import load_runtime

if TYPE_CHECKING:
    from edgehar.bench.chains import Pixels
    from edgehar.bench.frames import FramePool
    from edgehar.bench.timing import Contender, Protocol, Timing
    from edgehar.model.bundle import ModelBundle

_WIDTH, _HEIGHT = 640, 480
# File of the bundle for each step.
_NETWORKS = {"encode": "encoder.tflite", "classify": "head.tflite"}


def measure(bundle: ModelBundle, pool: FramePool, protocol: Protocol) -> Model:
    """Time the single steps and complete predictions, in turns."""
    manifest = bundle.manifest
    hops = sorted({1, manifest.temporal.hop})
    contenders: dict[str, Contender] = {"shrink": _shrinking(bundle, vga_frames(pool))}
    contenders |= {step: _invoking(bundle, file) for step, file in _NETWORKS.items()}
    contenders |= {f"hop {hop}": answering(bundle, hop, vga_frames(pool)) for hop in hops}
    times = interleaved(contenders, protocol)
    answer = times["hop 1"].us
    return Model(
        name=manifest.name,
        size=manifest.input.height,
        window=manifest.temporal.window,
        steps=[_step(bundle, step, times[step], answer) for step in ("shrink", *_NETWORKS)],
        answers=[EndToEnd(hop, times[f"hop {hop}"].us / hop, times[f"hop {hop}"].cpu_s * 1e6 / hop) for hop in hops],
    )


def vga_frames(pool: FramePool) -> list[Pixels]:
    """Cold 640x480 frames, uint8 BGR."""
    buffers = pool.buffers(frame_bytes(PixelFormat.BGR24, _HEIGHT, _WIDTH))
    return [buffer.reshape(_HEIGHT, _WIDTH, 3) for buffer in buffers]


def answering(bundle: ModelBundle, hop: int, frames: list[Pixels]) -> Contender:
    """Return a contender that pushes the `hop` frames of one prediction per call, after a first window."""
    classifier = Classifier(bundle, hop=hop)
    temporal = bundle.manifest.temporal
    for number in range(temporal.window + temporal.lead_in):
        classifier.push(frames[number % len(frames)])

    def push(n: int) -> None:
        for frame in range(n * hop, (n + 1) * hop):
            classifier.push(frames[frame % len(frames)])

    return push


def gmacs_per_s(operations: int | None, seconds: float) -> float | None:
    """Return billions (10^9) of multiply-accumulates per second."""
    return None if operations is None else operations / seconds / 1e9


def _shrinking(bundle: ModelBundle, frames: list[Pixels]) -> Contender:
    resizer, out = bundle.make_resizer(), np.empty(bundle.manifest.input.shape, np.int8)
    return lambda n: resizer.resize_into(frames[n % len(frames)], out)


def _invoking(bundle: ModelBundle, file: str) -> Contender:
    network = TfliteModel(bundle.read(file), name=file)
    return lambda _: network.invoke()


def _step(bundle: ModelBundle, step: str, timing: Timing, answer_us: float) -> Step:
    operations = _macs(bundle, _NETWORKS[step]) if step in _NETWORKS else None
    return Step(step, timing.us, operations, gmacs_per_s(operations, timing.wall_s), timing.us / answer_us)


def _macs(bundle: ModelBundle, file: str) -> int | None:
    interpreter = load_runtime().interpreter(model_content=bundle.read(file), num_threads=1)
    interpreter.allocate_tensors()
    return macs.count(interpreter)
