"""The data of a clip for training and evaluation: small frames, and flow and energy if the settings need them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from edgehar.model.manifest import BASE_HEIGHT, BASE_WIDTH
from edgehar_training.data import sampling
from edgehar_training.data.flow_cache import FlowCache
from edgehar_training.data.frames_cache import FramesCache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from edgehar_training.data.datasets import Clip
    from edgehar_training.data.frames_cache import Crop
    from edgehar_training.settings import NetworkSettings


@dataclasses.dataclass(frozen=True)
class Pixels:
    """A clip as the network's size.

    Attributes:
        frames: uint8 `(n, height, width, 3)` RGB, at the rate of the file, at least one; with two looks, gray base
            pictures `(n, 240, 320)`.
        times_s: float64 `(n,)`, seconds from the first frame of the file.
        flow: int8 `(n, height, width, 2)`, motion up to each frame; None unless the network uses it.
        energy: motion of every frame, `(n,)`; None unless key frames are chosen by it.
    """

    frames: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.float64]
    flow: npt.NDArray[np.int8] | None
    energy: npt.NDArray[np.float64] | None


def caches(folder: Path, crop: Crop, network: NetworkSettings) -> tuple[FramesCache, FlowCache | None]:
    """Return the cache of frames, and the cache of flow if the network uses it.

    Raises:
        ConfigError: no such method or folder of flow.
    """
    height, width = (BASE_HEIGHT, BASE_WIDTH) if network.two_looks else (network.size, network.size)
    frames = FramesCache(folder, height, width, crop, gray=network.two_looks)
    flow = FlowCache(frames, network.flow, network.rate_hz) if "flow" in network.input else None
    return frames, flow


def load_pixels(clip: Clip, frames: FramesCache, flow: FlowCache | None, network: NetworkSettings) -> Pixels:
    """Return the frames, flow and energy of a clip that the settings need, computed now if not in the caches."""
    small = frames.load(clip)
    energy = None
    if network.sampling == "key-frames":
        energy = sampling.motion_energy(small.frames, small.times_s, network.rate_hz)
    return Pixels(small.frames, small.times_s, None if flow is None else flow.load(clip), energy)


def training_mean(cache: FramesCache, clips: Sequence[Clip]) -> list[float]:
    """Return the mean red, green and blue of clips, 0 to 1: each clip counts the same.

    Long clips count no more than short ones. It depends on the clips alone, not on their order.
    """
    means = np.array(sorted(cache.load(clip).frames.mean(axis=(0, 1, 2), dtype=np.float64).tolist() for clip in clips))
    return [round(float(value) / 255, 6) for value in means.mean(axis=0)]
