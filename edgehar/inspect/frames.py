"""Frames for running a network: synthetic scenes and noise, or a user's own clips."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import SourceError
from edgehar.frames import Frame, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from edgehar.model.bundle import ModelBundle

# Moving people and noise together fill the range of an int8 network.
_SECONDS = 2.0
_NOISE_SHARE = 0.2
_VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg"})


def drawn_scenes(rate_hz: float, seed: int = 0) -> Iterator[list[Frame]]:
    """Yield scenes without end, each a list of consecutive frames: people with every action, and sometimes noise.

    Args:
        rate_hz: frames per second of the scenes.
        seed: seed of all random choices.
    """
    from edgehar.sources import open_source
    from edgehar.sources.synthetic.people import ACTIONS

    rng = np.random.default_rng(seed)
    count = math.ceil(_SECONDS * rate_hz)
    actions = list(ACTIONS)
    for number in itertools.count():
        if rng.random() < _NOISE_SHARE:
            yield [_frame(pixels, n / rate_hz, n) for n, pixels in enumerate(_noise(rng, count))]
            continue
        subject = int(rng.integers(1000))
        rate = min(max(rate_hz, 1.0), 240.0)
        uri = f"synthetic:{actions[number % len(actions)]}?subject={subject}&duration_s={_SECONDS}&rate_hz={rate}"
        with open_source(uri) as source:
            yield list(source)


def clip_scenes(data: Path) -> Iterator[list[Frame]]:
    """Yield the frames of a video, or of every video below a folder, one list each.

    Raises:
        SourceError: there is none, or one cannot be read.
    """
    from edgehar.sources import open_source

    clips = [data] if data.is_file() else sorted(p for p in data.rglob("*") if p.suffix.lower() in _VIDEOS)
    if not clips:
        raise SourceError(f"{data}: contains no video; give a video or a folder of videos")
    for clip in clips:
        with open_source(clip) as source:
            yield list(source)


def model_frames(bundle: ModelBundle, frames: list[Frame]) -> npt.NDArray[np.int8]:
    """Return the encoder's inputs for a scene.

    Returns:
        int8 `(n, height, width, 3)`, or `(n, 2, height, width, 3)` with two looks: the frames on the model's time grid,
        resized and quantized.
    """
    from edgehar.model.timegrid import TimeGrid

    resizer, grid = bundle.make_resizer(), TimeGrid(bundle.manifest.temporal.rate_hz)
    seen = [resizer.resize(frame) for frame in frames if grid.accepts(frame.captured_s)]
    return np.array(seen, np.int8).reshape(-1, *bundle.manifest.input.shape)


def _noise(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint8]:
    """Return noise of which a part stays the same between frames."""
    pixels = rng.integers(0, 256, (count, 90, 120, 3), np.uint8)
    pixels[1::2, :45] = pixels[:1, :45]
    return pixels


def _frame(pixels: npt.NDArray[np.uint8], captured_s: float, sequence: int) -> Frame:
    return Frame(pixels, PixelFormat.BGR24, captured_s, captured_s, sequence)
