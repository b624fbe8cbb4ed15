"""Verify on this machine that streaming gives the bytes of the whole-window model.

Streaming encodes each frame once, and the head reads the encodings of a window. `window.tflite` reads all frames of the
window at once. Both have the same weights and quantization, so the scores must be the same bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgehar.frames import Frame
from edgehar.inspect.frames import drawn_scenes
from edgehar.model.classifier import Classifier
from edgehar.model.edgetpu import CPU
from edgehar.model.interpreter import TfliteModel
from edgehar.model.network import Network
from edgehar.model.runtime import load_runtime
from edgehar.model.timegrid import TimeGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from edgehar.model.bundle import ModelBundle

# Number of synthetic scenes to cut streams from, because drawing is slower than classifying.
_SCENES = 12
# Largest number of windows of a stream, so that there are many streams.
_WINDOWS_A_STREAM = 24


@dataclass(frozen=True)
class Verdict:
    """Result of a verification.

    Attributes:
        runtime: TFLite runtime with its version.
        delegate: what ran the encoder.
        streams: number of streams, each with its own hop, start and dropped frames.
        windows: predictions compared.
        differing_windows: predictions whose bytes differ.
        bytes: scores compared, one byte each.
        differing_bytes: scores that differ.
        largest: largest difference of a score, in quantization steps.
        answers: different score vectors; a model with a constant output would prove little.
        hops: smallest and largest hop.
        dropped: frames left out of streams.
    """

    runtime: str
    delegate: str
    streams: int = 0
    windows: int = 0
    differing_windows: int = 0
    bytes: int = 0
    differing_bytes: int = 0
    largest: int = 0
    answers: frozenset[tuple[int, ...]] = frozenset()
    hops: tuple[int, int] = (0, 0)
    dropped: int = 0

    @property
    def identical(self) -> bool:
        """Whether something was compared, and no byte differs."""
        return self.windows > 0 and not self.differing_bytes


@dataclass(frozen=True)
class FrameStream:
    """A stream: its frames, its hop, and the number of frames left out."""

    frames: list[Frame]
    hop: int
    dropped: int


def verify(
    bundle: ModelBundle,
    *,
    windows: int = 1000,
    delegate: str = CPU,
    seed: int = 0,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Verdict:
    """Classify synthetic streams, and compare every prediction.

    Args:
        bundle: the model.
        windows: least number of predictions to compare.
        delegate: what runs the encoder when streaming; `window.tflite` runs on the CPU.
        seed: seed of frames, hops, starts and drops.
        on_progress: called with the number of windows compared since the last call.

    Raises:
        EdgeharError: the model cannot run here.
    """
    runtime = load_runtime()
    rng = np.random.default_rng(seed)
    temporal = bundle.manifest.temporal
    longest = temporal.window
    scenes = drawn_scenes(temporal.rate_hz, seed)
    pool = [frame for _ in range(_SCENES) for frame in next(scenes)]
    whole = TfliteModel(bundle.read("window.tflite"), name=f"{bundle.path}: window.tflite")
    with Network(bundle, delegate=delegate) as network:
        found = Verdict(f"{runtime.package} {runtime.version}", network.delegate, hops=(longest, 1))
        while found.windows < windows:
            # Every hop in turn, so that enough windows cover all hops.
            hop = found.streams % longest + 1
            stream = draw_stream(pool, hop, longest + temporal.lead_in, temporal.rate_hz, rng)
            before = found.windows
            found = _add(found, stream, compare(network, whole, stream))
            on_progress(found.windows - before)
    whole.close()
    return found


def draw_stream(pool: list[Frame], hop: int, first: int, rate_hz: float, rng: np.random.Generator) -> FrameStream:
    """Return a stream that starts anywhere in the pool, leaves out some frames, and gives a few windows.

    Args:
        pool: frames to take, over and over.
        hop: frames between predictions.
        first: frames up to the first prediction.
        rate_hz: of the time grid.
        rng: source of randomness.
    """
    answers = int(rng.integers(1, max(2, _WINDOWS_A_STREAM // hop + 1)))
    wanted = first + hop * answers
    drop_share = float(rng.choice([0.0, 0.1, 0.4]))
    start_s = float(rng.uniform(0, 1e4))
    place, slot, dropped = int(rng.integers(len(pool))), 0, 0
    frames: list[Frame] = []
    while len(frames) < wanted:
        if rng.random() < drop_share:
            dropped += 1
        else:
            frame = pool[(place + slot) % len(pool)]
            # Half a period late, like a camera, and never on the edge of the grid.
            captured_s = start_s + (slot + 0.5) / rate_hz
            frames.append(replace(frame, captured_s=captured_s, arrived_s=captured_s, sequence=slot))
        slot += 1
    return FrameStream(frames, hop, dropped)


def compare(
    network: Network, whole: TfliteModel, stream: FrameStream
) -> Iterator[tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]]:
    """Yield the streamed scores and those of the whole-window model, int8 `(labels,)` each, for every prediction."""
    manifest = network.bundle.manifest
    resizer, grid = network.bundle.make_resizer(), TimeGrid(manifest.temporal.rate_hz)
    recent: deque[npt.NDArray[np.int8]] = deque(maxlen=manifest.temporal.window)
    with Classifier(network, hop=stream.hop) as classifier:
        for frame in stream.frames:
            if grid.accepts(frame.captured_s):
                recent.append(resizer.resize(frame))
            prediction = classifier.push(frame)
            if prediction is not None:
                assert prediction.raw is not None
                yield prediction.raw, whole.run(np.stack(recent)).reshape(-1)


def _add(
    found: Verdict, stream: FrameStream, pairs: Iterable[tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]]
) -> Verdict:
    pairs = list(pairs)
    differences = [np.abs(streamed.astype(np.int16) - at_once) for streamed, at_once in pairs]
    differing = [int((difference > 0).sum()) for difference in differences]
    return replace(
        found,
        streams=found.streams + 1,
        windows=found.windows + len(differences),
        differing_windows=found.differing_windows + sum(count > 0 for count in differing),
        bytes=found.bytes + sum(difference.size for difference in differences),
        differing_bytes=found.differing_bytes + sum(differing),
        largest=max([found.largest, *(int(difference.max()) for difference in differences)]),
        answers=found.answers | {tuple(streamed.tolist()) for streamed, _ in pairs},
        hops=(min(found.hops[0], stream.hop), max(found.hops[1], stream.hop)),
        dropped=found.dropped + stream.dropped,
    )
