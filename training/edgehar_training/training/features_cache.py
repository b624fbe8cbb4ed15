"""Features of frames, computed once for a frozen encoder. Training and scoring then run only the head.

The features of a clip are those of its evaluated frames (`Run.stream`): the frames on the time grid, from the first
frame, or the one window that another `sampling` chooses. Training windows are taken from the same frames.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from edgehar_training.data.shards import write_shard
from edgehar_training.scoring.clips import in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import keras
    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.runs.run import Run
    from edgehar_training.training.batches import Batch

    Array = npt.NDArray[np.float32]

log = logging.getLogger(__name__)

# Increase it if the same frames and weights give other features.
VERSION = "features-2"
# Clips are encoded together up to this many frames and then written; an interruption loses at most these.
FRAMES_AT_ONCE = 256


def features_of(run: Run, model: keras.Model) -> FeaturesCache | None:
    """Return a cache of features if training can use one: a frozen encoder and unchanged windows. Returns None if not.

    Args:
        run: settings and frames.
        model: the network, with layers "encoder" and "head".
    """
    encoder = model.get_layer("encoder")
    # With fake quantization it is a single layer over the network with the weights, plus the ranges.
    network = getattr(encoder.layers[-1], "network", encoder)
    if not network.variables or network.trainable_variables:
        return None
    if run.config.augment.on:
        log.info("the encoder does not learn; without augmentation (--no-augment) its features are computed only once")
        return None
    return FeaturesCache(run, encoder)


class FeaturesCache:
    """Features of clips in the folder of their frames: shared, resumable and checked like the frames.

    An entry belongs to the clip's content, the weights of the encoder, and the settings that choose its frames.

    Args:
        run: settings and frames.
        encoder: `(batch, height, width, channels)`, or `(batch, 2, height, width, channels)` with two looks, to
            `(batch, features)`; its weights are read when features are first needed, and must not change afterwards.
    """

    def __init__(self, run: Run, encoder: keras.Model) -> None:
        self._run, self._encoder, self._shards = run, encoder, run.cache().shards
        self._encoder_word = ""

    def fill(self, clips: Iterable[Clip], progress: Callable[[int], object] = lambda _: None) -> None:
        """Compute missing features, in batches of clips; `progress` is called with the number of clips done.

        Raises:
            SourceError: a video cannot be read.
            OSError: the folder cannot be written.
        """
        self._shards.prepare()
        waiting: list[tuple[Path, npt.NDArray[np.int8]]] = []
        for clip in clips:
            path = self._shard(clip)
            if self._shards.whole(path):
                progress(1)
                continue
            waiting.append((path, self._run.stream(clip)))
            if sum(len(stream) for _, stream in waiting) >= FRAMES_AT_ONCE:
                self._write(waiting)
                progress(len(waiting))
                waiting = []
        self._write(waiting)
        progress(len(waiting))

    def load(self, clip: Clip) -> Array:
        """Return float32 `(frames, features)`, memory-mapped; frames >= window. Computed now if missing.

        Raises:
            SourceError: the video cannot be read.
        """
        path = self._shard(clip)
        found, _ = self._shards.read(
            path, f"{clip.path} (features)", lambda: self._write([(path, self._run.stream(clip))])
        )
        features: Array = found
        return features

    def streams(self, clips: Sequence[Clip]) -> Sequence[Array]:
        """Return the features of each clip, opened on access, because the system limits the number of open files."""
        return _Streams(self, clips)

    def _write(self, waiting: Sequence[tuple[Path, npt.NDArray[np.int8]]]) -> None:
        if not waiting:
            return
        frames = np.concatenate([stream for _, stream in waiting])
        codes = in_chunks(self._encoder, frames, self._run.preprocessor)
        ends = np.cumsum([len(stream) for _, stream in waiting])
        for (path, _), part in zip(waiting, np.split(codes, ends[:-1]), strict=True):
            write_shard(path, ((row, float(index)) for index, row in enumerate(part)), part.shape[1:], "float32")

    def _shard(self, clip: Clip) -> Path:
        if not self._encoder_word:
            self._encoder_word = _encoder_word(self._encoder)
        frames, network = self._run.cache().shard(clip.path), self._run.config.network
        identity: list[Any] = [VERSION, self._encoder_word, frames.name, clip.start_s, clip.end_s, network.input]
        identity += [network.rate_hz, network.sampling, network.window, network.motion_range]
        if network.two_looks:
            identity.append(network.crop_side)
        if network.stabilize:
            identity.append("stabilize-2")
        if network.steady_light:
            identity.append("steady-light-1")
        if "flow" in network.input:
            # Flow may come from a folder of pictures, so only its content identifies it.
            identity.append(hashlib.sha256(self._run.stream(clip).tobytes()).hexdigest())
        return frames.with_name(f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}.features.npy")


class _Streams(Sequence["Array"]):
    def __init__(self, cache: FeaturesCache, clips: Sequence[Clip]) -> None:
        self._cache, self._clips = cache, clips

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> Array: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Array]: ...

    def __getitem__(self, index: int | slice) -> Array | Sequence[Array]:
        if isinstance(index, slice):
            return _Streams(self._cache, self._clips[index])
        return self._cache.load(self._clips[index])


class FeatureBatches:
    """Random windows of the features of training clips, the same for the same seed and epoch; as `batches.Batches`.

    Args:
        run: settings.
        clips: the training clips.
        cache: their features.
    """

    def __init__(self, run: Run, clips: Sequence[Clip], cache: FeaturesCache) -> None:
        self._config, self._streams = run.config, cache.streams(clips)
        self._truth = np.array([run.config.labels.index(clip.label) for clip in clips])

    def __len__(self) -> int:
        return math.ceil(len(self._streams) * self._config.fit.windows_per_clip / self._config.fit.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch: windows float32 `(n, window, features)` and one-hot labels `(n, classes)`."""
        rng = np.random.default_rng([self._config.split.seed, number])
        rounds = [rng.permutation(len(self._streams)) for _ in range(self._config.fit.windows_per_clip)]
        one_hot = np.eye(len(self._config.labels), dtype=np.float32)
        for part in np.array_split(np.concatenate(rounds), len(self)):
            yield np.stack([self._window(index, rng) for index in part]), one_hot[self._truth[part]]

    def _window(self, index: int, rng: np.random.Generator) -> Array:
        features, window = self._streams[index], self._config.network.window
        start = int(rng.integers(len(features) - window + 1))
        return features[start + self._config.frame_order.training(window, rng)]


def _encoder_word(encoder: keras.Model) -> str:
    """Return a word for the function of an encoder: its layers without names, its dtype, and its weights."""
    digest = hashlib.sha256(json.dumps([_plain(layer) for layer in encoder.layers]).encode())
    for array in encoder.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _plain(layer: keras.layers.Layer) -> list[Any]:
    settings = {key: repr(value) for key, value in layer.get_config().items() if key != "name"}
    # A fake-quantized encoder is one layer over another network.
    within = [_plain(part) for part in layer.network.layers] if hasattr(layer, "network") else []
    return [type(layer).__name__, repr(layer.output.shape), sorted(settings.items()), *within]
