"""Whether streaming gives the answers of the whole-window model, byte for byte, on the machine this runs on.

Streaming encodes each frame once, keeps the encodings of a window, and has the head read them; `window.tflite` is given
the frames of the window at once. Both have the same weights and quantization, so the scores must be the same bytes.
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

# Drawn scenes that streams are cut from: drawing takes longer than looking.
_SCENES = 12
# A stream gives at most this many windows, so that there are many streams.
_WINDOWS_A_STREAM = 24


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        runtime: the TFLite runtime, with its version.
        delegate: what ran the encoder.
        streams: how many were watched, each with a hop, a start and dropped frames of its own.
        windows: answers compared.
        differing_windows: those that are not the same bytes.
        bytes: scores compared, one byte each.
        differing_bytes: those that are not the same.
        largest: the greatest difference of a score, in steps of its quantization.
        answers: different score vectors among them; a model that always said the same would prove little.
        hops: the smallest and the greatest hop.
        dropped: frames that were left out of streams.
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
        """Whether there was something to compare, and no byte differs."""
        return self.windows > 0 and not self.differing_bytes


@dataclass(frozen=True)
class Stream:
    """One stream to watch: which frames, and how often it is answered."""

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
    """Watch drawn streams and compare every answer.

    Args:
        bundle: the model.
        windows: at least so many answers are compared.
        delegate: what runs the encoder when streaming; `window.tflite` runs on the CPU.
        seed: of the frames, hops, starts and drops.
        on_progress: called with the number of windows compared since the last call.

    Raises:
        EdgeharError: the model cannot be run here.
    """
    runtime = load_runtime()
    rng = np.random.default_rng(seed)
    longest = bundle.manifest.temporal.window
    scenes = drawn_scenes(bundle.manifest.temporal.rate_hz, seed)
    pool = [frame for _ in range(_SCENES) for frame in next(scenes)]
    whole = TfliteModel(bundle.read("window.tflite"), name=f"{bundle.path}: window.tflite")
    with Network(bundle, delegate=delegate) as network:
        found = Verdict(f"{runtime.package} {runtime.version}", network.delegate, hops=(longest, 1))
        while found.windows < windows:
            # Every hop in turn, so that with enough windows none is left out.
            hop = found.streams % longest + 1
            stream = draw_stream(pool, hop, longest, bundle.manifest.temporal.rate_hz, rng)
            before = found.windows
            found = _add(found, stream, compare(network, whole, stream))
            on_progress(found.windows - before)
    whole.close()
    return found


def draw_stream(pool: list[Frame], hop: int, window: int, rate_hz: float, rng: np.random.Generator) -> Stream:
    """A stream that begins anywhere in the pool, leaves out some frames, and gives a few windows."""
    answers = int(rng.integers(1, max(2, _WINDOWS_A_STREAM // hop + 1)))
    wanted = window + hop * answers
    drop_share = float(rng.choice([0.0, 0.1, 0.4]))
    start_s = float(rng.uniform(0, 1e4))
    place, slot, dropped = int(rng.integers(len(pool))), 0, 0
    frames: list[Frame] = []
    while len(frames) < wanted:
        if rng.random() < drop_share:
            dropped += 1
        else:
            frame = pool[(place + slot) % len(pool)]
            # Half a period late, as cameras are, and never on the edge of the grid.
            captured_s = start_s + (slot + 0.5) / rate_hz
            frames.append(replace(frame, captured_s=captured_s, arrived_s=captured_s, sequence=slot))
        slot += 1
    return Stream(frames, hop, dropped)


def compare(
    network: Network, whole: TfliteModel, stream: Stream
) -> Iterator[tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]]:
    """Streamed scores and those of the whole-window model, int8 `(labels,)` each, for every answer of a stream."""
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


def _add(found: Verdict, stream: Stream, pairs: Iterable[tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]]) -> Verdict:
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
