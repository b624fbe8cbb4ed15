"""Encode a clip with the frozen encoder: the windows of int8 features that the head gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import SourceError
from edgehar.model.history import FeatureRing
from edgehar.model.interpreter import make_interpreter
from edgehar.model.timegrid import TimeGrid
from edgehar.sources import open_source
from edgehar.teaching.head import probe_head

if TYPE_CHECKING:
    import os

    import numpy.typing as npt

    from edgehar.model.bundle import ModelBundle
    from edgehar.model.network import Network
    from edgehar.teaching.clips import LabeledClip

    Windows = npt.NDArray[np.int8]

# The difference to frames before the first one is 0: these frames of a clip look like none of a running camera.
_STARTING_FRAMES = 2


def windows_of(network: Network, clip: LabeledClip, hop: int) -> Windows:
    """Return the windows of a labeled clip, one every `hop` frames, int8 `(windows, window, features)`.

    The features of a moment are used as they were kept, if this encoder made them; else its clip is encoded.

    Raises:
        SourceError: the clip cannot be read or holds no frame; or there is no clip, and features of another encoder.
    """
    window, item = network.bundle.manifest.temporal.window, clip.item
    if item is None:
        return cut(encode(network, clip.path, clip.span_s), window, hop, skip=_STARTING_FRAMES)
    if item.facts.encoder == network.bundle.manifest.files["encoder.tflite"]:
        return cut(item.features(), window, hop)
    if item.clip is None:
        raise SourceError(
            f"{item.base}: its features are of model {item.facts.model!r}, which has another encoder, and no clip was "
            "kept; teach that model, or one taught from it"
        )
    span_s = (item.facts.clip_offset_s, item.facts.clip_offset_s + item.facts.end_s - item.facts.start_s)
    return cut(encode(network, item.clip, span_s), window, hop, skip=_STARTING_FRAMES)


def cut(frames: npt.NDArray[np.int8], window: int, hop: int, *, skip: int = 0) -> Windows:
    """Cut the features of consecutive frames into windows.

    The first `skip` frames are left out if enough follow. Fewer frames than a window give one window, filled up in
    front with the first frame.

    Args:
        frames: int8 `(frames, features)`.
        window: frames of a window.
        hop: frames between windows.
        skip: frames to leave out.
    """
    if len(frames) < window + skip:
        history = FeatureRing(window, frames.shape[1])
        for features in frames:
            history.push(features)
        return history.view()[np.newaxis].copy()
    starts = range(skip, len(frames) - window + 1, hop)
    return np.stack([frames[start : start + window] for start in starts])


def encode(
    network: Network, clip: str | os.PathLike[str], span_s: tuple[float, float] | None = None
) -> npt.NDArray[np.int8]:
    """Encode the frames of a video on the model's time grid, int8 `(frames, features)`.

    Args:
        network: encoder and manifest.
        clip: a video file, or what else `open_source` takes.
        span_s: use only this part, in seconds from the first frame.

    Raises:
        SourceError: the clip cannot be read, or holds no frame.
    """
    bundle, encoder = network.bundle, network.encoder
    grid, resizer, first_s = TimeGrid(bundle.manifest.temporal.rate_hz), bundle.make_resizer(), None
    found = []
    try:
        with open_source(clip) as source:
            for frame in source:
                first_s = frame.captured_s if first_s is None else first_s
                if not grid.accepts(frame.captured_s) or _is_outside(frame.captured_s - first_s, span_s):
                    continue
                try:
                    resizer.resize_into(frame, encoder.input_view())
                except ValueError as error:
                    raise SourceError(f"{clip}: {error}") from error
                encoder.invoke()
                found.append(encoder.output_view().reshape(-1).copy())
    finally:
        resizer.close()
    if not found:
        raise SourceError(f"{clip}: holds no frame")
    return np.stack(found)


def _is_outside(at_s: float, span_s: tuple[float, float] | None) -> bool:
    return span_s is not None and not span_s[0] <= at_s <= span_s[1]


class Probe:
    """Runs the old head up to its logits, and pools the features beside it."""

    def __init__(self, head: bytes, name: str, labels: int) -> None:
        """Load it.

        Args:
            head: the TFLite file.
            name: how errors call it.
            labels: how many it has.

        Raises:
            BundleError: the head cannot be taken apart.
        """
        self._interpreter = make_interpreter(probe_head(head, name), name=name)
        self._input = self._interpreter.tensor(self._interpreter.get_input_details()[0]["index"])
        self._output = self._interpreter.tensor(self._interpreter.get_output_details()[0]["index"])
        self._labels = labels

    @classmethod
    def of(cls, bundle: ModelBundle) -> Probe:
        """Load the head of a bundle. Raises BundleError if it cannot be taken apart."""
        return cls(bundle.read("head.tflite"), f"{bundle.path}: head.tflite", len(bundle.manifest.labels))

    def run(self, windows: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Return the old logits, float `(windows, labels)`, and the pooled features, float32 `(windows, 3 * features)`.

        Args:
            windows: int8 `(windows, window, features)`.
        """
        rows = []
        for window in windows:
            self._input()[...] = window
            self._interpreter.invoke()
            rows.append(self._output().reshape(-1).copy())
        table = np.stack(rows)
        return table[:, : self._labels].astype(np.float64), table[:, self._labels :]
