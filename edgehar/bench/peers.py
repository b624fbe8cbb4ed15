"""Other networks in turns with edgehar, each run once per frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar.bench.model import answering, gmacs_per_s, vga_frames
from edgehar.bench.results import Peer, Peers
from edgehar.bench.timing import interleaved
from edgehar.errors import ConfigError
from edgehar.model import macs
from edgehar.model.runtime import load_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgehar.bench.frames import FramePool
    from edgehar.bench.timing import Contender, Protocol, Timing
    from edgehar.model.bundle import ModelBundle


@dataclass(frozen=True)
class Loaded:
    """A file that was loaded and run once, or why that failed."""

    path: Path
    interpreter: Any
    problem: str | None = None


def check(paths: Sequence[Path]) -> None:
    """Check before any measurement that all files exist.

    Raises:
        ConfigError: a path is not a file.
    """
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"--peer {path}: no such file; give the path of a .tflite model")


def measure(paths: Sequence[Path], bundle: ModelBundle, pool: FramePool, protocol: Protocol) -> Peers:
    """Time one run of each network, in turns with a prediction of edgehar at hop 1.

    The state of a recurrent network is not carried over between runs, which would only cost more.
    """
    peers = [_load(path) for path in paths]
    contenders: dict[str, Contender] = {"edgehar": answering(bundle, 1, vga_frames(pool))}
    contenders |= {str(peer.path): _running(peer) for peer in peers if peer.problem is None}
    times = interleaved(contenders, protocol)
    ours = times["edgehar"]
    rows = [_row(peer, times.get(str(peer.path)), ours) for peer in peers]
    return Peers(bundle.manifest.name, ours.wall_s * 1e3, rows)


def _load(path: Path) -> Loaded:
    runtime = load_runtime()
    try:
        interpreter = runtime.interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        _fill(interpreter)
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        return Loaded(path, None, _first_sentence(str(error)))
    return Loaded(path, interpreter)


def _first_sentence(message: str) -> str:
    return " ".join(message.split()).partition(". ")[0].rstrip(".")


def _fill(interpreter: Any) -> None:
    """Fill the inputs: noise for pixels and codes, zeros for counters."""
    rng = np.random.default_rng(0)
    for tensor in interpreter.get_input_details():
        dtype, shape = np.dtype(tensor["dtype"]), tuple(tensor["shape"])
        if dtype.kind == "f":
            values = rng.random(shape, np.float32).astype(dtype)
        elif dtype in (np.uint8, np.int8):
            values = rng.integers(0, 256, shape, np.uint8).view(dtype)
        else:
            values = np.zeros(shape, dtype)
        interpreter.set_tensor(tensor["index"], values)


def _running(peer: Loaded) -> Contender:
    return lambda _: peer.interpreter.invoke()


def _row(peer: Loaded, timing: Timing | None, ours: Timing) -> Peer:
    name, size = peer.path.name, peer.path.stat().st_size
    if timing is None:
        return Peer(name, size, problem=peer.problem)
    operations = macs.count(peer.interpreter)
    return Peer(
        file=name,
        bytes=size,
        inputs=len(peer.interpreter.get_input_details()),
        ms=timing.wall_s * 1e3,
        macs=operations,
        gmacs_per_s=gmacs_per_s(operations, timing.wall_s),
        ratio=timing.wall_s / ours.wall_s,
    )
